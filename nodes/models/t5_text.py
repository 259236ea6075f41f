"""A T5 text encoder that leaves memory when it is not needed: T5-XXL is larger than the network it serves."""
from __future__ import annotations

import gc
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..comfy import host
from ..core.errors import DistillError, MissingPackage
from .if_folder import TEXT_ENCODER, TOKENIZER
from .pipeline_folder import load_network, reading
from .silence import silence

TOKENS = 77
DROP, KEEP, EIGHT_BIT = TEXT_ENCODERS = ("load and drop", "keep", "8-bit")


def usual_form(text: str) -> str:
    """A text as the published pipeline reads it: in small letters, without space around it."""
    return text.lower().strip()


class T5Text:
    """Texts to embeddings [B,77,C] float32, as diffusers' IFPipeline.encode_prompt makes them (captions not cleaned).

    The attention mask is used in encoding only. is_8bit: weights in 8 bits by bitsandbytes, on CUDA.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, name: str, is_8bit: bool = False):
        from transformers import AutoTokenizer, T5EncoderModel

        options = _eight_bit_options(device) if is_8bit else {}
        with torch.inference_mode(False), silence():
            with reading(folder / TOKENIZER, name):
                self.tokenizer = AutoTokenizer.from_pretrained(folder / TOKENIZER, local_files_only=True,
                                                               trust_remote_code=False)
            self.network = load_network(T5EncoderModel, folder / TEXT_ENCODER, name, dtype, **options)
            if not is_8bit:
                self.network = move(self.network, device)
        self.device = device

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        tokens = self.tokenizer([usual_form(text) for text in texts], padding="max_length", max_length=TOKENS,
                                truncation=True, return_tensors="pt")
        return self.network(tokens.input_ids.to(self.device),
                            attention_mask=tokens.attention_mask.to(self.device))[0].float()

    def rest(self) -> None:
        """Nothing: this one stays in memory."""


class PassingText:
    """The same call, with the encoder in memory only from the first new text to the next `rest`.

    load   makes the T5Text; None where there is none
    known  embeddings [77,C] of texts that need no encoder
    keeps  stay in memory once loaded
    """

    def __init__(self, load: Callable[[], T5Text] | None, known: Mapping[str, Tensor], device: torch.device, name: str,
                 keeps: bool = False):
        self.load, self.device, self.name, self.keeps = load, device, name, keeps
        self.loads = 0
        self._known = dict(known)
        self._encoder: T5Text | None = None

    def __call__(self, texts: Sequence[str]) -> Tensor:
        texts = [usual_form(text) for text in texts]
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        if fresh:
            self._known.update(zip(fresh, self._loaded(fresh[0])(fresh).cpu()))
        return torch.stack([self._known[text] for text in texts]).to(self.device)

    def rest(self) -> None:
        """Gives the encoder's memory back: what comes now is something else."""
        if self._encoder is not None and not self.keeps:
            self._encoder = None
            return_memory(self.device)

    def _loaded(self, text: str) -> T5Text:
        if self.load is None:
            raise DistillError(f'{self.name}: the file of embeddings has none for "{text}", and there is no text '
                               f'encoder to make it. The file has: {_quoted(self._known)}. Save them anew with Save '
                               'Text Embeddings, on a machine with the text encoder, from a View Prompt that is set as '
                               'it is here.')
        if self._encoder is None:
            if self.loads == 1:
                host().warn(f'{self.name}: "{text}" came after the text encoder was dropped, so it is loaded again. If '
                            'this happens often, set "text_encoder" to "keep" or choose other view words.')
            self._encoder = self.load()
            self.loads += 1
        return self._encoder


def check_eight_bit(device: torch.device, name: str) -> None:
    """Raises DistillError, beginning with `name`, where an encoder in 8 bits cannot run."""
    instead = f'Set "text_encoder" to "{DROP}".'
    if device.type != "cuda":
        raise DistillError(f'{name}: a text encoder in 8 bits needs a CUDA device, and this run uses "{device}". '
                           f'{instead}')
    if find_spec("bitsandbytes") is None:
        raise MissingPackage("bitsandbytes", f"{name}: a text encoder in 8 bits", instead)


def move(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The network on the device, where room is made for it first."""
    if device.type != "cpu":
        host().free_memory(sum(weight.numel() * weight.element_size() for weight in network.parameters()))
    return network.to(device)


def return_memory(device: torch.device) -> None:
    """What was just let go goes back to the machine, not only to torch's own store."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _eight_bit_options(device: torch.device) -> dict:
    from transformers import BitsAndBytesConfig

    return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "device_map": {"": device}}


def _quoted(texts: Mapping[str, Tensor], most: int = 8) -> str:
    names = [f'"{text}"' for text in texts]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
