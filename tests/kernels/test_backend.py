import logging
import threading
import time

import pytest
import torch

from distill3d.kernels import backend

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(backend, "_registry", {})
    monkeypatch.setattr(backend, "_reasons", {})
    monkeypatch.setattr(backend, "_verdicts", {})
    monkeypatch.setattr(backend, "_ran", {})
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


def test_forced_backend_falls_back_and_logs_once(monkeypatch, caplog):
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


def test_self_test_runs_once_and_its_failure_keeps_both_causes():
    calls = []

    def build(device):
        calls.append(device.type)
        try:
            raise ImportError("no module named fast")
        except ImportError as error:
            raise RuntimeError("no compiler") from error

    backend.register("op", "warp", lambda: "fast", self_test=build)
    assert [backend.pick("op", CPU, torch.float32) for _ in range(3)] == ["torch"] * 3
    assert calls == ["cpu"]
    reason = backend.reasons()["op", "warp"]
    assert "RuntimeError: no compiler" in reason and "ImportError: no module named fast" in reason


def test_self_test_that_passes_is_not_repeated_and_can_differentiate():
    calls = []

    def passes(device):
        calls.append(torch.ones(1, requires_grad=True).mul(2).requires_grad)

    backend.register("op", "warp", lambda: "fast", self_test=passes)
    with torch.inference_mode():
        assert [backend.pick("op", CPU, torch.float32) for _ in range(2)] == ["warp"] * 2
    assert calls == [True]


def test_threads_share_one_self_test():
    calls, found = [], []

    def slow(device):
        calls.append(threading.get_ident())
        time.sleep(0.05)

    backend.register("op", "warp", lambda: "fast", self_test=slow)
    threads = [threading.Thread(target=lambda: found.append(backend.pick("op", CPU, torch.float32))) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(calls) == 1 and found == ["warp"] * 4


def test_a_block_prefers_a_backend_and_the_variable_overrides_it(monkeypatch):
    backend.register("op", "warp", lambda: "fast")
    with backend.prefer("torch"):
        assert backend.pick("op", CPU, torch.float32) == "torch"
        with backend.prefer("auto"):
            assert backend.pick("op", CPU, torch.float32) == "torch"
        monkeypatch.setenv(backend.VARIABLE, "warp")
        assert backend.pick("op", CPU, torch.float32) == "warp"
    monkeypatch.delenv(backend.VARIABLE)
    assert backend.pick("op", CPU, torch.float32) == "warp"
    with pytest.raises(backend.BackendError, match="cuda"), backend.prefer("cuda"):
        pass


def test_expect_close_catches_what_a_self_test_should():
    wanted = torch.tensor([1.0, 2.0])
    backend.expect_close("sum", wanted + 1e-5, wanted)
    for wrong in wanted + 1e-3, wanted * torch.nan, wanted[:1]:
        with pytest.raises(ArithmeticError, match="sum"):
            backend.expect_close("sum", wrong, wanted)


def test_a_failed_self_test_is_logged_under_auto_too(caplog):
    def broken(device):
        raise OSError("no folder to compile in")

    backend.register("op", "gsplat", None, lambda device, dtype: "not installed")
    backend.register("op", "warp", None, self_test=broken)
    with caplog.at_level(logging.WARNING):
        assert backend.pick("op", CPU, torch.float32) == "torch"
    assert len(caplog.records) == 1 and "no folder" in caplog.text
    assert list(backend.failures()) == [("op", "warp")] and "no folder" in backend.failures()["op", "warp"]


def test_the_last_backend_is_recorded():
    backend.register("fast", "warp", None)
    backend.register("slow", "warp", None, lambda device, dtype: "not here")
    for op in "fast", "slow":
        backend.pick(op, CPU, torch.float32)
    assert backend.ran() == {"fast": "warp", "slow": "torch"}
