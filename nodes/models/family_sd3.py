"""Stable Diffusion 3 and 3.5: a flow model with three text encoders (Esser et al. 2024)."""
from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.prior import TextCondition
from .family import ModelFolder
from .prompt_weights import plain
from .t5_text import TextEncoder

T5_TOKENS = 256


class StableDiffusion3:
    pipeline = "StableDiffusion3Pipeline"
    transformer = "SD3Transformer2DModel"
    patch = 2
    half = torch.float16

    def read_texts(self, folder: ModelFolder) -> TextEncoder:
        """CLIP-L and CLIP-G, channels concatenated and padded with zeros to T5's width, then T5's tokens. Without the
        folder text_encoder_3, T5's tokens are zeros: published as a way to save memory."""
        clips = folder.clip(), folder.clip("_2")
        t5 = folder.t5("_3", T5_TOKENS, form=plain, is_masked=False) if folder.has("text_encoder_3") else None
        width = folder.config("transformer")["joint_attention_dim"]

        def encode(texts: Sequence[str]) -> TextCondition:
            hidden, pooled = zip(*(clip(texts) for clip in clips))
            short = torch.cat(hidden, -1)
            long = t5(texts).embedding if t5 else short.new_zeros(len(texts), T5_TOKENS, width)
            embedding = torch.cat([F.pad(short, (0, width - short.shape[-1])), long], 1)
            return TextCondition(embedding, torch.cat(pooled, -1))

        return encode

    def predict(self, network: torch.nn.Module, z_t: Tensor, time: Tensor, condition: TextCondition,
                guidance: float) -> Tensor:
        return network(z_t, timestep=time, encoder_hidden_states=condition.embedding,
                       pooled_projections=condition.pooled, return_dict=False)[0]
