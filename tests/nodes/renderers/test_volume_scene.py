import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import distill3d.nodes.renderers.volume_scene as volume_scene
from distill3d.nodes.core.cameras import orbit, turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.field import FieldOutput, VolumeField
from distill3d.nodes.core.rendering import Light
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.fields.mlp_volume import MLPVolume
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.environment_background import EnvironmentBackground
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.random_background import RandomBackground
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer

ALL = ("rgb", "opacity", "depth", "normal", "albedo", "samples")


class Box(VolumeField):
    """Density `thickness` in [-1/2, 1/2]^3, nothing elsewhere in [-1, 1]^3; one colour. Notes what it was asked."""

    def __init__(self, thickness=2.0, half=0.5):
        super().__init__()
        self.half, self.asked = half, []
        self.register_buffer("bounds", torch.tensor([[-1.0] * 3, [1.0] * 3]), persistent=False)
        self.thickness = nn.Parameter(torch.tensor(thickness))
        self.color = nn.Parameter(torch.tensor([2.0, 0.0, -2.0]))

    def density(self, x):
        self.asked.append("density")
        return self.thickness * (x.abs().amax(-1) < self.half)

    def forward(self, x, variance=None, normals=False):
        found = self.density(x)
        self.asked[-1] = "normals" if normals else "features"
        normal = nn.functional.normalize(x, dim=-1) if normals else None
        return FieldOutput(found, self.color.expand(len(x), 3), normal)

    def parameter_groups(self):
        return {"density": [self.thickness], "color": [self.color]}


def scene(field=None, material=Albedo(), background=SolidBackground((0.2, 0.4, 0.6)), **options):
    torch.manual_seed(0)
    field = VoxelVolume(resolutions=(6, 12)).build(3) if field is None else field
    return VolumeRenderer(**options).build(field, material.build(), background.build())


def front(size=1, distance=3.0, fovy=0.001):
    return orbit(0.0, 0.0, distance, math.radians(fovy), size, size)


def headlight(cameras):
    return Light(cameras.position, torch.full((len(cameras),), 0.1), torch.full((len(cameras),), 0.9))


def test_a_box_has_the_closed_form():
    """A ray through density s over length 1 has opacity 1 - exp(-s)."""
    found = scene(Box(), occupancy=0, samples=2000).render(front(), wanted=ALL)
    opacity = 1 - math.exp(-2)
    assert found.opacity.item() == pytest.approx(opacity, rel=2e-3)
    color = torch.tensor([2.0, 0.0, -2.0]).sigmoid()
    torch.testing.assert_close(found.rgb[0, 0, 0], opacity * color + (1 - opacity) * torch.tensor([0.2, 0.4, 0.6]),
                               atol=2e-3, rtol=0)
    torch.testing.assert_close(found.albedo[0, 0, 0], opacity * color, atol=2e-3, rtol=0)
    # The integral over t of t * 2 exp(-2 (t - 2.5)) from 2.5 to 3.5.
    assert found.depth.item() == pytest.approx(3.0 - 4.0 * math.exp(-2), rel=2e-3)
    assert found.normal.norm().item() <= opacity + 1e-4


def test_the_step_is_the_diagonal_over_the_samples():
    found = scene(Box(), occupancy=0, samples=100).render(front(), wanted=ALL).samples
    length = 2 * 3 ** 0.5 / 100
    assert len(found.t) == math.ceil(2 / length)
    torch.testing.assert_close(found.delta[:-1], torch.full_like(found.delta[:-1], length))


def test_the_gradient_of_opacity_is_the_closed_form():
    field = Box()
    scene(field, occupancy=0, samples=2000).render(front()).opacity.sum().backward()
    assert field.thickness.grad.item() == pytest.approx(math.exp(-2), rel=1e-2)


