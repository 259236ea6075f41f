"""The pack's kernels under the name that a host gives a pack. Run in a process of its own; see
tests/kernels/test_foreign_name.py.

foreign_pack.py FOLDER NAME [FOLDER NAME ...]: loads the pack in each folder under its name, runs every op on the
processor, and prints one JSON object for each: {op: backend that runs it}, and under "reasons" why others do not.
"""
import importlib
import importlib.util
import json
import sys
from pathlib import Path

OPS = ["encode.hash_grid", "raster.triangle_ids", "splat.project", "splat.splat", "volume.composite", "volume.march"]


def load(folder, name):
    """As ComfyUI's load_custom_node does, for a pack that is a folder."""
    spec = importlib.util.spec_from_file_location(name, Path(folder) / "__init__.py",
                                                  submodule_search_locations=[str(folder)])
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package


def kernels(name, part):
    return importlib.import_module(f"{name}.kernels.{part}")


def load_for(monkeypatch, name, part):
    """A part of this pack's kernels, loaded under a name for the length of one test."""
    import distill3d

    before = set(sys.modules)
    load(Path(distill3d.__file__).parent, name)
    found = kernels(name, part)
    for added in set(sys.modules) - before:
        if added.startswith(name):
            monkeypatch.setitem(sys.modules, added, sys.modules.pop(added))
    return found


def backends(name):
    """Which backend runs each op on the processor, after its self-test, which compiles and compares."""
    import torch

    for part in OPS:
        kernels(name, part)
    backend, device = kernels(name, "backend"), torch.device("cpu")
    found = {op: backend.pick(op, device, torch.float32) for op in backend._registry}
    return {**found, "reasons": {" ".join(key): reason for key, reason in backend.reasons().items()}}


def main():
    packs = list(zip(sys.argv[1::2], sys.argv[2::2]))
    for folder, name in packs:
        load(folder, name)
    for _, name in packs:
        print("FOUND " + json.dumps(backends(name)))


if __name__ == "__main__":
    main()
