import math

import pytest
import torch

from distill3d.kernels.surface.components import component_labels
from distill3d.kernels.surface.mesh import is_watertight, signed_volume
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.scene import Scene, SceneRecipe
from distill3d.nodes.fields.encoded_volume import VolumeSettings
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.hash_grid_volume import HashGridVolume
from distill3d.nodes.fields.initial import InitialDensity
from distill3d.nodes.fields.scene_to_tet_grid import SceneToTetGridNode, scene_to_tet_grid
from distill3d.nodes.fields.tet_grid import TetGrid
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer

TEMPLATE = TetGrid(resolution=28, features=FeatureGrid(levels=6, log2_size=11, base=4, finest=64, width=16))


def radius(surface):
    return (signed_volume(surface.vertices, surface.faces).item() * 3 / 4 / math.pi) ** (1 / 3)


def test_the_ball_is_found_closed_tight_and_in_its_colours(soft_scene):
    found = scene_to_tet_grid(soft_scene(size=0.5, softness=0.005), TEMPLATE, color_steps=150)
    surface = (module := found.field.build(3)).surface()
    assert is_watertight(surface.faces) and len(surface.faces) == found.faces
    assert radius(surface) == pytest.approx(0.5, rel=0.04) and found.overlap > 0.95
    assert [high - low for low, high in zip(*found.field.box)] == pytest.approx([1.2] * 3, rel=0.06)
    # Around the ball that is seen, a little larger than where the density is half, distances are true ones.
    distance, true = module.shape.sdf.detach() * module.recipe.edge, module.grid.norm(dim=1) - radius(surface)
    touched = true.abs() < 0.03                           # the lattice's edges are 0.09 long
    assert (distance - true)[touched].abs().mean() < 0.005
    clear = true.abs() > 0.01
    assert torch.equal(distance[clear] < 0, true[clear] < 0)
    expected = 0.5 + 0.4 * torch.sin(2.5 * surface.vertices + torch.tensor([0.0, 1.0, 2.0]))
    assert (module.features(surface.vertices) - expected).abs().mean() < 0.06
    assert "IoU" in str(found) and f"{found.threshold:.4g}" in str(found)


def test_what_is_seen_decides_where_the_surface_is_soft(soft_scene):
    # The half-opaque silhouette lies far outside the half-density radius of 0.4.
    found = scene_to_tet_grid(soft_scene(size=0.4, softness=0.05, peak=40.0), TEMPLATE, color_steps=0)
    assert 0.5 < radius(found.field.build(3).surface()) < 0.65 and found.overlap > 0.95
    given = scene_to_tet_grid(soft_scene(size=0.4, softness=0.05, peak=40.0), TEMPLATE, threshold=20.0, color_steps=0)
    assert given.threshold == 20.0 and radius(given.field.build(3).surface()) == pytest.approx(0.4, rel=0.04)


@pytest.mark.parametrize("changes", [dict(kind="shell"), dict(extra="floater")])
def test_cavities_are_filled_and_small_parts_dropped(soft_scene, changes):
    surface = scene_to_tet_grid(soft_scene(**changes), TEMPLATE, threshold=40.0, color_steps=0).field.build(3).surface()
    assert int(component_labels(surface.faces, len(surface.vertices)).max()) == 0
    assert 0.5 < surface.vertices.norm(dim=1).min() and surface.vertices.norm(dim=1).max() < 0.7


def test_a_hash_grid_keeps_every_feature_of_space():
    field = HashGridVolume(VolumeSettings(1.0, initial=InitialDensity(strength=40.0)), 4, 2, 10, 4, 32, 16)
    recipe = SceneRecipe(VolumeRenderer(40, 0), field, Albedo(), SolidBackground())
    scene = recipe.build()
    with torch.no_grad():
        scene.field.table.normal_(std=0.3)
    recipe = recipe.trained(scene)
    found = scene_to_tet_grid(recipe, TEMPLATE, threshold=8.0)
    module = found.field.build(3)
    x = 2 * torch.rand(50, 3) - 1
    torch.testing.assert_close(module.features(x), scene.field(x).features)
    assert module.features(x).std() > 0.01
    assert found.field.box[1][0] < 0.9                    # and yet the lattice is tight


def test_no_surface_says_what_to_do(soft_scene):
    scene = soft_scene(peak=3.2, notes={"opacity": 0.02})
    with pytest.raises(DistillError,
                       match=r'^Scene to Tet Grid: the field has no surface at threshold 10 \(density ranges '
                                           r'from 0 to 3.2\). Set "threshold" between 0 and 3.2 or train longer: '
                                           r'opacity was 0.02 at the last step.$'):
        scene_to_tet_grid(scene, TEMPLATE, threshold=10.0)
    with pytest.raises(DistillError, match="the scene is empty: no pixel of 8 views"):
        scene_to_tet_grid(soft_scene(peak=0.2), TEMPLATE)


def test_other_scenes_are_refused_and_it_can_be_stopped(soft_scene):
    surface = SceneRecipe(SurfaceRecipe(), TEMPLATE, Albedo(), SolidBackground())
    with pytest.raises(DistillError, match="Scene to Tet Grid.*no density"):
        scene_to_tet_grid(surface, TEMPLATE)

    def stop(share):
        raise Cancelled("stopped")
    with pytest.raises(Cancelled):
        scene_to_tet_grid(soft_scene(), TEMPLATE, tick=stop)


class SurfaceRecipe:
    def build(self, field, material, background):
        scene = Scene()
        scene.field, scene.is_surface = field, field.is_surface
        return scene


def test_the_node_gives_a_field_a_number_and_a_report(soft_scene):
    scene = soft_scene(size=0.5)
    with torch.inference_mode():                          # as the host runs it
        field, threshold, report = SceneToTetGridNode.execute(
            scene, resolution=20, color_steps=2, levels=2, log2_size=8, base=4, finest=16, width=8).args
    assert field.resolution == 20 and threshold > 0 and "IoU" in report
    field.build(3).surface().vertices.sum().backward()    # nothing of the host's inference mode is left in it
