"""What is said of a run that goes wrong; see test_loop.py for how the loop heeds it."""
import pytest
import torch

from distill3d.kernels import backend
from distill3d.nodes.optimize.health import Health


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
