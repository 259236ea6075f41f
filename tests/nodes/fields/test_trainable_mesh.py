import math

import pytest
import torch

from distill3d.kernels.surface.mesh import is_watertight
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.trainable_mesh import TrainableMesh
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.pbr import PBR
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from mesh_field import ball


def colored_ball(rings=16):
    vertices, faces = ball(rings)
    return Mesh(vertices, faces, vertex_colors=(vertices / 1.6 + 0.5).clamp(0, 1))


def card(texture):
    """A square facing +x, cut into two halves along a seam of its own, under `texture`."""
    y, z = torch.tensor([-0.8, 0.0, 0.8]), torch.tensor([0.8, -0.8])  # seen from +x, y grows to the right
    corners = [(0.0, y[i], z[j]) for i in (0, 1) for j in (0, 1)] + [(0.0, y[i], z[j]) for i in (1, 2) for j in (0, 1)]
    uv = [(u, v) for u in (0.0, 0.5) for v in (0.0, 1.0)] + [(u, v) for u in (0.5, 1.0) for v in (0.0, 1.0)]
    faces = torch.tensor([[a + s, b + s, c + s] for s in (0, 4) for a, b, c in ((0, 1, 2), (2, 1, 3))])
    return Mesh(torch.tensor(corners), faces, torch.tensor(uv), texture)


def scene(mesh, material=Albedo(), size=64, shape=False):
    return SceneRecipe(MeshRasterizer(), TrainableMesh(mesh, size, shape), material,
                       SolidBackground((1.0, 1.0, 1.0))).build()


@pytest.mark.parametrize("material", [Albedo(), Albedo("scaled"), PBR()])
def test_it_begins_with_the_meshs_own_colours(material):
    with torch.no_grad():
        found = scene(colored_ball(), material, 256).render(turntable(4, 20, 3, 40, 32),
                                                            wanted=("albedo", "opacity", "depth"))
    cameras = turntable(4, 20, 3, 40, 32)
    origins, directions = cameras.rays()
    inside = found.opacity[..., 0] == 1
    point = (origins + found.depth * directions)[inside]
    assert (found.albedo[inside] - (point / 1.6 + 0.5)).abs().mean() < 0.02


def test_a_texture_is_shown_as_it_is():
    """Left is left and up is up, seen from the front."""
    patches = torch.rand(4, 4, 3) * 0.9 + 0.05
    front = turntable(1, 0, 3, 40, 65)
    with torch.no_grad():
        seen = scene(card(patches.repeat_interleave(8, 0).repeat_interleave(8, 1)), size=32).render(front).rgb[0]
    reach = 0.8 / 3 / math.tan(math.radians(20)) * 32.5
    for row in range(4):
        for column in range(4):
            y, x = (int(32.5 + ((place + 0.5) / 2 - 1) * reach) for place in (row, column))
            torch.testing.assert_close(seen[y, x], patches[row, column], atol=0.02, rtol=0)
    assert torch.equal(seen[0, 0], torch.ones(3))


def test_seams_of_uvs_are_none_of_the_surface():
    made = scene(card(torch.rand(8, 8, 3)), shape=True)
    surface = made.field.surface()
    assert len(surface.vertices) == 6 and len(surface.uv) == 8 and surface.faces.max() == 5
    closed = scene(colored_ball()).field.surface()
    assert is_watertight(closed.faces) and len(closed.uv) > len(closed.vertices)


def test_texture_and_shape_learn():
    made = scene(card(torch.full((8, 8, 3), 0.5)), shape=True)
    assert {name: len(group) for name, group in made.parameter_groups().items()} == {"texture": 1, "position": 1}
    found = made.render(turntable(2, 10, 3, 40, 24), wanted=("rgb", "opacity"))
    (found.rgb.sum() + found.opacity.square().sum()).backward()
    assert made.field.texture.grad.abs().sum() > 0 and made.field.offset.grad.abs().sum() > 0
    assert "position" not in scene(colored_ball()).parameter_groups()


def test_a_state_comes_back():
    recipe = SceneRecipe(MeshRasterizer(), TrainableMesh(colored_ball(), 32), Albedo(), SolidBackground())
    made = recipe.build()
    with torch.no_grad():
        made.field.texture.fill_(3.0)
    assert recipe.trained(made).build().field.texture.eq(3).all()


def test_nothing_given_is_changed():
    mesh = card(torch.rand(8, 8, 3))
    before = [value.clone() for value in vars(mesh).values() if value is not None]
    made = scene(mesh, shape=True)
    with torch.no_grad():
        made.field.offset.add_(1)
        made.field.texture.add_(1)
    assert all(torch.equal(one, two) for one, two in zip(before, (v for v in vars(mesh).values() if v is not None)))


def test_errors():
    with pytest.raises(DistillError, match="size"):
        TrainableMesh(colored_ball(), 2)
    with pytest.raises(DistillError, match="texture coordinates"):
        scene(colored_ball()).field.features(torch.rand(3, 3))
