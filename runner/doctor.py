"""Doctor: what is installed, what each missing package would add, and the command that installs it."""
from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..nodes.comfy import Host
from ..nodes.models.builtin import BUILTIN_FOLDER


@dataclass(frozen=True)
class Finding:
    """status: "ok", "missing" (optional) or "wrong" (nothing works without it); advice: what to do, or ""."""

    status: str
    subject: str
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Package:
    """A package by its import name, what it adds, and its name for `pip install`."""

    module: str
    brings: str
    pip: str = ""
    needed: bool = False


PACKAGES = (
    Package("numpy", "arrays", needed=True),
    Package("PIL", "reading and writing pictures", "pillow", needed=True),
    Package("safetensors", "saving and resuming runs, loading models", needed=True),
    Package("diffusers", "every diffusion prior", needed=True),
    Package("transformers", "text encoders of the priors", needed=True),
    Package("accelerate", "faster loading of large models"),
    Package("sentencepiece", "T5 tokenizers that are spiece.model files, as DeepFloyd IF's"),
    Package("google.protobuf", "the same", "protobuf"),
    Package("trimesh", "GLB, OBJ and PLY files", needed=True),
    Package("xatlas", "Unwrap UV"),
    Package("scipy", "Compare Geometry"),
    Package("pymeshlab", "reducing large meshes before Unwrap UV"),
    Package("av", "videos of turntables"),
    Package("tqdm", "progress bars on the command line"),
    Package("warp", "fast kernels on NVIDIA cards and processors; the torch ones work without", "warp-lang"),
)
MODEL_KINDS = ("diffusers", "checkpoints", "loras")


def examine(host: Host) -> list[Finding]:
    """What this machine has. Imports nothing heavy and changes nothing."""
    return [*_runtime(host), *map(_package, PACKAGES), *_folders(host)]


def report(findings: list[Finding]) -> str:
    """The findings as a table, and what to install at the end."""
    width = max(len(one.subject) for one in findings)
    lines = [f"{one.status:<8}{one.subject:<{width}}  {one.text}" + (f"\n{'':<{width + 10}}{one.advice}"
                                                                      if one.advice else "") for one in findings]
    wrong = sum(one.status == "wrong" for one in findings)
    lines.append(f"{wrong} {'thing needs' if wrong == 1 else 'things need'} mending." if wrong else
                 "Everything that is needed is here.")
    return "\n".join(lines) + "\n"


def _runtime(host: Host) -> Iterator[Finding]:
    version = platform.python_version()
    yield (Finding("ok", "python", version) if sys.version_info >= (3, 10) else
           Finding("wrong", "python", f"{version} is too old", "Install Python 3.10 or newer."))
    yield Finding("ok", "torch", f"{torch.__version__}, {torch.get_num_threads()} CPU threads")
    device = host.device()
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        yield Finding("ok", "device", f"{facts.name}, {facts.total_memory / 2**30:.0f} GB")
    else:
        yield Finding("ok", "device", f"{device} (no CUDA device that this torch can use)")
    yield _builtin_prior()


def _builtin_prior() -> Finding:
    files = [BUILTIN_FOLDER / "model_index.json", *BUILTIN_FOLDER.glob("unet/*.safetensors")]
    if len(files) < 2 or not files[0].is_file():
        return Finding("wrong", "built-in prior", f"its weights are missing in {BUILTIN_FOLDER}",
                       "Install the package again, or train it: distill3d train")
    size = sum(path.stat().st_size for path in BUILTIN_FOLDER.rglob("*") if path.is_file())
    return Finding("ok", "built-in prior", f"{BUILTIN_FOLDER} ({size / 1e6:.1f} MB)")


def _package(package: Package) -> Finding:
    pip = package.pip or package.module
    try:
        found = importlib.util.find_spec(package.module) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        return Finding("wrong" if package.needed else "missing", package.module,
                       f"not installed; brings {package.brings}", f"pip install {pip}")
    try:
        version = importlib.metadata.version(pip if package.pip and " " not in pip else package.module)
    except importlib.metadata.PackageNotFoundError:
        version = "installed"
    return Finding("ok", package.module, f"{version}; {package.brings}")


def _folders(host: Host) -> Iterator[Finding]:
    for kind in MODEL_KINDS:
        folders = host.model_folders(kind)
        counts = [f"{folder.resolve()} ({sum(1 for _ in folder.iterdir())} entries)" for folder in folders
                  if folder.is_dir()]
        yield (Finding("ok", f"models/{kind}", ", ".join(counts)) if counts else
               Finding("missing", f"models/{kind}", "no such folder; only needed for models of your own",
                       f"mkdir -p {folders[0]}"))
    folder = host.output_directory.resolve()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        yield Finding("ok", "output", f"{folder} {'can be written' if existing == folder else 'can be made'}")
    else:
        yield Finding("wrong", "output", f"{folder} cannot be written", "Choose another folder with --output.")
