"""sRGB and linear light (IEC 61966-2-1)."""
from __future__ import annotations

import torch


def srgb_to_linear(srgb: torch.Tensor) -> torch.Tensor:
    """Decodes sRGB values of any shape to linear light.

    The straight segment continues below 0, the power above 1; nothing is clamped. Differentiable everywhere.
    """
    # Each branch is kept away from where the other applies: an unused branch must not give a NaN gradient.
    curve = ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curve)


def linear_to_srgb(linear: torch.Tensor) -> torch.Tensor:
    """Encodes linear light of any shape as sRGB; the inverse of `srgb_to_linear`, as smooth and as unclamped."""
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)
