import logging

import pytest
import torch

from distill3d.kernels import backend

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(backend, "_registry", {})
    monkeypatch.setattr(backend, "_reasons", {})
    monkeypatch.delenv(backend.VARIABLE, raising=False)


def test_reference_is_always_there():
    assert backend.pick("anything", CPU, torch.float32) == "torch"


def test_auto_takes_the_first_that_can_run_and_keeps_reasons():
    backend.register("op", "torch", lambda: "slow")
    backend.register("op", "gsplat", lambda: "never", lambda device, dtype: "not installed")
    backend.register("op", "warp", lambda: "fast",
                     lambda device, dtype: None if dtype == torch.float32 else "float32 only")
    assert backend.implementation("op", CPU, torch.float32)() == "fast"
    assert backend.reasons() == {("op", "gsplat"): "not installed"}
    assert backend.implementation("op", CPU, torch.float64)() == "slow"
    assert backend.reasons()["op", "warp"] == "float32 only"


def test_probe_that_raises_is_a_reason():
    def broken(device, dtype):
        raise OSError("libcuda.so.1 is missing")
    backend.register("op", "warp", None, broken)
    assert backend.pick("op", CPU, torch.float32) == "torch"
    assert backend.reasons()["op", "warp"] == "OSError: libcuda.so.1 is missing"


def test_variable_forces_the_reference(monkeypatch):
    backend.register("op", "warp", lambda: "fast")
    monkeypatch.setenv(backend.VARIABLE, "torch")
    assert backend.pick("op", CPU, torch.float32) == "torch"


def test_forced_backend_falls_back_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setenv(backend.VARIABLE, "warp")
    with caplog.at_level(logging.WARNING):
        assert [backend.pick("op", CPU, torch.float32) for _ in range(2)] == ["torch", "torch"]
    assert len(caplog.records) == 1 and '"warp"' in caplog.text
    assert "no" in backend.reasons()["op", "warp"]


def test_unknown_names_are_errors(monkeypatch):
    monkeypatch.setenv(backend.VARIABLE, "cuda")
    with pytest.raises(backend.BackendError, match='"cuda".*auto, torch, warp'):
        backend.pick("op", CPU, torch.float32)
    with pytest.raises(backend.BackendError, match="triton"):
        backend.register("op", "triton", None)
    monkeypatch.setenv(backend.VARIABLE, "auto")
    with pytest.raises(backend.BackendError, match="missing"):
        backend.implementation("missing", CPU, torch.float32)