def test_rays_that_miss_see_the_background():
    cameras = turntable(3, 20, 3.0, 120, 6)
    found = scene(Box()).render(cameras, wanted=ALL)
    corner = found.rgb[:, 0, 0]
    torch.testing.assert_close(corner, torch.tensor([0.2, 0.4, 0.6]).expand(3, 3))
    assert (found.opacity[:, 0, 0] == 0).all() and (found.depth[:, 0, 0] == 0).all()


@pytest.mark.parametrize("occupancy", [0, 8])
def test_a_scene_of_nothing(occupancy):
    """No cell is occupied or no ray hits: the background, and a backward pass that does not fail."""
    nothing = scene(Box(0.0), occupancy=occupancy)
    nothing.update(0, 10, Streams(0, 0))
    for cameras in (turntable(2, 0, 3.0, 40, 4), replace(front(4), c2w=front(4).c2w * torch.tensor([1.0, 1, -1, 1]))):
        found = nothing.render(cameras, wanted=ALL, streams=Streams(0, 0))
        torch.testing.assert_close(found.rgb, torch.tensor([0.2, 0.4, 0.6]).expand_as(found.rgb))
        (found.rgb.sum() + found.opacity.sum() + found.samples.density.sum()).backward()
        with torch.no_grad():
            assert nothing.render(cameras).rgb.shape == found.rgb.shape


def test_only_what_is_wanted_is_made():
    cameras, light = front(2, fovy=40), headlight(front(2))
    asked = lambda *wanted, **more: (lambda s: (s.render(cameras, wanted=wanted, **more), s.field.asked))(  # noqa: E731
        scene(Box(), Lambertian()))
    found, calls = asked("opacity", "depth", light=light, shading="shaded")
    assert calls == ["density"] and found.rgb is None and found.normal is None and found.samples is None
    assert asked("rgb", light=light, shading="albedo")[1] == ["features"]
    assert asked("rgb", light=light, shading="shaded")[1] == ["normals"]
    found, calls = asked("albedo", light=light, shading="shaded")
    assert calls == ["features"] and found.opacity is None and found.albedo is not None
    found, calls = asked("rgb", "samples", light=light, shading="shaded")
    assert calls == ["normals"] and found.samples.normal is None
    assert asked("samples", "normal")[0].samples.normal is not None


def test_the_background_is_the_one_that_rgb_lies_over():
    scenery = scene(background=RandomBackground(shares=(0.0, 0.0, 1.0, 0.0)))
    wanted, cameras = ("rgb", "opacity", "albedo", "background"), turntable(3, 15, 3, 40, 6)
    seen = scenery.render(cameras, None, wanted, streams=Streams(3, 1), shading="albedo")
    torch.testing.assert_close(seen.rgb, seen.albedo + (1 - seen.opacity) * seen.background)
    assert (seen.background[:, :1, :1] - seen.background).abs().max() == 0 and seen.background[:, 0, 0].std(0).min() > 0
    # It adds no draw of its own, and comes without rgb as well.
    alone = scenery.render(cameras, None, ("background",), streams=Streams(3, 1))
    assert alone.rgb is None and torch.equal(alone.background, seen.background)
    assert torch.equal(scenery.render(cameras, None, ("rgb",), streams=Streams(3, 1), shading="albedo").rgb, seen.rgb)


def test_samples_tell_the_picture():
    """What regularisers see adds up to what is drawn."""
    cameras = turntable(2, 20, 3.2, 40, 5)
    found = scene().render(cameras, wanted=ALL, streams=Streams(0, 0))
    samples = found.samples
    assert samples.rays == 50 and (samples.ray.diff() >= 0).all()
    total = torch.zeros(50).index_add(0, samples.ray, samples.weights)
    torch.testing.assert_close(total.view(2, 5, 5, 1), found.opacity)
    normal = torch.zeros(50, 3).index_add(0, samples.ray, samples.weights[:, None] * samples.normal)
    torch.testing.assert_close(normal.view(2, 5, 5, 3), found.normal)
    torch.testing.assert_close(samples.direction, cameras.rays()[1].reshape(-1, 3)[samples.ray])


