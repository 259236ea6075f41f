"""A checkpoint file of one model, as people have them (.safetensors, .ckpt, .pt), read without running anything in
it."""
from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any, Iterator

import torch
from torch import Tensor

from ..core.errors import DistillError, MissingPackage, first_line

EXTENSIONS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin")

# Classes of the trainers that published checkpoints were saved with. They hold no weights: an empty stand-in takes
# their place, so that their own code never runs.
_STAND_INS = ("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
              "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint")
# Beside weights in float8: what they are multiplied by, and marks of the programs that made them.
_SCALES = (".scale_weight", ".weight_scale")
_NO_WEIGHTS = (".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")
_WRAPPERS = ("state_dict", "model_state_dict")


class CheckpointFile:
    """Names and shapes of a file's tensors; values are read on demand.

    A "state_dict" wrapper is opened. Weights in float8 are read as float16, times their scale where the file keeps one.
    Raises DistillError, beginning with the node's `name`, for a file that is missing,
    cut off, of another format, or a pickle with code in it.
    """

    def __init__(self, path: str | Path, name: str):
        self.path, self.name = Path(path), name
        if not self.path.is_file():
            raise DistillError(f"{name}: there is no file {self.path}.")
        kind = self.path.suffix.lower()
        if kind not in EXTENSIONS:
            raise DistillError(f"{name}: {self.path.name} is not a checkpoint. Choose one of {', '.join(EXTENSIONS)}.")
        if kind in (".safetensors", ".sft"):
            self._tensors, self._file = {}, _open_safetensors(self.path, name)
            self.shapes = {key: tuple(self._file.get_slice(key).get_shape()) for key in self._file.keys()}
        else:
            self._tensors, self._file = _load_weights_only(self.path, name), None
            self.shapes = {key: tuple(tensor.shape) for key, tensor in self._tensors.items()}
        self._scales = {key[:-len(end)] + ".weight": key for end in _SCALES for key in self.shapes if key.endswith(end)}
        hidden = {*self._scales.values(), *(key for key in self.shapes if key.endswith(_NO_WEIGHTS))}
        self.shapes = {key: shape for key, shape in self.shapes.items() if key not in hidden}

    def __contains__(self, key: str) -> bool:
        return key in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def tensor(self, key: str) -> Tensor:
        tensor = self._stored(key)
        if tensor.is_floating_point() and tensor.element_size() == 1:
            tensor = tensor.to(torch.float16)
            if key in self._scales:
                tensor = tensor * self._stored(self._scales[key]).to(torch.float16)
        return tensor

    def _stored(self, key: str) -> Tensor:
        try:
            return self._file.get_tensor(key) if self._file is not None else self._tensors[key]
        except Exception as error:  # of safetensors, for what is cut off since it was opened
            raise _unreadable(self.path, self.name, error) from error

    def below(self, prefix: str) -> dict[str, str]:
        """Keys that begin with `prefix`: {key without the prefix: key in the file}."""
        return {key[len(prefix):]: key for key in self.shapes if key.startswith(prefix)}

    def shapes_below(self, prefix: str) -> dict[str, tuple[int, ...]]:
        return {short: self.shapes[key] for short, key in self.below(prefix).items()}

    def average_of(self, key: str, prefix: str = "model.", average: str = "model_ema.") -> str:
        """The key of the exponential average of a weight where the file keeps one, else the key itself.

        LDM writes the average under "model_ema." with the dots left out.
        """
        if not key.startswith(prefix):
            return key
        copy = average + key[len(prefix):].replace(".", "")
        return copy if self.shapes.get(copy) == self.shapes.get(key) else key


def _open_safetensors(path: Path, name: str):
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise MissingPackage("safetensors", name) from error
    try:
        return safe_open(path, framework="pt", device="cpu")
    except Exception as error:  # safetensors raises an exception class of its own for everything
        raise _unreadable(path, name, error) from error


def _load_weights_only(path: Path, name: str) -> dict[str, Tensor]:
    try:
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            _check_stored(path, name)
        with torch.serialization.safe_globals([_stand_in(full) for full in _STAND_INS]), torch.inference_mode(False):
            # Memory-mapped, a file of 15 GB costs only the pages that are read. Older files are no zip archives.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except DistillError:
        raise
    except Exception as error:  # the unpickler raises IndexError, TypeError, AttributeError, ... for damaged files
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found or "Unsupported global" in str(error):
            what = f" ({found[1][:100]})" if found else ""
            raise DistillError(f"{name}: {path} holds more than weights, and its code is not run{what}. Use a "
                               ".safetensors file of this model.") from error
        raise _unreadable(path, name, error) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = ({key: value for key, value in content.items() if isinstance(value, Tensor)}
               if isinstance(content, dict) else {})
    if not tensors:
        raise DistillError(f"{name}: {path} holds no weights by name. Choose the checkpoint of a model.")
    return tensors


def _check_stored(path: Path, name: str) -> None:
    """torch stores tensors uncompressed. Raises DistillError for an archive that would grow when it is read."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > path.stat().st_size:
        raise DistillError(f"{name}: {path} is a compressed archive that grows to {size / 2**20:.0f} MiB. Checkpoints "
                           "are not compressed: unpack it, or download the model again.")


def _unreadable(path, name, error):
    return DistillError(f"{name}: {path} cannot be read ({first_line(error)}). It may be cut off: copy or download it "
                        "again.")


def _stand_in(full_name: str) -> type:
    module, _, kind = full_name.rpartition(".")
    return type(kind, (), {"__module__": module, "__setstate__": lambda self, state: None})


def read_module(build: Any, weights: dict[str, str], source: CheckpointFile, rename, dtype: torch.dtype | None = None):
    """A module built by `build()` on no device, with its weights read from `source`.

    weights  names without prefix -> keys of the file
    rename   rename(name) -> (name in the module, function of the tensor or None); None: the weight is not wanted
    dtype    None keeps the file's for half precision and float32

    Nothing is allocated before every name and shape has been compared. Raises DistillError naming the first difference.
    """
    with torch.device("meta"):
        module = build()
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    plan = {}
    for short, key in weights.items():
        target = rename(short)
        if target is not None:
            plan[target] = key
    missing, extra = sorted(set(wanted) - set(plan)), sorted(set(plan) - set(wanted))
    if missing or extra:
        what = f'lacks "{missing[0]}"' if missing else f'has "{extra[0]}" too many'
        raise DistillError(f"{source.name}: {source.path} is another model than it looks like: it {what} "
                           f"({len(missing)} missing, {len(extra)} unknown weights).")
    state = {}
    for target, key in plan.items():
        shape = source.shapes[key]
        if _squeezed(shape) != _squeezed(wanted[target]):
            raise DistillError(f'{source.name}: in {source.path}, "{key}" has the shape {list(shape)}; '
                               f"{list(wanted[target])} was expected. It is another model, or damaged.")
    for target, key in plan.items():
        tensor = source.tensor(key).reshape(wanted[target])
        state[target] = tensor.to(dtype, copy=False) if tensor.is_floating_point() and dtype else tensor
    module.load_state_dict(state, assign=True)
    for owner in module.modules():
        for key, buffer in owner.named_buffers(recurse=False):
            if buffer.is_meta:  # counters of positions, which no file keeps
                setattr(owner, key, torch.arange(buffer.shape[-1]).expand(buffer.shape))
    return module.requires_grad_(False).eval()


def _squeezed(shape):
    """1x1 convolutions and linear layers hold the same numbers; published files use either."""
    return tuple(size for i, size in enumerate(shape) if i < 2 or size != 1)
