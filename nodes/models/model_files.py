"""Finding model files, and choosing devices and precisions."""
from __future__ import annotations

import os
from pathlib import Path

import torch

from ..comfy import FileNames, host
from ..core.errors import DistillError, check_named
from .checkpoint_file import EXTENSIONS
from .published import missing_model_error

KINDS = ("checkpoints", "diffusers")
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


BUILT_IN = "built-in"  # the name of the small model that comes with the pack
# what the nodes that train write, below the output
TRAINED = ("*/builtin", "*/*/builtin")
BUILT_IN_RESOLUTION = 32  # pixels, of all of them


def choices(*kinds: str, shipped: Path | None = None, index: str = "model_index.json") -> FileNames:
    """What the widget of a model offers: files, and folders with a config.json or model_index.json, below the host's
    model folders of these kinds (checkpoints and diffusers unless given); what was trained into the output folder; and
    "built-in" where the pack has a model, `shipped`.

    index  the file by which a trained model is recognised
    """
    found = {BUILT_IN} if shipped and shipped.is_dir() else set()
    for kind in kinds or KINDS:
        for root in host().model_folders(kind):
            if not root.is_dir():
                continue
            for path in root.rglob("*"):
                is_folder = path.name == "model_index.json" or path.name == "config.json" and path.parent.parent == root
                if is_folder and path.parent != root:
                    found.add(path.parent.relative_to(root).as_posix())
                elif path.suffix.lower() in EXTENSIONS and kind != "diffusers":
                    found.add(path.relative_to(root).as_posix())
    output = host().output_directory
    for pattern in TRAINED:
        found.update(path.parent.relative_to(output).as_posix() for path in output.glob(f"{pattern}/{index}"))
    return FileNames(sorted(found))


def locate(chosen: str, name: str, *kinds: str, shipped: Path | None = None) -> Path:
    """The file or folder `chosen` below a model folder or the output folder, or `shipped` for "built-in". Raises
    DistillError, beginning with `name`, where there is none, or where it lies outside."""
    check_named(chosen, name, "model name", "Choose a model, or write the name of its file or folder.")
    if chosen == BUILT_IN and shipped and shipped.is_dir():
        return shipped
    chosen = chosen if (os.sep == "\\") else chosen.replace("\\", "/")  # as a workflow made on Windows names it
    roots = [root for kind in kinds or KINDS for root in host().model_folders(kind)] + [host().output_directory]
    for root in roots:
        # Not resolved: people link large models into their folders. A name can still not climb out of them.
        path = Path(os.path.abspath(root / chosen))
        if chosen and Path(os.path.abspath(root)) in path.parents and path.exists():
            return path
    raise missing_model_error(chosen, name, roots)


class ModelNode:
    """For nodes with a widget "model" of `choices`, before Node among their bases. shipped: the pack's own model."""

    shipped: Path | None = None

    @classmethod
    def validate_inputs(cls, model=None) -> bool | str:
        """ComfyUI then skips its own check of the name, whose message would only be that it is not in the list."""
        try:
            return model is None or bool(locate(model, cls.define_schema().display_name, shipped=cls.shipped))
        except DistillError as error:
            return str(error)


def network_dtype(precision: str, device: torch.device, half: torch.dtype = torch.float16) -> torch.dtype:
    """"auto" is half precision where the device computes in it, float32 elsewhere.

    half  which of the two the model was published in. float16 has eight times the resolution of bfloat16, which score
          distillation needs: it takes the small difference of two similar predictions a hundred times
    """
    return host().half_precision(device, half) if precision == "auto" else _DTYPES[precision]


def vae_dtype(precision: str, device: torch.device, is_xl: bool, half: torch.dtype = torch.float16) -> torch.dtype:
    """As the network, but autoencoders since XL overflow in float16."""
    dtype = network_dtype(precision, device, half)
    return torch.float32 if is_xl and dtype == torch.float16 else dtype
