"""The interface of towers: networks that embed pictures, and texts if they have a text encoder (CLIP, DINO)."""
from __future__ import annotations

from typing import Protocol, Sequence

from torch import Tensor

from .prior import LoadedPriors


class Tower(Protocol):
    """A loaded, frozen tower, differentiable in pictures.

    name      used in messages
    side      side of the network's input, pixels; pictures are resized to it
    has_text  whether it embeds texts in the same space as pictures
    layers    number of layers that `features` can return
    """

    name: str
    side: int
    has_text: bool
    layers: int

    def embed_pictures(self, rgb: Tensor) -> Tensor:
        """Unit embeddings [B,P] of square pictures rgb [B,H,H,3] in [0,1]. Differentiable."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [B,P] of texts, without gradients. Raises DistillError if has_text is False."""

    def features(self, rgb: Tensor, layer: int) -> Tensor:
        """Hidden states [B,L,C] of all tokens, the class token first, after `layer` of `layers` layers; layer -1 is
        the last. Differentiable."""

    def release(self) -> None:
        """Called at the end of a run: frees memory that is shared with other code."""


class TowerRecipe(Protocol):
    """The value of a TOWER wire. Hashable, so that one tower is loaded once per run."""

    def load(self, priors: LoadedPriors) -> Tower: ...
