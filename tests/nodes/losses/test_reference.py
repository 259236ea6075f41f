"""The four losses that compare with a reference: what they measure, refuse and reach."""
import math
from dataclasses import dataclass, replace

import pytest
import torch

from distill3d.kernels.image.compare import psnr
from distill3d.kernels.shapes.render import render_shapes
from distill3d.nodes.cameras.fixed_orbit import FixedOrbit
from distill3d.nodes.cameras.reference_view import ReferenceViewNode
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext, Stateless, Term
from distill3d.nodes.core.pictures import Pictures
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.losses.reference_depth import ReferenceDepth, ReferenceDepthLossNode, axial_depth
from distill3d.nodes.losses.reference_mask import ReferenceMask, ReferenceMaskLossNode
from distill3d.nodes.losses.reference_normal import ReferenceNormal, ReferenceNormalLossNode
from distill3d.nodes.losses.reference_rgb import ReferenceRGB, ReferenceRGBLossNode
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.random_background import RandomBackground
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.optimize.fingerprint import fingerprint
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.objective import ObjectiveNode
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from distill3d.nodes.shapes.caption import parse_shape, shape_parts
from looks import look_at

CPU = torch.device("cpu")


@dataclass(frozen=True)
class View:
    """A VIEWS recipe of one camera that names no picture."""

    elevation: float = 20.0
    azimuth: float = 30.0
    distance: float = 3.0
    fovy: float = 45.0

    def sample(self, batch, height, width, step=0, total=1, streams=None):
        one = torch.ones(batch)
        return orbit(math.radians(self.azimuth) * one, math.radians(self.elevation), self.distance,
                     math.radians(self.fovy), height, width)


VIEW = View()
SIZE = 16
NODES = [ReferenceRGBLossNode, ReferenceMaskLossNode, ReferenceDepthLossNode, ReferenceNormalLossNode]
LOSSES = [ReferenceRGB, ReferenceMask, ReferenceDepth, ReferenceNormal]


def shape_images(size=SIZE, view=VIEW, caption="a red cube on top of a blue sphere"):
    cameras = view.sample(1, size, size)
    return render_shapes(shape_parts([parse_shape(caption)]), cameras.c2w, cameras.fovy, size)


def nodes_reference(size=SIZE):
    """What Reference View makes of pictures of a shape: depth as an estimator gives it, normals in camera axes."""
    images, cameras = shape_images(size), VIEW.sample(1, size, size)
    axial = images["depth"] * (cameras.rays()[1] @ -cameras.c2w[0, :3, 2])[..., None]
    near = 1 - (axial - 2) / 2.5
    alpha = images["alpha"]
    # as a picture with transparency has it
    straight = ((images["rgb"] - 1 + alpha) / alpha.clamp_min(1e-6)).clamp(0, 1)
    normal = images["normal"] @ cameras.c2w[0, :3, :3] * 0.5 + 0.5
    return ReferenceViewNode.execute(straight, VIEW.elevation, VIEW.azimuth, VIEW.distance, VIEW.fovy, "object", 0.0,
                                     mask=alpha[..., 0], depth=near.expand(-1, -1, -1, 3), normal=normal).args


@pytest.fixture(scope="module")
def reference():
    return nodes_reference()[1]


def truth(background=1.0, size=SIZE):
    """The rendering of the shape itself: every loss should be almost 0."""
    images = shape_images(size)
    alpha = images["alpha"]
    behind = torch.as_tensor(background).expand(1, size, size, 3)
    return Rendering(rgb=images["rgb"] + (1 - alpha) * (behind - 1), opacity=alpha, depth=images["depth"] * alpha,
                     normal=images["normal"] * alpha, background=behind)


def value(loss, rendering, cameras=None, step=0, total=10):
    loss = replace(loss, weight=Schedule.of(1.0))
    cameras = cameras or VIEW.sample(len(rendering.opacity), *rendering.opacity.shape[1:3])
    return loss.prepare(RunContext(CPU, 0, LoadedPriors(CPU)))(look_at(rendering, cameras, step, total=total)).value


