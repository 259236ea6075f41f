"""Environment light, prefiltered so that one lookup integrates over a whole lobe.

Panoramas are equirectangular [H,W,3], linear radiance: the top row looks up (+z), the middle of the picture towards +x,
and further right means turning right (towards -y).
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..checks import check_shape
from ..encode.spherical_harmonics import encode_spherical_harmonics

# Roughness of the prepared levels; between them it is interpolated. The first is the panorama itself.
ROUGHNESS = (0.0, 0.3, 0.5, 0.75, 1.0)
_COARSE = 32  # rows at which lobes are summed
_SHARP = 64  # rows of the levels


@dataclass
class Environment:
    """irradiance [9,3]: spherical harmonics of the light that a white diffuse surface reflects, 1 under radiance 1;
    reflected [3,L,H,W+2]: radiance averaged over the lobe of each ROUGHNESS, with a wrapped column at either end."""

    irradiance: torch.Tensor
    reflected: torch.Tensor


def panorama_directions(height: int, width: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit directions [H,W,3] of the texels of a panorama and their solid angles [H,W], which add up to 4 pi."""
    row = (torch.arange(height).to(like) + 0.5) * (math.pi / height)
    azimuth = math.pi - (torch.arange(width).to(like) + 0.5) * (2 * math.pi / width)
    row, azimuth = torch.meshgrid(row, azimuth, indexing="ij")
    directions = torch.stack([row.sin() * azimuth.cos(), row.sin() * azimuth.sin(), row.cos()], -1)
    return directions, row.sin() * (4 * math.pi / row.sin().sum())


def prepare_environment(panorama: torch.Tensor) -> Environment:
    """Convolves a panorama [H,W,3] with the cosine lobe, to second order (Ramamoorthi and Hanrahan 2001), and with GGX
    lobes seen head-on (Karis 2013, split sum).

    Detail finer than 64 rows is averaged first. Not meant for gradients. Raises ShapeError.
    """
    check_shape("panorama", panorama, "H", "W", 3)
    image = panorama.detach().permute(2, 0, 1)[None]
    sharp, coarse = (F.interpolate(image, (rows, 2 * rows), mode="area")[0].permute(1, 2, 0)
                     for rows in (_SHARP, _COARSE))
    directions, area = (part.flatten(0, 1) for part in panorama_directions(_COARSE, 2 * _COARSE, coarse))
    light = coarse.reshape(-1, 3) * area[:, None]
    lobe = torch.tensor([1.0] + [2 / 3] * 3 + [1 / 4] * 5).to(light)[:, None]
    irradiance = lobe * (encode_spherical_harmonics(directions, 2).T @ light)
    levels = [sharp.permute(2, 0, 1)]
    cosine = directions @ directions.T
    for roughness in ROUGHNESS[1:]:
        # Seen head-on, the half vector between light and normal has n.h = sqrt((1 + n.l) / 2).
        weight = ggx_distribution(((1 + cosine) / 2).clamp(0, 1).sqrt(), roughness**2) * cosine.clamp(min=0)
        seen = (weight @ light) / (weight @ area)[:, None]
        seen = _closed(seen.view(_COARSE, 2 * _COARSE, 3).permute(2, 0, 1))[None]
        levels.append(F.interpolate(seen, (_SHARP, 2 * _SHARP + 4), mode="bilinear")[0, :, :, 2:-2])
    return Environment(irradiance, torch.stack([_closed(level) for level in levels], 1).contiguous())


def diffuse_light(environment: Environment, normal: torch.Tensor) -> torch.Tensor:
    """Light that a white diffuse surface with unit normal [N,3] reflects: [N,3], >= 0. Differentiable in normal."""
    return (encode_spherical_harmonics(normal, 2) @ environment.irradiance).clamp(min=0)


def reflected_light(environment: Environment, direction: torch.Tensor, roughness: torch.Tensor) -> torch.Tensor:
    """Radiance averaged over a lobe of roughness [N] around unit direction [N,3]: [N,3]. Differentiable in both."""
    _, levels, height, width = environment.reflected.shape
    width -= 2
    # Where x and y vanish, azimuth has no derivative: straight up and down any will do.
    flat = direction[:, :2].square().sum(1) > 1e-12
    x, y = torch.where(flat, direction[:, 0], 1.0), torch.where(flat, direction[:, 1], 0.0)
    column = (0.5 - torch.atan2(y, x) / (2 * math.pi)) * width + 0.5           # with the extra column, in texel centres
    row = torch.acos(direction[:, 2].clamp(-1 + 1e-6, 1 - 1e-6)) * (height / math.pi) - 0.5
    place = torch.stack([2 * column / (width + 1) - 1, 2 * row / (height - 1) - 1, _level(roughness, levels)], -1)
    found = F.grid_sample(environment.reflected[None], place.view(1, 1, 1, -1, 3), mode="bilinear",
                          padding_mode="border", align_corners=True)
    return found.view(3, -1).T


def ggx_distribution(n_h: torch.Tensor, alpha: float) -> torch.Tensor:
    """Density of microfacet normals at n.h (Walter et al. 2007, eq. 33), alpha = roughness squared."""
    return alpha**2 / (math.pi * (n_h.square() * (alpha**2 - 1) + 1).square())


def _level(roughness: torch.Tensor, levels: int) -> torch.Tensor:
    """Place of roughness [N] among the levels, from -1 (first) to 1 (last)."""
    place = torch.zeros_like(roughness)
    for low, high in zip(ROUGHNESS, ROUGHNESS[1:]):
        place = place + ((roughness - low) / (high - low)).clamp(0, 1)
    return 2 * place / (levels - 1) - 1


def _closed(image: torch.Tensor) -> torch.Tensor:
    """[3,H,W] -> [3,H,W+2]: a panorama with the neighbours of its ends."""
    return torch.cat([image[..., -1:], image, image[..., :1]], -1)
