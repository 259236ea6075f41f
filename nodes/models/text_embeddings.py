"""Text embeddings in a file, for machines without memory for the text encoder."""
from __future__ import annotations

from pathlib import Path
from typing import Sequence

from torch import Tensor

from ..core.errors import DistillError
from ..core.prior import TextCondition
from ..core.state import read_state, save_state
from .t5_text import usual_form

KIND = "text_embeddings"


def write_embeddings(path: str | Path, texts: Sequence[str], embeddings: Tensor) -> Path:
    """Writes the embeddings [N,L,C] of N texts: one tensor in a .safetensors file, the texts in its header."""
    return save_state(path, {KIND: embeddings}, {"kind": KIND, "texts": [usual_form(text) for text in texts]})


def read_embeddings(path: str | Path, width: int, name: str) -> dict[str, TextCondition]:
    """The embeddings by text, one row each, of a file that `write_embeddings` wrote; C is to be `width`.

    Raises DistillError, beginning with `name`, for any other file.
    """
    try:
        tensors, facts = read_state(path)
    except DistillError as error:
        raise DistillError(f"{name}: {error}") from error
    embeddings, texts = tensors.get(KIND), facts.get("texts") if isinstance(facts, dict) else None
    if embeddings is None or embeddings.ndim != 3 or not isinstance(texts, list) or len(texts) != len(embeddings):
        raise DistillError(f"{name}: {path} holds no text embeddings. Choose a file that Save Text Embeddings wrote.")
    if embeddings.shape[2] != width:
        raise DistillError(f"{name}: the embeddings in {path} have {embeddings.shape[2]} numbers per word and the "
                           f"model takes {width}: they belong to another model. Save them anew with the text encoder "
                           "of this one.")
    return {text: TextCondition(row[None]) for text, row in zip(texts, embeddings.float())}
