"""What is said of a run that goes wrong; see test_loop.py for how the loop heeds it."""
import pytest
import torch

from distill3d.kernels import backend
from distill3d.nodes.optimize.health import Health, border_opacity


@pytest.fixture
def ops(monkeypatch):
    for name in "_registry", "_reasons", "_verdicts", "_ran":
        monkeypatch.setattr(backend, name, {})
    monkeypatch.delenv(backend.VARIABLE, raising=False)


def test_a_kernel_that_does_not_work_is_told_once(ops):
    def broken(device):
        raise OSError("no folder to compile in")

    backend.register("march_rays", "warp", None, self_test=broken)
    backend.register("splat", "gsplat", None, lambda device, dtype: "not installed")  # is no failure
    for op in "march_rays", "splat":
        backend.pick(op, torch.device("cpu"), torch.float32)
    told = []
    health = Health(told.append)
    health.see_kernels()
    health.see_kernels()
    assert len(told) == 1 and "march_rays" in told[0] and "no folder" in told[0] and "slower" in told[0]


def seen(pictures):
    """What is told of 40 steps whose pictures have this opacity [B,H,W,1]."""
    told = []
    health = Health(told.append)
    for step in range(40):
        health.see(float(pictures.mean()), step, 40, float(border_opacity(pictures)))
    return told


def ball(radius):
    x = torch.linspace(-1, 1, 32)
    return ((x[:, None] ** 2 + x ** 2).sqrt() < radius).float()[None, ..., None].expand(4, -1, -1, -1)


@pytest.mark.parametrize("pictures", [torch.full((4, 32, 32, 1), opacity) for opacity in (0.97, 0.7)])
def test_fog_is_told(pictures):
    text, = seen(pictures)
    assert "fog" in text and f"{pictures.mean():.2f}" in text


@pytest.mark.parametrize("radius", [0.3, 0.9, 1.1])  # the last one is cut off in the middle of each side
def test_an_object_is_no_fog(radius):
    assert seen(ball(radius)) == []


def test_an_object_that_is_cut_off_in_some_views_is_no_fog():
    near = torch.cat([torch.ones(1, 32, 32, 1), ball(0.8)[:3]])
    assert seen(near) == []


def test_the_border_is_the_outermost_pixels():
    opacity = torch.zeros(2, 5, 6, 1)
    opacity[:, 0], opacity[:, -1], opacity[:, :, 0], opacity[:, :, -1] = 1, 1, 1, 1
    assert border_opacity(opacity) == 1 and border_opacity(1 - opacity) == 0