@pytest.mark.parametrize("background", [1.0, 0.0, torch.tensor([0.1, 0.9, 0.4])], ids=["white", "black", "color"])
@pytest.mark.parametrize("options", [{}, {"metric": "l1"}, {"metric": "l1", "region": "object", "erosion": 1}], ids=str)
def test_rgb_stands_before_the_background_that_is_rendered(reference, background, options):
    loss, seen = ReferenceRGB(reference, **options), truth(background)
    assert value(loss, seen).item() < 1e-6
    assert value(loss, replace(seen, rgb=seen.rgb * 0.5)).item() > 0.01
    # An empty scene shows its background: wrong only where the object should be.
    empty = replace(seen, rgb=seen.background)
    expected = (shape_images()["rgb"] - 1 + shape_images()["alpha"] * (1 - seen.background)).square().mean().item()
    assert value(ReferenceRGB(reference), empty).item() == pytest.approx(expected, rel=1e-4)


def test_rgb_of_the_object_ignores_its_surroundings(reference):
    seen = truth()
    outside = (seen.opacity < 0.4).float()
    spoilt = replace(seen, rgb=seen.rgb * (1 - outside))
    assert value(ReferenceRGB(reference,
                              region="object"), spoilt).item() == value(ReferenceRGB(reference, region="object"), seen)
    assert value(ReferenceRGB(reference), spoilt).item() > 0.1
    rim = torch.rand(SIZE, SIZE, 1) * ((seen.opacity > 0.5) & (seen.opacity < 0.999))
    spoilt = replace(seen, rgb=seen.rgb + rim)
    assert value(ReferenceRGB(reference, region="object"), spoilt) > 1e-3
    assert value(ReferenceRGB(reference, region="object", erosion=1), spoilt).item() < 1e-6


