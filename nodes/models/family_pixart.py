"""PixArt-alpha and PixArt-Sigma: small transformers with T5 (Chen et al. 2023, 2024)."""
from __future__ import annotations

import torch
from torch import Tensor

from ..core.prior import TextCondition
from .family import ModelFolder
from .t5_text import TextEncoder

LATENT_PIXEL = 8  # pixels along the side of a latent one


class PixArtAlpha:
    """It predicts noise and, in further channels, a variance that is not used."""

    pipeline = "PixArtAlphaPipeline"
    transformer = "PixArtTransformer2DModel"
    patch = 2
    half = torch.float16
    tokens = 120

    def read_texts(self, folder: ModelFolder) -> TextEncoder:
        return folder.t5("", self.tokens, returns_mask=True)

    def predict(self, network: torch.nn.Module, z_t: Tensor, time: Tensor, condition: TextCondition,
                guidance: float) -> Tensor:
        """Models of 1024 pixels are told size and aspect ratio of the picture."""
        size = {"resolution": None, "aspect_ratio": None}
        if network.use_additional_conditions:
            size = {"resolution": (z_t.new_tensor(z_t.shape[-2:]) * LATENT_PIXEL).expand(len(z_t), 2),
                    "aspect_ratio": z_t.new_full((len(z_t), 1), z_t.shape[-2] / z_t.shape[-1])}
        predicted = network(z_t, timestep=time, encoder_hidden_states=condition.embedding,
                            encoder_attention_mask=condition.mask, added_cond_kwargs=size, return_dict=False)[0]
        return predicted.split(z_t.shape[1], 1)[0]


class PixArtSigma(PixArtAlpha):
    pipeline = "PixArtSigmaPipeline"
    tokens = 300
