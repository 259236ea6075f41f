"""Times of the kernels and of a training step: python -m tests.bench [--quick] [--json FILE] [--device cpu]"""
from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any, Sequence

# Counting memory makes torch's profiler talk, unless it is told not to before torch is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

import torch

try:
    import distill3d  # noqa: F401
except ImportError:
    sys.exit("The package distill3d is not installed here. From the root of the repository: pip install -e .")

from distill3d.kernels import backend
from distill3d.nodes.core.errors import MissingPackage

from . import peers
from .case import measure, memory_bandwidth
from .kernels import kernel_cases
from .table import guided_table, kernel_table, step_table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Times of the kernels and of a training "
                                     "step.")
    parser.add_argument("--quick", action="store_true", help="small sizes and few repeats: whether it runs, not how "
                        "fast")
    parser.add_argument("--repeats", type=int, default=0, help="passes of which the median is shown (5; 2 with "
                        "--quick)")
    parser.add_argument("--threads", type=int, default=0, help="of torch (default: torch's own choice)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda, mps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the numbers there as well")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    repeats, device = options.repeats or (2 if options.quick else 5), torch.device(options.device)
    began = time.monotonic()
    machine = describe(device)
    _say("  ".join(f"{name} {value}" for name, value in machine.items()), f"median of {repeats}\n")

    bandwidth = memory_bandwidth(device) if device.type == "cuda" else None
    rows = [row for make in kernel_cases(options.quick, device) for row in measure(make(), repeats, device, bandwidth)]
    _say(kernel_table(rows) + "\n")
    for peer, reason in peers.missing(device).items():
        _say(f"{peer} is not timed beside these: {reason}")
    try:
        from .sds_step import sds_step

        step = sds_step(options.quick, repeats, device)
        _say(step_table(step))
    except MissingPackage as error:
        step = None
        _say(f"SDS step: not measured. {error}")
    try:
        from .guided_denoise import guided_denoise

        guided = guided_denoise(options.quick, min(repeats, 2), device)  # a pass of the real size takes long
        _say("\n" + guided_table(guided))
    except MissingPackage as error:
        guided = None
        _say(f"Guided denoise: not measured. {error}")
    if options.json:
        found = {"machine": machine, "bandwidth": bandwidth, "quick": options.quick, "repeats": repeats,
                 "kernels": [row.facts() for row in rows], "peers missing": peers.missing(device), "sds_step": step,
                 "guided_denoise": guided, "seconds": time.monotonic() - began}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def describe(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor() if device.type == "cpu" else ""
    return {"device": f"{device.type} ({name})" if name else device.type, "threads": torch.get_num_threads(),
            "cores": os.cpu_count(), "torch": torch.__version__, "python": platform.python_version()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _say(*parts: str) -> None:
    sys.stdout.write("  ".join(parts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Backends that are missing are rows of the table, not warnings.
    logging.getLogger(backend.__name__).setLevel(logging.ERROR)
    sys.exit(main())