def test_mask(reference):
    seen = truth()
    assert value(ReferenceMask(reference), seen).item() < 1e-9
    empty = replace(seen, opacity=torch.zeros_like(seen.opacity))
    assert value(ReferenceMask(reference), empty).item() == pytest.approx(seen.opacity.square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_depth_is_along_the_axis_and_free_of_opacity(reference, kind):
    seen = truth()
    loss = ReferenceDepth(reference, kind)
    assert value(loss, seen).item() < 1e-4
    # Half as opaque is as deep; nearer and as deep in relief is as good; inside out is not.
    half = replace(seen, opacity=seen.opacity / 2, depth=seen.depth / 2)
    assert value(loss, half).item() == pytest.approx(value(loss, seen).item(), abs=1e-4)
    assert value(loss, replace(seen,
                               depth=6 * seen.opacity - seen.depth)).item() > (1.8 if kind == "relative" else 0.01)
    # A plane across the view is no deeper at its edge.
    cameras = VIEW.sample(1, 8, 8)
    plane = 2.0 / (cameras.rays()[1] @ -cameras.c2w[0, :3, 2])[..., None]
    depth = axial_depth(Rendering(depth=plane, opacity=torch.ones_like(plane)), cameras)
    torch.testing.assert_close(depth, torch.full_like(depth, 2.0))


def test_normals_are_in_camera_axes(reference):
    seen = truth()
    assert value(ReferenceNormal(reference), seen).item() < 1e-3
    for axis in range(3):
        mirrored = seen.normal * torch.tensor([-1.0 if i == axis else 1.0 for i in range(3)])
        assert value(ReferenceNormal(reference), replace(seen, normal=mirrored)).item() > 0.05


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_reach_what_is_compared(reference, loss):
    seen = truth()
    rendering = Rendering(**{name: (0.7 * image + 0.05 * torch.rand_like(image)).requires_grad_()
                             for name, image in vars(seen).items() if image is not None})
    value(loss(reference), rendering).backward()
    compared = {ReferenceRGB: {"rgb", "background"}, ReferenceMask: {"opacity"}, ReferenceDepth: {"depth", "opacity"},
                ReferenceNormal: {"normal"}}[loss]
    grads = {name: image.grad for name, image in vars(rendering).items() if image is not None
             and image.grad is not None}
    assert set(grads) == compared and all(grad.isfinite().all() and grad.abs().max() > 0 for grad in grads.values())
    assert compared <= loss(reference).wanted | {"opacity"}


def test_any_size_and_batch(reference):
    """The reference has 16 pixels; renderings of 40, of 8 and of two views are compared with it resized."""
    for size in (8, 40):
        seen = truth(size=size)
        assert value(ReferenceRGB(reference), seen).item() < 0.02 and value(
            ReferenceMask(reference), seen).item() < 0.02
        assert value(ReferenceDepth(reference), seen).item() < 0.1 and value(
            ReferenceNormal(reference), seen).item() < 0.2
    two = Rendering(**{name: torch.cat([image, image]) for name, image in vars(truth()).items() if image is not None})
    for loss in LOSSES:
        assert value(loss(reference), two).item() == pytest.approx(value(loss(reference), truth()).item(), abs=1e-6)


def test_weights_follow_the_step_and_show_in_the_log(reference):
    loss = ReferenceMask(reference, Schedule(((0, 10.0), (10, 20.0)))).prepare(RunContext(CPU, 0, LoadedPriors(CPU)))
    empty = replace(truth(), opacity=torch.zeros(1, SIZE, SIZE, 1))
    first, later = (loss(look_at(empty, VIEW.sample(1, SIZE, SIZE), step)) for step in (0, 5))
    assert first.log["weight"] == 10 and later.log["weight"] == 15 and later.log["value"] == first.log["value"]
    assert later.value.item() == pytest.approx(1.5 * first.value.item())


@pytest.mark.parametrize("node", NODES)
def test_nodes_chain(reference, node):
    first = object()
    assert node.execute(reference).args[0][-1].reference is reference
    assert node.execute(reference, weight=3.0, losses=(first,)).args[0][0] is first
    assert node.execute(reference, weight=3.0).args[0][0].weight == Schedule.of(3.0)


@pytest.mark.parametrize("elsewhere",
                         [replace(VIEW, azimuth=31.0), replace(VIEW, fovy=44.0), replace(VIEW, distance=3.1)])
def test_other_cameras_are_refused(reference, elsewhere):
    with pytest.raises(DistillError, match="same Reference View"):
        value(ReferenceRGB(reference), truth(), elsewhere.sample(1, SIZE, SIZE))


def test_what_the_reference_lacks_is_named():
    bare = Pictures(VIEW.sample(1, 4, 4), torch.ones(1, 4, 4, 3), torch.ones(1, 4, 4, 1), is_masked=False)
    for node, word in zip(NODES[1:], ("mask", "depth", "normal")):
        with pytest.raises(DistillError, match=word):
            node.execute(bare)
    ReferenceRGBLossNode.execute(bare)


def test_what_the_renderer_lacks_is_named(reference):
    plain = Rendering(rgb=torch.ones(1, 4, 4, 3), opacity=torch.ones(1, 4, 4, 1))
    for loss, word in ((ReferenceRGB, "background"), (ReferenceDepth, "depth"), (ReferenceNormal, "normals")):
        with pytest.raises(DistillError, match=word):
            value(loss(reference), plain)


def test_equal_pictures_are_equal_runs(reference):
    assert fingerprint(ReferenceRGB(reference)) == fingerprint(ReferenceRGB(nodes_reference()[1]))
    assert fingerprint(ReferenceRGB(reference)) != fingerprint(ReferenceRGB(replace(reference, rgb=1 - reference.rgb)))


class Watch(Stateless):
    """A loss that notes what it is shown."""

    wanted = frozenset()

    def __init__(self, name):
        self.name, self.seen = name, []

    def __repr__(self):
        return self.name

    def prepare(self, context):
        return self

    def __call__(self, look):
        self.seen.append((look.step, tuple(look.rendering.rgb.shape[:3])))
        return Term(look.rendering.rgb.mean())


def scene(background=SolidBackground()):
    return SceneRecipe(VolumeRenderer(samples=32, occupancy=0), VoxelVolume(resolutions=(8, 16)), Albedo(), background)


def run(folder, objectives, steps, background=SolidBackground()):
    return Run(scene(background), objectives, OptimizerSettings(learning_rate=0.05),
               RunSettings(steps, save_every=0, preview=8), Host(folder)).run()


@pytest.mark.parametrize("way, seen", [
    ("alternate", ([0, 2, 4], [1, 3, 5])), ("accumulate", ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])),
    ("late", ([0, 1, 2, 3, 4, 5], [2, 3]))])
