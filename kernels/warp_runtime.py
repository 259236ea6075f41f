"""Running kernels written for NVIDIA Warp on torch tensors: one source for CPUs and CUDA, no compiler to install.

Files named *_warp.py hold such kernels. They import warp when they are loaded, so nothing may import them before it is
about to run them. Warp compiles a file when one of its kernels first runs and keeps the result in its own cache folder,
under the name that the file takes from `kernel_module`.
"""
from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Callable, Sequence

import torch

DEVICES = ("cpu", "cuda")
TOO_SMALL = 2**13  # items of work below which a second thread costs more than it brings


def unusable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why Warp cannot run float32 kernels here, None where it can."""
    if device.type not in DEVICES:
        return f"Warp does not support {device.type} devices"
    if dtype != torch.float32:
        return f"float32 only, not {str(dtype).removeprefix('torch.')}"
    try:
        start()
    except ImportError as error:
        return f"the package warp-lang cannot be imported ({error})"
    return None


@lru_cache(None)
def start() -> Any:
    """The initialised module warp, without Warp's banner on standard output. Raises ImportError."""
    import warp

    warp.config.log_level = max(warp.config.log_level, warp.LOG_ERROR)
    with contextlib.nullcontext() if torch.cuda.is_available() else _native_silence():
        warp.init()
    return warp


@contextlib.contextmanager
def _native_silence() -> Iterator[None]:
    """Hides what native code writes to standard error. Without a GPU Warp reports that at every start, and has no
    setting against it."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def kernel_module(name: str) -> str:
    """The name for a file of kernels, to be assigned to its `__name__` before its first kernel:
    "distill3d_encode_hash_grid_warp".

    name  the file's `__name__`, which begins with the name that the pack was imported under

    Warp names a folder of its cache after the module that defines a kernel. ComfyUI imports a pack under the absolute
    path of its folder, and that is no name for a folder: separators (on Windows a drive letter too) would nest or
    forbid it. The name given here does not depend on how the pack is imported, so that ComfyUI and the command line
    share compiled kernels. Where two copies of the pack are loaded in one process, the later one gets a number: Warp
    would merge modules of equal names. The file stands under the name in sys.modules, where Warp and inspect look for a
    module's loader and source.
    """
    file = sys.modules[name]
    plain = "distill3d_" + name.removeprefix(__package__ + ".").replace(".", "_")
    given, copies = plain, 1
    while sys.modules.setdefault(given, file) is not file:
        copies += 1
        given = f"{plain}_{copies}"
    return given


def launch(kernel: Any, size: int, arguments: Sequence[Any], device: torch.device) -> None:
    """Runs `kernel` for the indices below `size` after what torch has queued on `device`. Tensors among the arguments
    must be contiguous and of the kernel's types; what the kernel writes to is theirs."""
    if not size:
        return
    warp = start()
    handed = [_array(warp, one) if isinstance(one, torch.Tensor) else one for one in arguments]
    if device.type == "cuda":
        stream = warp.stream_from_torch(torch.cuda.current_stream(device))
        warp.launch(kernel, size, inputs=handed, device=stream.device, stream=stream, record_tape=False)
    else:
        warp.launch(kernel, size, inputs=handed, device="cpu", record_tape=False)


def in_parallel(work: Callable[[int, int], None], items: int, weight: int, device: torch.device) -> None:
    """Calls work(first, last) so that together the calls cover range(items).

    weight  how much work there is in all; see TOO_SMALL

    Warp runs a launch on one processor core. Here as many of them are used as torch may use; pieces must not write to
    the same place. A CUDA device gets everything in one call. Nothing is recorded for gradients: torch can lock up when
    two threads do so for the same parameter.
    """
    work = torch.no_grad()(work)
    threads = min(torch.get_num_threads(), items, weight // TOO_SMALL) if device.type == "cpu" else 1
    if threads < 2:
        work(0, items)
        return
    edges = [items * k // threads for k in range(threads + 1)]
    list(_pool(os.getpid(), torch.get_num_threads()).map(work, edges, edges[1:]))


@lru_cache(1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """By process, because threads do not survive a fork."""
    return ThreadPoolExecutor(threads, "distill3d-warp")


def _array(warp: Any, tensor: torch.Tensor) -> Any:
    return warp.from_torch(tensor.detach(), requires_grad=False, return_ctype=True)
