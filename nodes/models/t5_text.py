"""T5 text encoders, and text encoders that are dropped once they are not needed: T5-XXL takes some 9 GB in half
precision."""
from __future__ import annotations

import gc
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Mapping, Sequence

import torch

from ..comfy import host
from ..core.errors import DistillError, MissingPackage
from ..core.prior import TextCondition
from .if_folder import TEXT_ENCODER, TOKENIZER
from .pipeline_folder import load_network, reading
from .silence import silence

TOKENS = 77
TextEncoder = Callable[[Sequence[str]], TextCondition]
DROP, KEEP, EIGHT_BIT = TEXT_ENCODERS = ("load and drop", "keep", "8-bit")


def usual_form(text: str) -> str:
    """A text as DeepFloyd IF and PixArt read it: lower case, without surrounding spaces."""
    return text.lower().strip()


def as_written(text: str) -> str:
    """A text as Stable Diffusion 3 and Flux read it."""
    return text


class T5Text:
    """A T5 text encoder and its tokenizer, as diffusers' pipelines use them (captions not cleaned).

    part          what the names of both folders end with, "_3" for example
    tokens        L: texts are padded or cut to this length
    form          applied to each text first
    is_masked     the encoder does not attend to padding. Stable Diffusion 3 and Flux were trained with one that does
    returns_mask  conditions have the mask, for networks that do not attend to padding either
    is_8bit       weights in 8 bits by bitsandbytes, on CUDA
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, name: str, is_8bit: bool = False,
                 part: str = "", tokens: int = TOKENS, form: Callable[[str], str] = usual_form, is_masked: bool = True,
                 returns_mask: bool = False):
        from transformers import AutoTokenizer, T5EncoderModel

        options = _eight_bit_options(device) if is_8bit else {}
        with torch.inference_mode(False), silence():
            _check_sentencepiece(folder / (TOKENIZER + part), name)
            with reading(folder / (TOKENIZER + part), name):
                self.tokenizer = AutoTokenizer.from_pretrained(folder / (TOKENIZER + part), local_files_only=True,
                                                               trust_remote_code=False)
            self.network = load_network(T5EncoderModel, folder / (TEXT_ENCODER + part), name, dtype, **options)
            if not is_8bit:
                self.network = move(self.network, device)
        self.device, self.tokens, self.form, self.name = device, tokens, form, name
        self._shortened: set[str] = set()
        self.is_masked, self.returns_mask = is_masked, returns_mask

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> TextCondition:
        """Embeddings [B,L,C] in float32."""
        tokens = self.tokenizer([self._fitting(self.form(text)) for text in texts], padding="max_length",
                                max_length=self.tokens, truncation=True, return_tensors="pt")
        mask = tokens.attention_mask.to(self.device)
        hidden = self.network(tokens.input_ids.to(self.device), attention_mask=mask if self.is_masked else None)[0]
        return TextCondition(hidden.float(), mask=mask if self.returns_mask else None)

    def _fitting(self, text: str) -> str:
        """The text without the words that do not fit into L tokens. They are taken before the last comma, behind which
        the view is named."""
        head, comma, view = text.rpartition(", ")
        words, count = head.split(" "), self._count(text)
        if count <= self.tokens or not comma or self._count(view) > self.tokens // 2:
            return text
        low, high = 0, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            if self._count(f"{' '.join(words[:middle])}, {view}") <= self.tokens:
                low = middle
            else:
                high = middle - 1
        kept = words[:low]
        if text not in self._shortened:
            self._shortened.add(text)
            host().warn(f'{self.name}: the prompt has {count} tokens and the model reads {self.tokens}. It is read as '
                        f'"{" ".join(kept)[-60:]}, {view}"; "{" ".join(words[low:])[:60]}" is left out.')
        return f"{' '.join(kept)}, {view}"

    def _count(self, text: str) -> int:
        return len(self.tokenizer(text, verbose=False).input_ids)

    def rest(self) -> None:
        """Nothing: this one stays in memory."""


def _check_sentencepiece(folder: Path, name: str) -> None:
    """Raises MissingPackage where the tokenizer is a spiece.model alone, as published for DeepFloyd IF, and a package
    that reads it is missing: transformers then speaks of other packages and a damaged download."""
    if not (folder / "spiece.model").is_file() or (folder / "tokenizer.json").is_file():
        return
    for module, package in ("sentencepiece", "sentencepiece"), ("google.protobuf", "protobuf"):
        try:
            import_module(module)
        except ImportError as error:
            raise MissingPackage(package, f"{name}: reading the tokenizer {folder / 'spiece.model'}") from error


class PassingText:
    """Text encoders that are in memory only from the first new text to the next `rest`. Each text is encoded once.

    load   loads the encoders; None where there are none
    known  conditions of one row, by text, of texts that need no encoder
    keeps  the encoders stay in memory once loaded
    form   applied to each text first: texts of one form are the same text
    """

    def __init__(self, load: Callable[[], TextEncoder] | None, known: Mapping[str, TextCondition], device: torch.device,
                 name: str, keeps: bool = False, form: Callable[[str], str] = usual_form):
        self.load, self.device, self.name, self.keeps, self.form = load, device, name, keeps, form
        self.loads = 0
        self._known = dict(known)
        self._encoder: TextEncoder | None = None

    def __call__(self, texts: Sequence[str]) -> TextCondition:
        texts = [self.form(text) for text in texts]
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        if fresh:
            encoded = self._loaded(fresh[0])(fresh).to("cpu")
            self._known.update({text: encoded.take(torch.tensor([row])) for row, text in enumerate(fresh)})
        return self._known[texts[0]].join([self._known[text] for text in texts]).to(self.device)

    def rest(self) -> None:
        """Frees the encoders' memory: a network of another kind comes next."""
        if self._encoder is not None and not self.keeps:
            self._encoder = None
            return_memory(self.device)

    def _loaded(self, text: str) -> TextEncoder:
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
    """The network on the device, after memory is freed for it."""
    if device.type != "cpu":
        host().free_memory(sum(weight.numel() * weight.element_size() for weight in network.parameters()))
    return network.to(device)


def return_memory(device: torch.device) -> None:
    """Returns freed memory to the system, not only to torch's cache."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _eight_bit_options(device: torch.device) -> dict:
    from transformers import BitsAndBytesConfig

    return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "device_map": {"": device}}


def _quoted(texts: Mapping[str, object], most: int = 8) -> str:
    names = [f'"{text}"' for text in texts]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