def test_objectives_alternate_or_accumulate_each_at_its_own_size(tmp_path, way, seen):
    every, start, end = {"alternate": (2, 1, 0), "accumulate": (1, 0, 0), "late": (1, 2, 4)}[way]
    of_reference, of_orbit = Watch("reference"), Watch("orbit")
    chain = ObjectiveNode.execute(VIEW, (of_reference,), 1, Schedule(((0, 6.0), (3, 9.0)), shape="step"),
                                  every=2 if way == "alternate" else 1).args[0]
    chain = ObjectiveNode.execute(FixedOrbit(8), (of_orbit,), 3, 5, every, start, end, objectives=chain).args[0]
    run(tmp_path, chain, 6)
    # The largest size is tried out before the first step, which is no part of the run.
    assert of_reference.seen[1:] == [(step, (1, *([6 if step < 3 else 9] * 2))) for step in seen[0]]
    assert of_orbit.seen == [(step, (3, 5, 5)) for step in seen[1]]


@pytest.mark.parametrize("background", [SolidBackground(), RandomBackground()], ids=["white", "random"])
def test_a_scene_comes_to_look_like_its_reference(tmp_path, background):
    views, reference, _, _ = nodes_reference(32)
    losses = ReferenceRGBLossNode.execute(reference).args[0]
    losses = ReferenceMaskLossNode.execute(reference, losses=losses).args[0]
    objective = ObjectiveNode.execute(views, losses, 1, 20).args[0]
    result = run(tmp_path, objective, 60, background)
    camera, wanted = VIEW.sample(1, 24, 24), truth(size=24)
    with torch.no_grad():
        before, after = (recipe.build().render(camera) for recipe in (scene(background), result.scene))
    assert psnr(before.rgb, wanted.rgb).item() < 15
    assert psnr(after.rgb, wanted.rgb).item() > 20
    assert (after.opacity - wanted.opacity).square().mean().item() < 0.02


def test_depth_and_normals_shape_it_too(tmp_path):
    """In a few steps each brings what it measures nearer to the reference than colours alone do."""
    views, reference, _, _ = nodes_reference(32)
    base = (ReferenceRGB(reference), ReferenceMask(reference))

    def error(loss, *more):
        trained = run(tmp_path, ObjectiveNode.execute(views, (*base, *more), 1, 16).args[0], 25).scene.build()
        with torch.no_grad():
            seen = trained.render(VIEW.sample(1, 24, 24), None, ("rgb", "opacity", "depth", "normal"))
        return value(loss, seen).item()

    for loss, share in ((ReferenceDepth(reference, "relative", Schedule.of(5.0)), 0.5),
                        (ReferenceDepth(reference, "absolute", Schedule.of(50.0)), 0.5),
                        (ReferenceNormal(reference, Schedule.of(300.0)), 0.85)):
        assert error(loss, loss) < share * error(loss)
