"""Every Warp kernel compiles for every CUDA architecture in use. The test needs no GPU."""
import importlib
from pathlib import Path

import pytest
import torch

import distill3d.kernels
from distill3d.kernels import warp_runtime

pytest.importorskip("warp")

ROOT = Path(distill3d.kernels.__file__).resolve().parent
SOURCES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*_warp.py"))
CARDS = [75, 80, 86, 89, 90, 100, 120]  # Turing, Ampere (2), Ada, Hopper, Blackwell (2)


def compile_to_ptx(module, arch, folder):
    warp = warp_runtime.start()
    return [Path(path) for path in warp.compile_aot_module(module, arch=arch, module_dir=folder, use_ptx=True)]


@pytest.mark.parametrize("arch", CARDS)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_compiles(source, arch, tmp_path):
    warp_runtime.start()
    module = importlib.import_module(".".join(("distill3d.kernels", *source.with_suffix("").parts)))
    compile_to_ptx(module, arch, tmp_path)
    ptx = "".join(path.read_text() for path in tmp_path.rglob("*.ptx"))
    assert f".target sm_{arch}" in ptx
    kernels = [name for name, one in vars(module).items() if type(one).__name__ == "Kernel"]
    assert kernels and all(f"{name}_" in ptx for name in kernels)


@pytest.mark.parametrize("name, fused",
                         [("raster.triangle_ids_warp", "fma.rn.f64"), ("volume.march_warp", "fma.rn.f32")])
def test_exact_kernels_do_not_fuse_multiply_add(name, fused, tmp_path):
    warp_runtime.start()
    compile_to_ptx(importlib.import_module(f"distill3d.kernels.{name}"), 86, tmp_path)
    ptx = "".join(path.read_text() for path in tmp_path.rglob("*.ptx"))
    assert fused.replace("fma", "mul") in ptx and fused not in ptx


def test_a_kernel_that_cannot_compile_is_found(tmp_path):
    warp = warp_runtime.start()

    @warp.func_native("there_is_no_such_function(out.data[0]);")
    def broken(out: warp.array(dtype=warp.float32)): ...

    @warp.kernel(module="unique")
    def call_broken(out: warp.array(dtype=warp.float32)):
        broken(out)

    with pytest.raises(Exception, match="(?i)build|compil"):
        compile_to_ptx(call_broken.module, 75, tmp_path)


def test_runtime_reports_why_it_is_unusable():
    assert "mps" in warp_runtime.unusable(torch.device("mps"), torch.float32)
    assert "float16" in warp_runtime.unusable(torch.device("cpu"), torch.float16)
    assert warp_runtime.unusable(torch.device("cpu"), torch.float32) is None


def test_missing_package_is_a_reason(monkeypatch):
    def absent():
        raise ImportError("No module named 'warp'")

    monkeypatch.setattr(warp_runtime, "start", absent)
    assert "warp-lang" in warp_runtime.unusable(torch.device("cpu"), torch.float32)


def test_parallel_pieces_cover_everything_once(monkeypatch):
    for threads, items, weight in (1, 7, 10**9), (3, 7, 10**9), (64, 5, 10**9), (4, 0, 0), (4, 100, 10), (4, 100,
                                                                                                          3 * 2**13):
        monkeypatch.setattr(warp_runtime.torch, "get_num_threads", lambda threads=threads: threads)
        pieces = []
        warp_runtime.in_parallel(lambda first, last: pieces.append((first, last)), items, weight, torch.device("cpu"))
        assert sorted(index for first, last in pieces for index in range(first, last)) == list(range(items))
        assert len(pieces) == max(1, min(threads, items, weight // warp_runtime.TOO_SMALL))
