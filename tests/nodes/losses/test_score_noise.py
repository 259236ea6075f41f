"""Noise on the object, on renderings whose surface is known: a sphere seen from around."""
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.losses.score_noise import FRESH, KEPT, ON_OBJECT, draw_noise
from looks import look_at

RADIUS = 0.7


def sphere(cameras):
    """Opacity and distance of a sphere around the origin."""
    origins, directions = cameras.rays()
    middle = -(origins * directions).sum(-1, keepdim=True)
    inside = RADIUS**2 - (origins.square().sum(-1, keepdim=True) - middle.square())
    opacity = (inside > 0).float()
    return Rendering(opacity=opacity, depth=(middle - inside.clamp_min(0).sqrt()) * opacity)


def draw(kind, step=3, cameras=None, seed=0, size=32, renewal=1e-4):
    cameras = turntable(2, 10, 3, 40, 64) if cameras is None else cameras
    look = look_at(sphere(cameras), cameras, step, Streams(seed, step, "objective/"))
    return draw_noise(look, kind, torch.Size((len(cameras), 4, size, size)), renewal), look


def test_fresh_is_the_stream_of_the_step():
    noise, _ = draw(FRESH)
    assert torch.equal(noise, torch.randn(2, 4, 32, 32, generator=Streams(0, 3, "objective/")("noise")))


def test_kept_noise_is_the_same_at_every_step_and_not_for_every_seed():
    assert torch.equal(draw(KEPT, 3)[0], draw(KEPT, 90)[0])
    assert not torch.equal(draw(KEPT)[0], draw(KEPT, seed=1)[0])


def test_noise_on_the_object_has_unit_variance():
    noises = torch.stack([draw(ON_OBJECT, seed=seed)[0] for seed in range(12)])
    assert abs(float(noises.var()) - 1) < 0.02 and abs(float(noises.mean())) < 0.02
    assert float((noises.square().mean((0, 2)) - 1).abs().max()) < 1.5  # 48 draws for each pixel


def test_it_stays_on_the_object_from_step_to_step_and_is_fresh_beside_it():
    (first, look), (second, _) = draw(ON_OBJECT, 3), draw(ON_OBJECT, 4)
    inside = torch.nn.functional.avg_pool2d(look.rendering.opacity.permute(0, 3, 1, 2), 2).expand_as(first)
    on = (inside == 1) & (torch.nn.functional.avg_pool2d(inside, 5, 1, 2) == 1)
    assert float((first - second)[on].abs().max()) < 0.01
    assert abs(float((first * second)[inside == 0].mean())) < 0.05


def test_neighbouring_views_see_the_same_noise():
    """The camera moved a little: pixels in the middle see nearly the same surface."""
    near = turntable(360, 10, 3, 40, 64).take([0, 1])
    noise, _ = draw(ON_OBJECT, cameras=near)
    far, _ = draw(ON_OBJECT, cameras=turntable(2, 10, 3, 40, 64))
    middle = slice(12, 20)
    same = lambda pair: float((pair[0, :, middle, middle] * pair[1, :, middle, middle]).mean())  # noqa: E731
    assert same(noise) > 0.5 and abs(same(far)) < 0.2


def test_renewal_replaces_it_in_time():
    first, look = draw(ON_OBJECT, 0, renewal=0.1)
    on = torch.nn.functional.avg_pool2d(look.rendering.opacity.permute(0, 3, 1, 2), 2).expand_as(first) == 1
    correlation = [float((first * draw(ON_OBJECT, step, renewal=0.1)[0])[on].mean()) for step in (2, 10)]
    assert correlation[0] > 0.8 and abs(correlation[1]) < 0.1
