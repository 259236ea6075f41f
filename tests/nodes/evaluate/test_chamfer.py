"""Chamfer distance on meshes whose distance is known, and the node around it."""
import pytest
import torch

from distill3d.kernels.shapes.sdf import Parts, shape_sdf
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.nodes.comfy import Types
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import stream
from distill3d.nodes.evaluate.chamfer import chamfer_distance, sample_mesh, world_mesh
from distill3d.nodes.evaluate.compare_geometry import CompareGeometryNode
from distill3d.nodes.shapes.caption import parse_shape, shape_parts

TRIANGLE = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]]), torch.tensor([[0, 1, 2]])


def core_mesh(caption, padding=0):
    """The isosurface of the truth as a core MESH: Y up, front +Z, batched."""
    parts = Parts(*(value[0] for value in shape_parts([parse_shape(caption)])))
    axis = torch.linspace(-1.1, 1.1, 64)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    vertices, faces = isosurface(-shape_sdf(parts, points.view(-1, 3)).view(64, 64, 64), -1e-3,
                                 torch.tensor([[-1.1] * 3, [1.1] * 3]))
    counts = dict(vertex_counts=torch.tensor([len(vertices)]), face_counts=torch.tensor([len(faces)]))
    vertices = torch.cat([vertices[:, [1, 2, 0]], torch.full((padding, 3), 9.0)])
    faces = torch.cat([faces, torch.zeros(padding, 3, dtype=torch.long)])
    return Types.MESH(vertices=vertices[None], faces=faces[None], **(counts if padding else {}))


def test_distance_by_hand():
    square = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    assert chamfer_distance(square, square, 2.0) == 0.0
    other = torch.tensor([[0.0, 0, 3], [1, 0, 4], [0, 0, 3]])
    assert chamfer_distance(square, other, 2.0) == pytest.approx(((3 + 10**0.5) / 2 + (3 + 4 + 3) / 3) / 2 / 2)
    with pytest.raises(DistillError, match="0 and 2 points"):
        chamfer_distance(square[:0], square, 1.0)


def test_mesh_points_are_even():
    points = sample_mesh(*TRIANGLE, 4000, stream(0, 0, "test"))
    assert bool((points >= 0).all() and (points[:, 2] == 0).all() and (points.sum(1) <= 2 + 1e-5).all())
    torch.testing.assert_close(points.mean(0), torch.tensor([2 / 3, 2 / 3, 0]), atol=0.03, rtol=0)
    # The quarter-sized triangle at the right angle holds a quarter of the points.
    assert float((points.sum(1) < 1).float().mean()) == pytest.approx(0.25, abs=0.03)
    large = torch.cat([TRIANGLE[0], TRIANGLE[0] * 3 + 10]), torch.tensor([[0, 1, 2], [0, 0, 1], [3, 4, 5]])
    points = sample_mesh(*large, 4000, stream(0, 0, "test"))
    assert float((points[:, 0] < 5).float().mean()) == pytest.approx(0.1, abs=0.02)


def test_meshes_without_area_are_refused():
    for vertices, faces, message in ((TRIANGLE[0][:0], TRIANGLE[1][:0], "0 faces"),
                                     (TRIANGLE[0], torch.tensor([[0, 1, 1]]), "no area"),
                                     (TRIANGLE[0] * torch.inf, TRIANGLE[1], "not finite")):
        with pytest.raises(DistillError, match=message):
            sample_mesh(vertices, faces, 10, stream(0, 0, "test"))


def test_core_meshes_are_turned_back():
    mesh = core_mesh("a red cone on top of a blue torus", padding=5)
    vertices, faces = world_mesh(mesh)
    assert float(vertices.abs().max()) < 1.1 and int(faces.max()) == len(vertices) - 1
    top = vertices[vertices[:, 2].argmax()]
    assert float(top[:2].norm()) < 0.05, "the tip of the cone points up"
    with pytest.raises(DistillError, match="core MESH"):
        world_mesh("not a mesh")
    broken = Types.MESH(vertices=torch.zeros(1, 3, 3), faces=torch.tensor([[[0, 1, 3]]]))
    with pytest.raises(DistillError, match="vertex 3"):
        world_mesh(broken)


def test_compare_geometry():
    def distance(mesh_caption, caption):
        return CompareGeometryNode.execute(core_mesh(mesh_caption), caption, 5000).args[0]

    # Two draws of 5,000 points from one surface are 0.01 apart.
    assert distance("a red cone on top of a blue torus", "a red cone on top of a blue torus") < 0.012
    assert distance("a red cube", "a blue cube, side view") < 0.012
    # Surfaces of a sphere of radius r and of a cube of half width 0.8 r are about 0.1 r apart.
    assert 0.03 < distance("a red cube", "a red sphere") < 0.1
    with pytest.raises(DistillError, match="mauve"):
        distance("a red cube", "a mauve cube")