def test_normals_of_the_blob_face_the_cameras():
    cameras = turntable(4, 30, 3.2, 40, 9)
    found = scene().render(cameras, wanted=("normal", "opacity"))
    towards = nn.functional.normalize(cameras.position, dim=-1)
    centre = found.normal[:, 4, 4]
    assert ((centre * towards).sum(-1) > 0.9 * found.opacity[:, 4, 4, 0]).all()
    assert (found.normal.norm(dim=-1) <= found.opacity[..., 0] + 1e-4).all() and found.opacity.max() <= 1


def test_same_seed_same_bytes():
    cameras, light = turntable(2, 20, 3.2, 40, 6), headlight(turntable(2, 20, 3.2, 40, 6))
    pictures = []
    for step in (7, 7, 8):
        made = scene(material=Lambertian(albedo_fraction=0.0), background=RandomBackground())
        made.update(0, 10, Streams(0, step))
        pictures.append(made.render(cameras, light, step=step, streams=Streams(0, step)).rgb)
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])


def test_still_pictures_have_no_jitter():
    made, cameras = scene(), turntable(1, 20, 3.2, 40, 6)
    assert torch.equal(made.render(cameras).opacity, made.render(cameras).opacity)
    moved = [made.render(cameras, streams=Streams(0, step)).opacity for step in (0, 1)]
    assert not torch.equal(*moved)
    torch.testing.assert_close(moved[0], made.render(cameras).opacity, atol=0.1, rtol=0)


def test_pieces_make_the_same_picture(monkeypatch):
    made, cameras = scene(material=Lambertian()), turntable(2, 20, 3.2, 40, 7)
    light = headlight(cameras)
    made.update(0, 1, Streams(0, 0))
    whole = made.render(cameras, light, wanted=ALL)
    monkeypatch.setattr(volume_scene, "_CHUNK", 80 * 9)
    with torch.no_grad():
        pieces = made.render(cameras, light, wanted=ALL)
    for name in ("rgb", "opacity", "depth", "normal", "albedo"):
        torch.testing.assert_close(getattr(pieces, name), getattr(whole, name).detach(), atol=1e-5, rtol=1e-4)
    for name in ("ray", "t", "weights", "normal"):
        torch.testing.assert_close(getattr(pieces.samples, name), getattr(whole.samples, name).detach(), atol=1e-5,
                                   rtol=1e-4)
    assert pieces.samples.rays == whole.samples.rays


def test_memory_is_bounded_by_a_longer_step():
    cameras = turntable(2, 20, 3.2, 40, 16)
    free, capped = scene(occupancy=0), scene(occupancy=0, max_samples=5000)
    many = free.render(cameras, wanted=ALL, streams=Streams(0, 0))
    few = capped.render(cameras, wanted=ALL, streams=Streams(0, 0))
    assert len(many.samples.t) > 15_000 and 2000 < len(few.samples.t) <= 5000
    torch.testing.assert_close(few.opacity.mean(), many.opacity.mean(), atol=0.03, rtol=0)
    with torch.no_grad():
        still = capped.render(cameras, wanted=ALL)
    assert len(still.samples.t) > 15_000


def test_occupancy_skips_what_is_empty_and_changes_little():
    cameras, made = turntable(2, 20, 3.2, 40, 12), scene(threshold=0.001)
    before = made.render(cameras, wanted=ALL)
    for step in range(32):
        assert not made.update(step, 100, Streams(0, step))
    after = made.render(cameras, wanted=ALL)
    assert len(after.samples.t) < 0.35 * len(before.samples.t)
    torch.testing.assert_close(after.opacity, before.opacity, atol=0.03, rtol=0)
    # In the state, so that a trained scene is as quick when it comes back.
    again = scene(threshold=0.001)
    again.load_state_dict(made.state_dict())
    assert len(again.render(cameras, wanted=ALL).samples.t) == len(after.samples.t)


