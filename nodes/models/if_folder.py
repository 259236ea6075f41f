"""Reading model folders in the layout of DeepFloyd IF stage I, with one-sentence errors."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import DistillError
from .noise import VARIANCE_PRESERVING
from .pipeline_folder import read_json, reading

UNET, TEXT_ENCODER, TOKENIZER, SCHEDULER = "unet", "text_encoder", "tokenizer", "scheduler"
PARTS = (f"{UNET}/config.json", f"{TEXT_ENCODER}/config.json", f"{TOKENIZER}/tokenizer_config.json",
         f"{SCHEDULER}/scheduler_config.json")


def has_text_encoder(folder: Path) -> bool:
    return (folder / TEXT_ENCODER / "config.json").is_file()


def check_if_folder(folder: Path, name: str, reads_texts: bool = True) -> dict[str, Any]:
    """The configuration of the UNet, when `folder` holds an IF stage I model, by its small files and the heads of the
    large ones. Without `reads_texts`, text encoder and tokenizer may be absent.

    Raises DistillError that begins with `name`.
    """
    for part in PARTS if reads_texts else (PARTS[0], PARTS[3]):
        if not (folder / part).is_file():
            raise DistillError(f"{name}: {folder} has no {part}. Choose the folder of an IF stage I model in the "
                               "diffusers layout (unet, text_encoder, tokenizer, scheduler).")
    networks = (UNET, TEXT_ENCODER) if reads_texts else (UNET,)
    for part in networks:
        if not any((folder / part).glob("*.safetensors")):
            raise DistillError(f"{name}: {folder / part} holds no .safetensors file. Copy or download the weights "
                               "again, in this format.")
    unet, scheduler = (read_json(folder / part, name) for part in (PARTS[0], PARTS[3]))
    width, prediction = unet.get("encoder_hid_dim"), scheduler.get("prediction_type", "epsilon")
    problem = None
    if unet.get("in_channels") != 3:
        problem = (f"its UNet takes {unet.get('in_channels')} channels, not the 3 of pixels (latent models take 4, "
                   "later stages 6)")
    elif not width or unet.get("out_channels") not in (3, 6) or not isinstance(unet.get("sample_size"), int):
        problem = "its UNet has no encoder_hid_dim, or another output than noise and variance"
    elif reads_texts and (text := read_json(folder / PARTS[1], name)).get("model_type") != "t5":
        problem = f'its text encoder is "{text.get("model_type")}", not "t5"'
    elif reads_texts and text.get("d_model") != width:
        problem = f"its text encoder gives {text.get('d_model')} numbers per word and its UNet takes {width}"
    elif prediction not in VARIANCE_PRESERVING:
        problem = f'its UNet predicts "{prediction}", none of {", ".join(VARIANCE_PRESERVING)}'
    if problem:
        raise DistillError(f"{name}: {folder} is not an IF stage I model: {problem}. Choose another folder, or the "
                           "prior node that is made for this model.")
    if reads_texts:
        read_json(folder / PARTS[2], name)
    for part in networks:
        _check_heads(folder / part, name)
    return unet


def _check_heads(folder: Path, name: str) -> None:
    """Whether the weights are whole, before gigabytes of them are read."""
    with reading(folder, name):
        from safetensors import safe_open

        for path in folder.glob("*.safetensors"):
            with safe_open(path, framework="pt"):
                pass


def read_vocabulary(folder: Path, name: str) -> set[str]:
    """The words of a word-level tokenizer. Raises DistillError where the folder has another kind of tokenizer, or
    none."""
    path = folder / TOKENIZER / "tokenizer.json"
    model = read_json(path, name).get("model", {}) if path.is_file() else {}
    if model.get("type") != "WordLevel":
        raise DistillError(f"{name}: {folder} was not written by Train Prior: {path.relative_to(folder)} lists no "
                           "whole words. Choose the folder that Train Prior returned.")
    return set(model["vocab"])
