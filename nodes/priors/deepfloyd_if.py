"""DeepFloyd IF stage I: a text-to-image model of pixels, as published in the diffusers layout."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.cameras import Cameras
from ..core.errors import MissingPackage
from ..core.prior import TextCondition
from ..core.silence import silence
from .if_folder import SCHEDULER, TEXT_ENCODER, TOKENIZER, UNET, check_if_folder, load_network, reading


@dataclass(frozen=True)
class DeepFloydIF:
    """A recipe: the folder of an IF stage I pipeline (unet, text_encoder, tokenizer, scheduler)."""

    folder: str

    def load(self, device: torch.device) -> "IFPrior":
        return IFPrior(self.folder, device)


class IFPrior:
    """The Prior contract over an IF-layout folder; sizes are read from its configuration.

    z are pixels in [-1,1] at the network's own resolution. The network predicts noise in its first three output
    channels and the variance in the last three, which are dropped before guidance. The text encoder's attention
    mask is used in encoding and not given to the UNet, as in the published pipeline.
    """

    name = "DeepFloyd IF Prior"
    views = 1

    def __init__(self, folder: str | Path, device: torch.device):
        folder = Path(folder)
        check_if_folder(folder, self.name)
        with torch.inference_mode(False), silence():
            try:
                from diffusers import DDPMScheduler, UNet2DConditionModel
                from transformers import AutoTokenizer, T5EncoderModel
            except ImportError as error:
                raise MissingPackage(error.name or "diffusers", self.name) from error
            self.unet = load_network(UNet2DConditionModel, folder / UNET, self.name).to(device)
            self.text_encoder = load_network(T5EncoderModel, folder / TEXT_ENCODER, self.name).to(device)
            with reading(folder / TOKENIZER, self.name):
                self.tokenizer = AutoTokenizer.from_pretrained(folder / TOKENIZER, local_files_only=True,
                                                               trust_remote_code=False)
            with reading(folder / SCHEDULER, self.name):
                self.abar = DDPMScheduler.from_pretrained(folder / SCHEDULER, local_files_only=True).alphas_cumprod.to(device)
        self.device = device
        self.channels, self.size = self.unet.config.in_channels, self.unet.config.sample_size
        self.timesteps = len(self.abar)

    @torch.no_grad()
    def encode_prompts(self, texts: Sequence[str]) -> TextCondition:
        tokens = self.tokenizer(list(texts), padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        return TextCondition(self.text_encoder(tokens.input_ids.to(self.device),
                                               attention_mask=tokens.attention_mask.to(self.device))[0])

    def encode_image(self, rgb: Tensor) -> Tensor:
        z = rgb.permute(0, 3, 1, 2)
        if z.shape[-2:] != (self.size, self.size):
            z = F.interpolate(z, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True)
        return z * 2 - 1

    def decode_image(self, z: Tensor) -> Tensor:
        return (z.permute(0, 2, 3, 1) * 0.5 + 0.5).clamp(0, 1)

    def sigma(self, t: Tensor) -> Tensor:
        abar = self.abar[t]
        return ((1 - abar) / abar).sqrt()

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        abar = self.abar[t].view(-1, 1, 1, 1)
        return abar.sqrt() * z + (1 - abar).sqrt() * noise

    @torch.no_grad()
    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[TextCondition], cameras: Cameras | None) -> list[Tensor]:
        rows = len(conditions)
        noise = self.unet(z_t.repeat(rows, 1, 1, 1), t.repeat(rows),
                          torch.cat([condition.embedding for condition in conditions])).sample[:, :self.channels]
        abar = self.abar[t].view(-1, 1, 1, 1)
        return [(z_t - (1 - abar).sqrt() * predicted) / abar.sqrt() for predicted in noise.chunk(rows)]