def test_shading_by_default():
    cameras = front(3, fovy=40)
    light, made = headlight(cameras), scene(material=Lambertian(albedo_fraction=0.5, shares=(0.0, 1.0, 0.0)))
    picture = lambda *given, **more: made.render(cameras, *given, **more).rgb  # noqa: E731
    assert torch.equal(picture(light), picture(light, shading="shaded"))
    assert torch.equal(picture(), picture(shading="albedo"))
    assert not torch.equal(picture(light), picture())
    made.update(0, 100, Streams(0, 0))
    trained = lambda step, **more: picture(light, step=step, streams=Streams(0, step), **more)  # noqa: E731
    assert torch.equal(trained(49), trained(49, shading="albedo"))
    assert torch.equal(trained(50), trained(50, shading="textureless"))
    assert torch.equal(picture(None, step=50, streams=Streams(0, 50)), trained(50, shading="albedo"))
    with pytest.raises(DistillError, match="needs a light"):
        picture(shading="shaded")


def test_unbounded_colours_are_clamped_in_stills_only():
    field = Box(50.0)
    field.color.data.fill_(4.0)
    made = scene(field, Albedo("scaled"))
    assert made.render(front(), streams=Streams(0, 0)).rgb.max() > 2
    with torch.no_grad():
        assert made.render(front()).rgb.max() == 1


def test_any_resolution_and_aspect():
    made = scene()
    square, wide = made.render(front(8, fovy=40)), made.render(front(8, fovy=40).resized(8, 14))
    assert wide.rgb.shape == (1, 8, 14, 3)
    torch.testing.assert_close(wide.rgb[:, :, 3:11], square.rgb)


def test_integrated_encoding_gets_the_cone():
    """Variances of a sample: along the ray a segment's, across it the pixel's; fine waves fade in coarse pictures."""
    field, seen = MLPVolume(octaves=4, depth=1, width=8, encoding="integrated").build(3), []
    encode = field.encode
    field.encode = lambda x, variance: seen.append(variance) or encode(x, variance)
    made, length = scene(field, occupancy=0), 2 * 1.15 * 3 ** 0.5 / 80
    for size in (1, 4):
        made.render(front(size, fovy=20))
    coarse, fine = seen[0][len(seen[0]) // 2], seen[1]
    assert coarse[0].item() == pytest.approx(length ** 2 / 12, rel=0.02)
    assert coarse[1].item() == pytest.approx((2 * math.tan(math.radians(10)) * 3.0) ** 2 / 12, rel=0.05)
    assert fine[:, 1].max() < coarse[1] / 8


def test_everything_in_inference_mode():
    """The host runs nodes there; analytic normals need gradients all the same."""
    with torch.inference_mode():
        cameras = turntable(1, 20, 3.2, 40, 5)
        light = headlight(cameras)
        with torch.inference_mode(False):
            made = scene(MLPVolume(octaves=2, depth=1, width=8).build(3), Lambertian(), EnvironmentBackground())
        found = made.render(cameras, light, wanted=ALL)
    assert not found.rgb.requires_grad
    torch.testing.assert_close(found.normal, made.render(cameras, light, wanted=ALL).normal.detach())


def test_a_few_steps_paint_the_object():
    """From the blob to a red ball on white, through jitter, occupancy and random backgrounds."""
    made = scene(VoxelVolume(resolutions=(8, 16)).build(3), background=RandomBackground())
    groups = made.parameter_groups()
    optimizer = torch.optim.Adam([{"params": groups["density"], "lr": 0.3}, {"params": groups["color"], "lr": 0.1}])
    losses = []
    for step in range(25):
        streams = Streams(0, step)
        made.update(step, 25, streams)
        cameras = turntable(4, 20, 3.2, 40, 12)
        found = made.render(cameras, step=step, streams=streams)
        origins, directions = cameras.rays()
        hit = (torch.linalg.cross(origins, directions).norm(dim=-1, keepdim=True) < 0.8).float()
        background = made.background(directions, Streams(0, step))
        loss = (found.rgb - hit * torch.tensor([1.0, 0, 0]) - (1 - hit) * background).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])
