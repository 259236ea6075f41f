from dataclasses import dataclass

import pytest
import torch

from distill3d.nodes.cameras.fixed_orbit import FixedOrbit
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import Stateless, Term
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.picture import IMAGES, picture
from distill3d.nodes.core.rendering import displayed
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.export.turntable import render_turntable
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.environment_background import EnvironmentBackground
from distill3d.nodes.materials.latent import Latent, LatentNode
from distill3d.nodes.materials.random_background import RandomBackground
from distill3d.nodes.materials.solid_background import SolidBackground, SolidBackgroundNode
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from mesh_field import Triangles, ball

TARGET = torch.tensor([2.0, -1.5, 0.3, -0.6])


@dataclass(frozen=True)
class Constant:
    """The rendering should be TARGET everywhere."""

    name: str = "constant"
    wanted: frozenset = frozenset({"rgb"})

    def prepare(self, context):
        return ConstantMeasure()


class ConstantMeasure(Stateless):
    def __call__(self, look):
        return Term((look.rendering.rgb - TARGET).square().mean())


def scene(background):
    return SceneRecipe(VolumeRenderer(samples=32), VoxelVolume(resolutions=(8,)), Latent(), background)


def error(recipe):
    cameras = orbit([0.5, 2.0], 0.2, 3.2, 0.7, 16, 16)
    with torch.no_grad():
        seen = recipe.build().render(cameras, wanted=("rgb", "albedo", "background"))
    assert seen.rgb.shape == seen.albedo.shape == seen.background.shape == (2, 16, 16, 4)
    return float((seen.rgb - TARGET)[:, 5:11, 5:11].square().mean())  # where the volume is, whatever the background


@pytest.mark.parametrize("background", [SolidBackground((0.0, 0.5, 0.0, -0.5)), RandomBackground(still=(0.0,)),
                                        EnvironmentBackground(activation="none")], ids=lambda one: type(one).__name__)
def test_a_scene_of_latents_is_trained(background):
    recipe = scene(background)
    objective = Objective(FixedOrbit(), (Constant(),), batch=Schedule.of(2), resolution=Schedule.of(16))
    run = Run(recipe, [objective], OptimizerSettings(learning_rate=0.1), RunSettings(60, save_every=0), Host())
    result = run.run()
    before, after = error(recipe), error(result.scene)
    assert after < 0.1 * before
    pictures = render_turntable(result.scene, 2, 16)
    frames = pictures[0] if isinstance(pictures, tuple) else pictures
    assert frames.shape == (2, 16, 16, 3) and 0 <= float(frames.min()) and float(frames.max()) <= 1


def test_stills_of_latents_are_not_clipped():
    cameras = orbit(0.5, 0.2, 3.2, 0.7, 8, 8)
    with torch.no_grad():
        seen = scene(SolidBackground((-2.0,))).build().render(cameras, wanted=("rgb", "opacity"))
    assert float(seen.rgb.min()) < -1
    assert IMAGES["latent"].channels is None and not IMAGES["latent"].bounded
    assert picture(seen, cameras, "latent") is seen.rgb


def test_a_mesh_of_latents():
    field = Triangles(*ball(6), features=(2.0, 0.0, -2.0, 5.0))
    made = MeshRasterizer().build(field, Latent().build(), SolidBackground((0.5,)).build(4))
    with torch.no_grad():
        seen = made.render(orbit(0.0, 0.0, 2.5, 0.7, 16, 16), wanted=("rgb", "albedo", "background"))
    torch.testing.assert_close(seen.rgb[0, 8, 8], torch.tensor([2.0, 0, -2, 5]))
    torch.testing.assert_close(seen.rgb[0, 0, 0], torch.full((4,), 0.5))


def test_backgrounds_have_the_channels_of_the_material():
    where = torch.nn.functional.normalize(torch.randn(3, 5, 5, 3), dim=-1)
    for recipe in (SolidBackground((0.5,)), RandomBackground(still=(0.0,)), EnvironmentBackground(random_share=0.5)):
        for channels in 1, 4:
            assert recipe.build(channels)(where, Streams(0, 0)).shape == (3, 5, 5, channels)
    with pytest.raises(DistillError, match="Solid Background: the material has 4 channels, and the color has 3 values"):
        scene(SolidBackground()).build()
    assert SolidBackgroundNode.execute("0, -1, 0.5, 2").args[0].color == (0.0, -1.0, 0.5, 2.0)
    assert SolidBackgroundNode.execute("1, 0.5, 0").args[0].color == (1.0, 0.5, 0.0)
    for wrong in ("0, -1, 2", "nan", "#12", "a, b, c, d"):
        with pytest.raises(DistillError, match="Cannot read the colour"):
            SolidBackgroundNode.execute(wrong)


def test_what_is_no_color_can_be_looked_at():
    image = torch.tensor([[-3.0, 0.0, 3.0, 9.0]])
    torch.testing.assert_close(displayed(image, False), torch.tensor([[0.0, 0.5, 1.0]]))
    torch.testing.assert_close(displayed(image[:, :1], False), torch.zeros(1, 3))
    torch.testing.assert_close(displayed(image[:, :3]), torch.tensor([[0.0, 0.0, 1.0]]))


def test_the_node():
    assert LatentNode.execute(8).args[0] == Latent(8)
    module = Latent(5).build()
    features = torch.randn(7, 5)
    color, albedo = module(features, None, torch.zeros(7, 3), None, "shaded")
    assert color is features and albedo is features and module.features_of(torch.rand(2, 3)).shape == (2, 5)
    with pytest.raises(DistillError, match="Latent: \"channels\" is 0"):
        Latent(0)
