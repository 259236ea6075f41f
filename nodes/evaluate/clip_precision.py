"""CLIP R-Precision: how often CLIP ranks a result's caption first among all captions, for renderings of the result.

Park et al. 2021 define it for pictures; Dream Fields and DreamFusion report it for objects, over 153 captions of COCO
that are centred on an object, with renderings in colour and without texture.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import torch
from torch import Tensor

from ...kernels.distill.similarity import rank_of_own
from ..core.errors import DistillError
from ..core.tower import Tower
from .views import Pictures


@dataclass(frozen=True)
class ClipRanking:
    """The ranking for one kind of picture.

    share     fraction of views for which the result's caption (or an equal one) is first, 0..1
    first     index of the caption with the largest mean cosine over the views
    is_right  whether that is the result's caption or an equal one
    cosine    mean cosine of the views with the result's caption
    """

    share: float
    first: int
    is_right: bool
    cosine: float


@torch.no_grad()
def clip_ranking(tower: Tower, rgb: Tensor, texts: Tensor, own: int, equals: Sequence[int] = ()) -> ClipRanking:
    """Ranks captions for the views of one result.

    rgb     [B,H,H,3] in [0,1]
    texts   [N,P] unit embeddings of all captions
    own     index of the result's caption
    equals  indices of captions that are equally right
    """
    if not 0 <= own < len(texts):
        raise DistillError(f"CLIP R-Precision: caption {own} is not among the {len(texts)} captions.")
    pictures, right = tower.embed_pictures(rgb), sorted({own, *equals})
    texts = texts.to(pictures)
    first = int((pictures @ texts.T).mean(0).argmax())
    ranks = torch.stack([rank_of_own(pictures, texts, torch.full((len(pictures),), one, device=texts.device))
                         for one in right])
    return ClipRanking(float((ranks.amin(0) == 0).float().mean()), first, first in right,
                       float((pictures @ texts[own]).mean()))


def clip_rankings(tower: Tower, pictures: Pictures, texts: Tensor, own: int,
                  equals: Sequence[int] = ()) -> tuple[ClipRanking, ClipRanking]:
    """In colour (unlit, over white), and textureless (gray under a headlight), where captions of the same shape in
    other colours, `equals`, count as right."""
    return (clip_ranking(tower, pictures.color, texts, own),
            clip_ranking(tower, pictures.gray.expand(-1, -1, -1, 3), texts, own, equals))
