import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.export.extract_mesh import extract_mesh
from distill3d.nodes.fields.encoded_volume import VolumeSettings
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.hash_grid_sdf import HashGridSDF
from distill3d.nodes.fields.hash_grid_volume import HashGridVolume
from distill3d.nodes.fields.initial import InitialDensity
from distill3d.nodes.fields.initial_surface import InitialEllipsoid, InitialGrid
from distill3d.nodes.fields.scene_to_sdf import SceneToSDFNode, scene_to_sdf
from distill3d.nodes.fields.scene_to_tet_grid import scene_to_tet_grid
from distill3d.nodes.fields.tet_grid import TetGrid
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.neus_renderer import NeuSRenderer
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from distill3d.nodes.surface.silhouette import scene_views, silhouette_iou

GRID = FeatureGrid(levels=6, log2_size=11, base=4, finest=64, width=16)
TEMPLATE = HashGridSDF(grid=GRID, sharpness=100.0)
TETS = TetGrid(resolution=28, features=GRID)


def neus(field):
    recipe = SceneRecipe(NeuSRenderer(48), field, Albedo(), SolidBackground())
    scene = recipe.build()
    scene.update(0, 10, Streams(0, 0))                    # so that empty cells are skipped
    return recipe.trained(scene)


def test_silhouettes_and_colours_are_kept(soft_scene):
    source = soft_scene("cone", softness=0.005)
    found = scene_to_sdf(source, TEMPLATE, 32, color_steps=60)
    assert found.overlap > 0.95 and f"{found.threshold:.4g}" in str(found)
    views, scene = scene_views(source.build(), 48), neus(found.field).build()
    with torch.no_grad():
        drawn = scene.render(views.cameras, wanted=("opacity",)).opacity[..., 0] > 0.5
    assert silhouette_iou(drawn, views.opaque) > 0.95
    learned = found.field.build(3)                         # Albedo has a sigmoid, the soft scene's material none
    x = torch.tensor([[0.0, 0.0, -0.69], [0.2, 0.1, -0.6]])
    expected = 0.5 + 0.4 * torch.sin(2.5 * x + torch.tensor([0.0, 1.0, 2.0]))
    assert (learned(x).features - expected).abs().mean() < 0.1


def test_distances_are_true_ones(soft_scene):
    field = scene_to_sdf(soft_scene(size=0.5,
                                    softness=0.005), TEMPLATE, 40, threshold=40.0, color_steps=0).field.build(3)
    x = (2 * torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) - 1)
    with torch.no_grad():
        error = (field(x).sdf - (x.norm(dim=-1) - 0.5)).abs()
    assert error[(x.norm(dim=-1) - 0.5).abs() < 0.1].max() < 0.015 and error.max() < 0.04


@pytest.mark.parametrize("changes", [dict(kind="shell"), dict(extra="floater")])
def test_cavities_are_filled_and_small_parts_dropped(soft_scene, changes):
    field = scene_to_sdf(soft_scene(**changes), TEMPLATE, 40, threshold=40.0, color_steps=0).field.build(3)
    with torch.no_grad():
        assert (field.sdf(torch.tensor([[0.0, 0.0, 0.0], [0.2, 0.1, 0.0]])) < -0.3).all()
        assert field.sdf(torch.tensor([[0.85, 0.85, 0.85]])).item() > 0.5


def test_a_hash_grid_keeps_every_feature_of_space():
    volume = HashGridVolume(VolumeSettings(1.0, initial=InitialDensity(strength=40.0)), 4, 2, 10, 4, 32, 16)
    recipe = SceneRecipe(VolumeRenderer(40, 0), volume, Albedo(), SolidBackground())
    scene = recipe.build()
    with torch.no_grad():
        scene.field.table.normal_(std=0.3)
    found = scene_to_sdf(recipe.trained(scene), TEMPLATE, 32, threshold=8.0)
    field, x = found.field.build(3), 2 * torch.rand(50, 3) - 1
    torch.testing.assert_close(field(x).features, scene.field(x).features)
    # what was learned says nothing of the distance
    assert torch.equal(field.sdf(x), found.field.initial.sdf(x))
    field.sdf(x).sum().backward()
    assert field.network.head[2].weight.grad[-1].abs().sum() > 0


def test_a_signed_distance_goes_on_as_it_is():
    """NeuS to Extract Mesh, to a tet grid and to another signed distance."""
    recipe = neus(HashGridSDF(1.0, InitialEllipsoid((0.4, 0.5, 0.6)), GRID))
    mesh = extract_mesh(recipe, 32)
    assert mesh.overlap > 0.98 and "the signed distance's zero" in str(mesh) and "watertight" in str(mesh)
    torch.testing.assert_close(mesh.mesh.vertices.amax(0), torch.tensor([0.4, 0.5, 0.6]), atol=0.02, rtol=0)
    found = scene_to_tet_grid(recipe, TETS)
    tets, field = found.field.build(3), recipe.build().field
    inner = ~tets.border
    torch.testing.assert_close(tets.shape.sdf[inner] * tets.recipe.edge, field.sdf(tets.grid[inner]), atol=1e-6, rtol=0)
    x = 2 * torch.rand(50, 3) - 1
    torch.testing.assert_close(tets.features(x), field(x).features)
    assert found.overlap > 0.97 and found.threshold == 0
    again = scene_to_sdf(recipe, TEMPLATE, 32, color_steps=0)
    assert again.overlap > 0.95 and again.threshold == 0


def test_errors(soft_scene):
    with pytest.raises(DistillError, match="^Scene to SDF: the field has no surface at threshold 10 .density"):
        scene_to_sdf(soft_scene(peak=3.2), TEMPLATE, 24, threshold=10.0)
    with pytest.raises(DistillError, match="^Extract Mesh: .*its signed distance ranges from 0.5.* to 2.23"):
        extract_mesh(neus(HashGridSDF(1.0, Nowhere(), GRID)), 24, threshold=0.1)


class Nowhere:
    def sdf(self, x):
        return x.norm(dim=-1) + 0.5


def test_outside_its_box_a_grid_goes_on():
    line = torch.linspace(-1, 1, 9)
    grid = InitialGrid(line.view(9, 1, 1).expand(9, 9, 9).clone(), ((-1.0,) * 3, (1.0,) * 3))
    x = torch.tensor([[0.3, 0.0, 0.0], [-0.5, 1.0, -1.0], [2.0, 0.0, 0.0]])
    torch.testing.assert_close(grid.sdf(x), torch.tensor([0.3, -0.5, 2.0]))


def test_the_node(soft_scene):
    with torch.inference_mode():                          # as the host runs it
        field, threshold, report = SceneToSDFNode.execute(
            soft_scene(size=0.5), resolution=24, color_steps=2, sharpness=50.0, levels=2, log2_size=8, base=4,
            finest=16, width=8).args
    assert field.sharpness == 50.0 and threshold > 0 and "IoU" in report
    field.build(3)(torch.rand(5, 3), normals=True).normal.sum().backward()   # nothing of inference mode is left in it
