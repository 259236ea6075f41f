"""A model folder in the layout of DeepFloyd IF stage I, read so that what is wrong with one is said in a sentence."""
from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import torch

from ..core.errors import DistillError, MissingPackage

UNET, TEXT_ENCODER, TOKENIZER, SCHEDULER = "unet", "text_encoder", "tokenizer", "scheduler"
PARTS = (f"{UNET}/config.json", f"{TEXT_ENCODER}/config.json", f"{TOKENIZER}/tokenizer_config.json",
         f"{SCHEDULER}/scheduler_config.json")


def check_if_folder(folder: Path, name: str) -> None:
    """Whether `folder` holds an IF stage I model, by its small files. Raises DistillError that begins with `name`."""
    for part in PARTS:
        if not (folder / part).is_file():
            raise DistillError(f"{name}: {folder} has no {part}. Choose the folder of an IF stage I model in the diffusers "
                               "layout (unet, text_encoder, tokenizer, scheduler).")
    for part in (UNET, TEXT_ENCODER):
        if not any((folder / part).glob("*.safetensors")):
            raise DistillError(f"{name}: {folder / part} holds no .safetensors file. Copy or download the weights again, in "
                               "this format.")
    unet, text, _, scheduler = (_read_config(folder / part, name) for part in PARTS)
    width, prediction = unet.get("encoder_hid_dim"), scheduler.get("prediction_type", "epsilon")
    problem = None
    if unet.get("in_channels") != 3:
        problem = f"its UNet takes {unet.get('in_channels')} channels, not the 3 of pixels (latent models take 4, later stages 6)"
    elif not width or unet.get("out_channels") not in (3, 6) or not isinstance(unet.get("sample_size"), int):
        problem = "its UNet has no encoder_hid_dim, or another output than noise and variance"
    elif text.get("model_type") != "t5":
        problem = f'its text encoder is "{text.get("model_type")}", not "t5"'
    elif text.get("d_model") != width:
        problem = f"its text encoder gives {text.get('d_model')} numbers per word and its UNet takes {width}"
    elif prediction != "epsilon":
        problem = f'its UNet predicts "{prediction}", not "epsilon"'
    if problem:
        raise DistillError(f"{name}: {folder} is no IF stage I model: {problem}. Choose another folder, or the prior node that "
                           "is made for this model.")


def load_network(kind: type, folder: Path, name: str) -> torch.nn.Module:
    """A network of a diffusers or transformers class from its folder, in float32 on the CPU, for inference only."""
    with reading(folder, name):
        network, info = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, output_loading_info=True)
        missing = sorted(info["missing_keys"])
        if missing:
            raise DistillError(f'{name}: the weights in {folder} lack "{missing[0]}" ({len(missing)} of this kind). They '
                               "belong to another model: copy or download the folder again.")
        return network.float().requires_grad_(False).eval()


@contextmanager
def reading(place: Path, name: str) -> Iterator[None]:
    """What the libraries raise while they read `place` becomes a DistillError that begins with `name`."""
    try:
        yield
    except (DistillError, MemoryError, torch.OutOfMemoryError):
        raise
    except ImportError as error:
        raise MissingPackage(error.name or "sentencepiece", f"{name}: {place}") from error
    except Exception as error:  # each library has kinds of its own for a damaged file; tokenizers raises plain Exception
        raise DistillError(f"{name}: {place} cannot be read ({_first_line(error)}). It may be cut off or belong to another "
                           "model: copy or download it again.") from error


def read_vocabulary(folder: Path, name: str) -> set[str]:
    """The words of a word-level tokenizer. Raises DistillError where the folder has another kind of tokenizer, or none."""
    path = folder / TOKENIZER / "tokenizer.json"
    model = _read_config(path, name).get("model", {}) if path.is_file() else {}
    if model.get("type") != "WordLevel":
        raise DistillError(f"{name}: {folder} was not written by Train Prior: {path.relative_to(folder)} lists no whole words. "
                           "Choose the folder that Train Prior returned.")
    return set(model["vocab"])


def _read_config(path: Path, name: str) -> dict[str, Any]:
    with reading(path, name):
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
        return config


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")
