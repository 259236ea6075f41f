"""A tower: a network that compares pictures, and texts where it knows language (CLIP, DINO)."""
from __future__ import annotations

from typing import Protocol, Sequence

from torch import Tensor

from .prior import LoadedPriors


class Tower(Protocol):
    """A loaded tower, frozen. Gradients pass through pictures.

    name      for messages
    side      pixels of the pictures that the network sees; others are resized
    has_text  whether it embeds texts in the space of its pictures
    layers    number of hidden states that `features` offers
    """

    name: str
    side: int
    has_text: bool
    layers: int

    def embed_pictures(self, rgb: Tensor) -> Tensor:
        """Unit embeddings [B,P] of square pictures rgb [B,H,H,3] in [0,1]. Differentiable."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [B,P] of texts, without gradients. Raises DistillError where has_text is False."""

    def features(self, rgb: Tensor, layer: int) -> Tensor:
        """Hidden states [B,L,C] of all tokens, the class token first, after `layer` of `layers` layers; layer -1 is
        the last. Differentiable."""

    def release(self) -> None:
        """Gives back what the tower holds outside itself, at the end of a run."""


class TowerRecipe(Protocol):
    """What a TOWER wire carries. Hashable, so that one tower is loaded once per run."""

    def load(self, priors: LoadedPriors) -> Tower: ...
