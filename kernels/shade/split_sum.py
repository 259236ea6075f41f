"""Metal and plastic under an environment: the split-sum approximation (Karis 2013, Real Shading in Unreal Engine 4)."""
from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F

from ..checks import check_shape
from .environment import Environment, diffuse_light, reflected_light

_TABLE = 32  # nodes per axis


def shade_split_sum(environment: Environment, albedo: torch.Tensor, metallic: torch.Tensor, roughness: torch.Tensor,
                    normal: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Linear radiance [N,3] towards the camera of points under an environment.

    albedo     [N,3] linear, in [0,1]
    metallic   [N,1] in [0,1]
    roughness  [N,1] in [0,1], perceptual: alpha = roughness squared
    normal     [N,3] unit
    direction  [N,3] unit, from the camera to the point

    (1 - metallic) albedo E(n) + (F0 A + B) S(r), F0 = lerp(0.04, albedo, metallic), with A and B from `brdf_table` and S
    the light around the mirrored direction. No shadows. Differentiable in all but the environment. Raises ShapeError.
    """
    count = len(albedo)
    for name, tensor, channels in (("albedo", albedo, 3), ("metallic", metallic, 1), ("roughness", roughness, 1),
                                   ("normal", normal, 3), ("direction", direction, 3)):
        check_shape(name, tensor, count, channels)
    facing = -(normal * direction).sum(1, keepdim=True)
    mirrored = F.normalize(direction + 2 * facing * normal, dim=1)
    scale, bias = _lookup(facing.clamp(1e-3, 1), roughness).unbind(1)
    base = torch.lerp(torch.full_like(albedo, 0.04), albedo, metallic)
    specular = (base * scale[:, None] + bias[:, None]) * reflected_light(environment, mirrored, roughness[:, 0])
    return (1 - metallic) * albedo * diffuse_light(environment, normal) + specular


@lru_cache(maxsize=1)
def brdf_table() -> torch.Tensor:
    """[32,32,2]: A and B with A F0 + B = the share of white light that a GGX surface mirrors, rows by roughness and
    columns by n.v, both from 0 to 1. Smith's shadowing with correlated heights, Schlick's Fresnel; 32 x 32 stratified
    half vectors per entry, float32 on the CPU."""
    with torch.inference_mode(False), torch.no_grad():
        line = torch.linspace(0, 1, _TABLE, dtype=torch.float64)
        alpha = line.clamp(min=0.02).square()[:, None, None]
        n_v = line.clamp(min=1e-3)[None, :, None]
        strata = (torch.arange(32, dtype=torch.float64) + 0.5) / 32
        first, second = (grid.flatten() for grid in torch.meshgrid(strata, strata, indexing="ij"))
        n_h = ((1 - first) / (1 + (alpha**2 - 1) * first)).sqrt()
        v_h = (1 - n_v**2).sqrt() * (1 - n_h**2).clamp(min=0).sqrt() * (2 * math.pi * second).cos() + n_v * n_h
        n_l = 2 * v_h * n_h - n_v
        lit = (n_l > 0) & (v_h > 0)
        n_l, v_h = n_l.clamp(min=1e-9), v_h.clamp(min=1e-9)
        smith = n_l * (alpha**2 + (1 - alpha**2) * n_v**2).sqrt() + n_v * (alpha**2 + (1 - alpha**2) * n_l**2).sqrt()
        share = torch.where(lit, 2 * n_l * v_h / (smith * n_h), 0.0)
        fresnel = (1 - v_h) ** 5
        return torch.stack([(share * (1 - fresnel)).mean(2), (share * fresnel).mean(2)], -1).float()


def _lookup(n_v: torch.Tensor, roughness: torch.Tensor) -> torch.Tensor:
    """n_v, roughness [N,1] -> A and B [N,2]."""
    table = brdf_table().to(n_v).permute(2, 0, 1)[None]
    place = torch.cat([n_v, roughness], 1).view(1, 1, -1, 2) * 2 - 1
    return F.grid_sample(table, place, mode="bilinear", padding_mode="border", align_corners=True)[0, :, 0].T
