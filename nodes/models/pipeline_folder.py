"""Reading parts of a diffusers pipeline folder, with one-sentence errors."""
from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import torch

from ..core.errors import DistillError, MissingPackage, first_line
from .noise import LEAST, DiscreteNoise, Noise, check_prediction, scheduled_flow


def load_network(kind: type, folder: Path, name: str, dtype: torch.dtype = torch.float32,
                 **options: Any) -> torch.nn.Module:
    """A network of a diffusers or transformers class from its folder, on the CPU, for inference only.

    Weights are .safetensors, or .bin where there are none: the libraries read those without running anything in them.
    Of several variants (fp16, bf16), the one for the precision is read.

    dtype    what it computes in; layers that a class keeps in float32 stay so (T5's in float16)
    options  for the class's from_pretrained
    """
    if not folder.is_dir():
        raise DistillError(f'{name}: the folder {folder.parent} has no part "{folder.name}". Copy or download the '
                           "whole model again.")
    with reading(folder, name):
        _check_sizes(folder / "config.json")
        is_safe, variant = _weights(folder, name, dtype)
        network, info = kind.from_pretrained(folder, local_files_only=True, use_safetensors=is_safe,
                                             output_loading_info=True,
                                             torch_dtype=dtype, variant=variant, **options)
        missing = sorted(info["missing_keys"])
        if missing:
            raise DistillError(f'{name}: the weights in {folder} lack "{missing[0]}" ({len(missing)} of this kind). '
                               'They belong to another model: copy or download the folder again.')
        return network.requires_grad_(False).eval()


_WEIGHTS = re.compile(r"(?:diffusion_pytorch_model|pytorch_model|model)(?:\.([\w-]+?))?(?:-\d{5}-of-\d{5})?"
                      r"(?:\.(\w+))?\.(safetensors|bin)", re.I)


def _weights(folder: Path, name: str, dtype: torch.dtype) -> tuple[bool, str | None]:
    """Which of the weights in a folder are read: whether they are .safetensors, and their variant ("fp16"), None for
    the usual ones. Raises DistillError where there are none."""
    found = {(match[3].lower() == "safetensors", match[1] or match[2])
             for path in folder.iterdir() if (match := _WEIGHTS.fullmatch(path.name))}
    if not found:
        raise DistillError(f"{name}: {folder} holds no weights (.safetensors or .bin). Copy or download the model "
                           "again.")
    wanted = [None, "fp16", "bf16"] if dtype == torch.float32 else ["fp16", "bf16", None]
    return min(found, key=lambda one: (wanted.index(one[1]) if one[1] in wanted else 3, not one[0], str(one[1])))


# The largest number of a configuration, by the words in its name: the libraries build whatever they are told to.
_LARGEST = (("layer", 512), ("block", 1 << 16), ("depth", 512), ("timesteps", 100_000), ("", 1 << 24))


def _check_sizes(path: Path) -> None:
    """Raises ValueError if the numbers of a configuration are not valid sizes of a network."""
    if not path.is_file():
        return
    waiting = [("", json.loads(path.read_text(encoding="utf-8")))]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += list(value.items())
        elif isinstance(value, list):
            if len(value) > 1 << 16:
                raise ValueError(f'"{key[:60]}" in {path.name} has {len(value)} entries')
            waiting += [(key, one) for one in value]
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer():
            largest = next(number for word, number in _LARGEST if word in key)
            if not abs(value) <= largest:
                raise ValueError(f'"{key[:60]}" in {path.name} is {value:.4g}, more than {largest}')


@contextmanager
def reading(place: Path, name: str) -> Iterator[None]:
    """What the libraries raise while they read `place` becomes a DistillError that begins with `name`."""
    try:
        yield
    except (DistillError, MemoryError, torch.OutOfMemoryError):
        raise
    except ImportError as error:
        raise MissingPackage(error.name or "sentencepiece", f"{name}: {place}") from error
    # each library raises its own exceptions for damaged files; tokenizers raises Exception
    except Exception as error:
        raise DistillError(f"{name}: {place} cannot be read ({first_line(error)}). It may be cut off or belong to "
                           "another model: copy or download it again.") from error


def read_scheduler(folder: Path, name: str) -> tuple[DiscreteNoise, str]:
    """Noise levels and kind of prediction of a diffusers scheduler folder."""
    from diffusers import DDPMScheduler

    with reading(folder, name):
        _check_sizes(folder / "scheduler_config.json")
        scheduler = DDPMScheduler.from_pretrained(folder, local_files_only=True)
        abar = scheduler.alphas_cumprod
        if abar.ndim != 1 or len(abar) == 0 or not bool((abar.isfinite() & (abar <= 1)).all()):
            raise ValueError("its noise levels are no row of numbers from 0 to 1")
        noise = DiscreteNoise(abar.clamp_min(LEAST))
    return noise, check_prediction(scheduler.config.prediction_type, name)


def read_noise(folder: Path, name: str, tokens: int) -> tuple[Noise, str]:
    """The same for every kind of scheduler, also those of rectified flows. tokens: see models.noise.scheduled_flow."""
    config = read_json(folder / "scheduler_config.json", name)
    if "FlowMatch" in str(config.get("_class_name")):
        with reading(folder, name):
            return scheduled_flow(config, tokens), "flow"
    return read_scheduler(folder, name)


def read_json(path: Path, name: str) -> dict[str, Any]:
    """The object in a JSON file."""
    with reading(path, name):
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
        return config
