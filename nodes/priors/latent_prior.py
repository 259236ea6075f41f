"""Latent diffusion models as priors: an autoencoder, and the UNet of Stable Diffusion and its descendants."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...kernels.image.resize import resize_square
from ..core.cameras import Cameras
from ..core.prior import Encoded, TextCondition
from ..models.clip_text import ClipText
from ..models.denoiser import Denoiser, DenoiserPrior, each_view
from ..models.noise import Noise


@dataclass
class LatentModel:
    """The networks of a latent model, with facts from their files.

    unet        diffusers' UNet2DConditionModel; it computes in the dtype of its weights
    vae         AutoencoderKL or AutoencoderTiny; None for models of pixels or features without one
    texts       CLIP text encoders whose hidden states are concatenated along the channels (one, or XL's two)
    noise       noise levels by timestep
    prediction  what the UNet predicts, one of kernels.distill.prediction.PREDICTIONS
    size        side of the latents
    """

    unet: torch.nn.Module
    vae: Any
    texts: list[ClipText]
    noise: Noise
    prediction: str
    size: int
    extra: dict[str, Any] = field(default_factory=dict)


class LatentSpacePrior(DenoiserPrior):
    """A prior over the latents of an autoencoder. `vae`, `size` and `channels` are for subclasses to set.

    z are scaled (and shifted) latents in float32, whatever the networks compute in. Pictures with as many channels as
    the latents are taken as latents (scenes with a Latent material). The encoder returns the posterior mean. Published
    codes sample the posterior, whose standard deviation is a hundredth of the latents' and small compared to the noise
    of distillation. Pictures are resized without a low-pass filter, as published.
    """

    views = 1
    vae: Any

    @property
    def pixels(self) -> int:
        """Side of the autoencoder's input, pixels."""
        return self.size * 2 ** (len(self.vae.config.block_out_channels) - 1)

    def encode_image(self, rgb: Tensor) -> Encoded:
        z = rgb.permute(0, 3, 1, 2)
        if z.shape[1] == self.channels:
            return Encoded(resize_square(z, self.size, antialias=False))
        return Encoded(self.encode_pixels(z))

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Latents [B,C,h,w] of pictures [B,P,H,W] in [0,1] with the autoencoder's channels."""
        # Recomputed in the backward pass: the encoder's activations at 512x512 are larger than everything else
        # together.
        picture = resize_square(pixels, self.pixels, antialias=False) * 2 - 1
        return (checkpoint(self._encode, picture, use_reentrant=False)
                if picture.requires_grad else self._encode(picture))

    def _encode(self, picture: Tensor) -> Tensor:
        encoded = self.vae.encode(picture.to(self.vae.dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        return (latents.float() - self._shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode_image(self, z: Tensor) -> Tensor:
        rgb = self.vae.decode((z / self.vae.config.scaling_factor + self._shift).to(self.vae.dtype)).sample
        return (rgb.float().permute(0, 2, 3, 1) * 0.5 + 0.5).clamp(0, 1)

    @property
    def _shift(self) -> float:
        """Mean of the latents; 0 for models before Stable Diffusion 3."""
        return self.vae.config.get("shift_factor") or 0.0

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[TextCondition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        rows = len(conditions)
        joined = conditions[0].join(conditions)
        predicted = self.denoiser.call(lambda: self.predict(z_t.repeat(rows, 1, 1, 1), t.repeat(rows), joined),
                                       each_view(len(z_t), rows))
        return [self.denoiser.clean(z_t, t, part) for part in predicted.chunk(rows)]

    def predict(self, z_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """The network's prediction [N,C,h,w] for z_t [N,C,h,w] at timesteps t [N]."""
        raise NotImplementedError


class LatentPrior(LatentSpacePrior):
    """The Prior contract over a LatentModel."""

    def __init__(self, model: LatentModel, device: torch.device):
        self.model, self.device = model, device
        self.unet = model.unet.to(device, memory_format=torch.channels_last)
        self.vae = model.vae.to(device, memory_format=torch.channels_last) if model.vae is not None else None
        self.denoiser = Denoiser(model.noise.to(device), model.prediction, is_compiled=self.network is not self.unet)
        self.channels, self.size = model.unet.config.out_channels, model.size

    @property
    def network(self) -> torch.nn.Module:
        """The UNet, without the wrapper of torch.compile."""
        return getattr(self.unet, "_orig_mod", self.unet)

    def encode_prompts(self, texts: Sequence[str]) -> TextCondition:
        hidden, pooled = zip(*(self._read(text, texts) for text in self.model.texts))
        return TextCondition(torch.cat(hidden, -1), pooled[-1] if len(pooled) > 1 else None)

    def _read(self, text: ClipText, texts):
        """The text encoder is on the device only while it runs, to free its memory for training."""
        text.model.to(self.device)
        try:
            return text(texts)
        finally:
            if self.device.type != "cpu":
                text.model.to("cpu")

    def predict(self, z_t: Tensor, t: Tensor, condition: TextCondition, **more: Any) -> Tensor:
        """more: further arguments of the UNet."""
        dtype = self.unet.dtype
        if condition.pooled is not None:
            side = float(self.pixels)
            sizes = torch.tensor([side, side, 0.0, 0.0, side, side], device=z_t.device, dtype=dtype)
            more["added_cond_kwargs"] = {"text_embeds": condition.pooled.to(dtype),
                                         "time_ids": sizes.expand(len(z_t), 6)}
        z_t = z_t.to(dtype, memory_format=torch.channels_last)
        return self.unet(z_t, t, condition.embedding.to(dtype), return_dict=False, **more)[0]
