import pytest
import torch

from distill3d.kernels.surface.isosurface import isosurface
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.comfy import Types
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.fields.mesh_style import MeshStyle, MeshStyleNode


def sphere(size=16, radius=0.5):
    axis = torch.linspace(-0.7, 0.7, size)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    return Mesh(*isosurface(radius - points.norm(dim=-1), 0.0, [[-0.7] * 3, [0.7] * 3]))


def field(**numbers):
    torch.manual_seed(0)
    return MeshStyle(sphere(), **{"width": 32, "depth": 2, **numbers}).build(3)


def test_begins_as_the_mesh_in_one_colour_and_relief_moves_along_normals():
    module = field(relief=0.1)
    surface = module.surface()
    assert torch.equal(surface.vertices, module.rest) and surface.uv is None
    assert module.features(surface.vertices).abs().max() == 0
    with torch.no_grad():
        module.relief_head.bias.fill_(5.0)
    moved = module.surface().vertices
    radius = moved.norm(dim=1)
    assert radius.mean().item() == pytest.approx(0.6, abs=0.01), "by the whole relief, outwards"
    assert bool((moved >= module.bounds[0]).all() and (moved <= module.bounds[1]).all())
    assert torch.equal(field(relief=0.0).surface().vertices, module.rest)


def test_learns_colours_of_the_surface():
    module = field(bandwidth=1.0)
    points = torch.nn.functional.normalize(torch.randn(256, 3), dim=1) * 0.5
    wanted = (points[:, 2:] > 0).float().expand(-1, 3)
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    for _ in range(60):
        loss = (torch.sigmoid(module.features(points)) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.06
    position = points.clone().requires_grad_()
    module.features(position).sum().backward()
    assert position.grad is None, "colours do not move vertices"


def test_groups_and_refusals():
    module = field()
    groups = module.parameter_groups()
    assert tuple(groups) == module.groups
    assert {id(p) for group in groups.values() for p in group} == {id(p) for p in module.parameters()}
    with pytest.raises(DistillError, match="Mesh Style: width is 0"):
        MeshStyle(sphere(), width=0)
    mesh = sphere()
    core = Types.MESH(vertices=mesh.vertices[None], faces=mesh.faces[None])
    assert MeshStyleNode.execute(core, relief=0.2).args[0].relief == 0.2
