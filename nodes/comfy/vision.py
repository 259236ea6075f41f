"""The part of the door to ComfyUI that compares pictures and texts: CLIP_VISION and CLIP as a tower."""
from __future__ import annotations

import copy
from typing import Any, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.image.clip_pixels import DEVIATION, MEAN, tower_pixels
from ..core.errors import DistillError


class HostTower:
    """A Tower (nodes.core.tower) of core's CLIP_VISION, and of a CLIP whose text encoder belongs to it.

    The image network is copied, because ComfyUI loads inference tensors, which have no gradients.
    """

    name = "CLIP Tower"

    def __init__(self, vision: Any, clip: Any, device: torch.device):
        self.clip, self.has_text = clip, clip is not None
        self.network = _trainable_copy(vision.model).to(device)
        self.device = device
        self.side = vision.image_size
        self.mean = tuple(getattr(vision, "image_mean", MEAN))
        self.deviation = tuple(getattr(vision, "image_std", DEVIATION))
        self.layers = int(getattr(vision, "config", {}).get("num_hidden_layers", 0))

    def _see(self, rgb: Tensor, layer: int | None = None) -> tuple:
        pixels = tower_pixels(rgb.to(self.device), self.side, self.mean, self.deviation)
        return self.network(pixel_values=pixels, intermediate_output=layer)

    def embed_pictures(self, rgb: Tensor) -> Tensor:
        out = self._see(rgb)
        embedding = out[2] if out[2].ndim == 2 else out[0][:, 0]  # DINO has no projection
        return F.normalize(embedding.float(), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        if self.clip is None:
            raise DistillError(f"{self.name}: texts need a CLIP. Wire one whose text encoder belongs to this "
                               "CLIP_VISION.")
        with torch.inference_mode():
            rows = [self.clip.encode_from_tokens(self.clip.tokenize(text), return_pooled=True)[1] for text in texts]
        pooled = torch.cat([row.reshape(1, -1).float().cpu().clone() for row in rows])
        return F.normalize(pooled, dim=-1).to(self.device)

    def features(self, rgb: Tensor, layer: int) -> Tensor:
        if layer == -1:
            return self._see(rgb)[0].float()
        return self._see(rgb, layer)[1].float()

    def release(self) -> None:
        return None


def _trainable_copy(network: nn.Module) -> nn.Module:
    """The same network in float32, of ordinary tensors without gradients."""
    with torch.inference_mode(False), torch.no_grad():
        own = copy.deepcopy(network).eval()
        for module in own.modules():
            for kind in (module._parameters, module._buffers):
                for key, value in kind.items():
                    if value is not None:
                        plain = value.detach().clone()
                        plain = plain.float() if plain.is_floating_point() else plain
                        kind[key] = nn.Parameter(plain, requires_grad=False) if kind is module._parameters else plain
    return own
