"""FLUX.1: a flow model whose transformer takes latents as a sequence of patches (Black Forest Labs 2024)."""
from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor

from ..core.prior import TextCondition
from .family import ModelFolder
from .prompt_weights import plain
from .t5_text import TextEncoder

T5_TOKENS = 512


class Flux:
    pipeline = "FluxPipeline"
    transformer = "FluxTransformer2DModel"
    patch = 2
    half = torch.bfloat16

    def read_texts(self, folder: ModelFolder) -> TextEncoder:
        """T5's tokens; of CLIP-L, the pooled text alone."""
        clip, t5 = folder.clip(is_projected=False), folder.t5("_2", T5_TOKENS, form=plain, is_masked=False)

        def encode(texts: Sequence[str]) -> TextCondition:
            _, pooled = clip(texts)
            return TextCondition(t5(texts).embedding, pooled)

        return encode

    def predict(self, network: torch.nn.Module, z_t: Tensor, time: Tensor, condition: TextCondition,
                guidance: float) -> Tensor:
        """The transformer takes the timestep in [0,1] and, where it was distilled from a guided model, the guidance
        scale."""
        is_distilled = network.config.guidance_embeds
        predicted = network(
            pack(z_t), timestep=time / 1000, guidance=z_t.new_full((len(z_t),), guidance) if is_distilled else None,
            encoder_hidden_states=condition.embedding, pooled_projections=condition.pooled,
            txt_ids=z_t.new_zeros(condition.embedding.shape[1], 3), img_ids=positions(z_t), return_dict=False)[0]
        return unpack(predicted, z_t.shape[-2])


def pack(z: Tensor) -> Tensor:
    """Latents [B,C,h,w] as tokens [B,(h/2)(w/2),4C], row by row; the four pixels of a channel are adjacent."""
    rows = z.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))  # [B,C,h/2,2,w/2,2]
    return rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, height: int) -> Tensor:
    """The inverse of `pack` for latents of `height` rows."""
    rows = tokens.unflatten(1, (height // 2, -1)).unflatten(-1, (-1, 2, 2))  # [B,h/2,w/2,C,2,2]
    return rows.permute(0, 3, 1, 4, 2, 5).flatten(-2).flatten(-3, -2)


def positions(z: Tensor) -> Tensor:
    """What the rotary embedding takes of each token [(h/2)(w/2),3]: 0, row, column."""
    rows, columns = torch.meshgrid(*(torch.arange(side // 2, device=z.device, dtype=z.dtype) for side in z.shape[-2:]),
                                   indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], -1).flatten(0, 1)
