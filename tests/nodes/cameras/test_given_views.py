import math
from dataclasses import replace

import pytest
import torch

from distill3d.kernels.shapes.render import render_shapes
from distill3d.nodes.cameras.given_views import GivenViews, GivenViewsNode, LearnedViews, moved
from distill3d.nodes.cameras.join_pictures import JoinPicturesNode
from distill3d.nodes.cameras.reference_view import ReferenceViewNode
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.material import OwnColor
from distill3d.nodes.core.objective import LearningViews, Objective
from distill3d.nodes.core.pictures import Pictures
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.losses.reference_depth import ReferenceDepth
from distill3d.nodes.losses.reference_mask import ReferenceMask
from distill3d.nodes.losses.reference_rgb import ReferenceRGB
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from distill3d.nodes.shapes.caption import parse_shape, shape_parts
from looks import look_at
from soft_scene import SoftShape

CAPTION = "a red cube on top of a blue sphere"


def shape_pictures(count=4, size=24, **options):
    """True pictures of a shape from around it."""
    cameras = orbit(torch.arange(count) * (2 * math.pi / count), 0.3, 3.0, math.radians(45), size, size)
    seen = render_shapes(shape_parts([parse_shape(CAPTION)] * count), cameras.c2w, cameras.fovy, size)
    rgb = ((seen["rgb"] - 1 + seen["alpha"]) / seen["alpha"].clamp_min(1e-6)).clamp(0, 1)
    return Pictures(cameras, rgb, seen["alpha"], **options)


def run(recipe, views, losses, steps, rates, batch):
    objective = Objective(views, losses, batch=Schedule.of(batch), resolution=Schedule.of(24))
    training = Run(recipe, [objective], OptimizerSettings(**rates), RunSettings(steps, save_every=0), Host())
    return training.run(), training.training


def test_the_order_of_pictures():
    pictures = shape_pictures(3, 4)
    views = GivenViews(pictures)
    drawn = [views.sample(2, 4, 4, step, 10, Streams(0, step)).picture for step in range(4)]
    assert drawn == [(0, 1), (2, 1), (2, 0), (2, 0)] and views.sample(5, 4, 4).picture == (0, 1, 2, 1, 2)
    cameras = views.sample(2, 8, 8, 1, 10, Streams(0, 1))
    assert torch.equal(cameras.c2w, pictures.cameras.c2w[[2, 1]]) and (cameras.height, cameras.width) == (8, 8)
    often = GivenViews(replace(pictures, weight=torch.tensor([1.0, 0, 3])), "random")
    counts = torch.bincount(torch.tensor(often.sample(4000, 4, 4, 0, 1, Streams(0, 0)).picture), minlength=3) / 4000
    torch.testing.assert_close(counts, torch.tensor([0.25, 0, 0.75]), atol=0.03, rtol=0)
    with pytest.raises(DistillError, match="order must be one of"):
        GivenViews(pictures, "sideways")


def test_a_scene_is_fitted_to_four_pictures():
    pictures = shape_pictures()
    recipe = SceneRecipe(VolumeRenderer(samples=48), VoxelVolume(), Albedo(), SolidBackground())
    losses = ReferenceRGB(pictures), ReferenceMask(pictures)

    def error(scene):
        with torch.no_grad():
            seen = scene.build().render(pictures.cameras, wanted=("rgb", "opacity"), shading="albedo")
        return float((seen.rgb - pictures.over(1.0)).square().mean()), float(
            (seen.opacity - pictures.mask).square().mean())

    result, _ = run(recipe, GivenViews(pictures), losses, 40, {"learning_rate": 0.05}, 4)
    for before, after in zip(error(recipe), error(result.scene)):
        assert after < 0.4 * before


def test_pictures_without_depth_do_not_count_for_depth():
    images, depth = torch.rand(1, 8, 8, 3), torch.rand(1, 8, 8, 1)
    one = ReferenceViewNode.execute(images, azimuth=90.0, depth=depth).args[1]
    both = JoinPicturesNode.execute(one, ReferenceViewNode.execute(images).args[1]).args[0]
    rendered = torch.rand(2, 8, 8, 1).requires_grad_()
    values = []
    for pictures in one, both:
        cameras = GivenViews(pictures).sample(len(pictures), 8, 8)
        seen = Rendering(depth=rendered[:len(pictures)], opacity=torch.ones(len(pictures), 8, 8, 1))
        loss = ReferenceDepth(pictures).prepare(RunContext(torch.device("cpu"), 0, LoadedPriors(torch.device("cpu"))))
        values.append(loss(look_at(seen, cameras)).value)
    torch.testing.assert_close(*values)
    gradient, = torch.autograd.grad(values[1], rendered)
    assert gradient.isfinite().all() and gradient[0].abs().max() > 0 and not gradient[1].any()


def test_poses_are_found():
    """The scene is true and stays; the cameras begin 5 degrees off, each in another direction."""
    recipe = SceneRecipe(VolumeRenderer(samples=64, occupancy=0), SoftShape(kind="box", softness=0.05, peak=20.0),
                         OwnColor(), SolidBackground())
    true = orbit(torch.arange(4) * (math.pi / 2) + 0.4, 0.3, 3.0, math.radians(45), 24, 24)
    with torch.no_grad():
        seen = recipe.build().render(true, wanted=("rgb", "opacity", "albedo"))
    off = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    wrong = replace(true, c2w=moved(true, math.radians(5) * off, torch.zeros(4, 3)))
    pictures = Pictures(wrong, seen.albedo / seen.opacity.clamp_min(1e-6), seen.opacity)
    views = LearnedViews(pictures)
    assert isinstance(views, LearningViews) and not isinstance(GivenViews(pictures), LearningViews)
    _, training = run(recipe, views, (ReferenceRGB(pictures), ReferenceMask(pictures)), 80,
                      {"rates": (("pose", 0.005),)}, 4)
    with torch.no_grad():
        found = training.views[0].sample(4, 24, 24)

    def angle(cameras):
        trace = torch.einsum("bij,bij->b", cameras.c2w[:, :3, :3], true.c2w[:, :3, :3])
        return torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))

    assert float((angle(wrong) - 5).abs().max()) < 0.1 and float(angle(found).max()) < 1, angle(found)
    assert float((found.position - true.position).norm(dim=1).max()) < 3 * math.radians(1)


def test_learned_poses_have_gradients():
    cameras = shape_pictures(2, 4).cameras
    cameras = replace(cameras, c2w=cameras.c2w.double(), distance=cameras.distance.double())
    turn, shift = (0.1 * torch.randn(2, 3, dtype=torch.float64,
                                     generator=torch.Generator().manual_seed(i)).requires_grad_()
                   for i in range(2))
    turn, shift = turn.detach().requires_grad_(), shift.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda t, s: moved(cameras, t, s), (turn, shift))
    axes = moved(cameras, turn, shift)[:, :3, :3]
    torch.testing.assert_close(axes @ axes.mT, torch.eye(3).double().expand(2, 3, 3))


def test_the_node():
    pictures = shape_pictures(2, 4)
    assert type(GivenViewsNode.execute(pictures).args[0]) is GivenViews
    views, = GivenViewsNode.execute(pictures, "random", True).args
    assert type(views) is LearnedViews and views.order == "random"
    joined, = JoinPicturesNode.execute(pictures, pictures, 3.0).args
    assert len(joined) == 4 and joined.weight.tolist() == [1, 1, 3, 3]
