"""Metal and plastic under an environment: the split-sum approximation (Karis 2013, Real Shading in Unreal Engine 4)."""
from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F

from ..checks import check_shape
from .environment import Environment, diffuse_light, reflected_light


def shade_split_sum(environment: Environment, albedo: torch.Tensor, metallic: torch.Tensor, roughness: torch.Tensor,
                    normal: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Linear radiance [N,3] towards the camera of points under an environment.

    albedo     [N,3] linear, in [0,1]
    metallic   [N,1] in [0,1]
    roughness  [N,1] in [0,1], perceptual: alpha = roughness squared
    normal     [N,3] unit
    direction  [N,3] unit, from the camera to the point

    (1 - metallic) albedo E(n) + (F0 A + B) S(r), F0 = lerp(0.04, albedo, metallic), with A and B from `brdf_table` and
    S the light around the mirrored direction. No shadows. Differentiable in all but the environment. Raises ShapeError.
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


@lru_cache(maxsize=2)
def brdf_table(nodes: int = 32, spacing: int = 1) -> torch.Tensor:
    """A and B with A F0 + B = the share of white light that a GGX surface reflects: [nodes,nodes,2], float32 on the
    CPU.

    Rows by perceptual roughness from 0 to 1 (at least 0.02 is taken), columns by n.v = x^spacing with x from 0 to 1 (at
    least 0.001 is taken). Smith's shadowing with correlated heights, Schlick's Fresnel. Computed once: 0.2 s for 32
    nodes. Within 1e-3 of the integral, next to grazing too.
    """
    with torch.inference_mode(False), torch.no_grad():
        line = torch.linspace(0, 1, nodes, dtype=torch.float64)
        columns = (line**spacing).clamp(min=1e-3)
        rows = [torch.stack(_reflected_share(columns, alpha), -1) for alpha in line.clamp(min=0.02).square()]
        return torch.stack(rows).float()


def _reflected_share(n_v: torch.Tensor, alpha: torch.Tensor, points: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B [K] at n_v [K] for one alpha, by Gauss-Legendre quadrature over visible normals.

    Visible normals are uniform on a spherical cap after the stretch by alpha (Heitz 2018; Dupuy and Benyoub 2023),
    where the integrand is G2 / G1 times Fresnel. For each azimuth of the cap, normals are lit up to one height: it is
    found by bisection, so that no quadrature runs over the horizon's edge, and nodes gather there.
    """
    node, weight = _gauss_legendre(points)
    n_v, phi = n_v[:, None, None], (math.pi * node)[:, None]
    s_v = (1 - n_v**2).clamp(min=0).sqrt()
    length = (alpha**2 * s_v**2 + n_v**2).sqrt()
    x, z = alpha * s_v / length, n_v / length  # the view after the stretch

    def reflect(height: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """v.h and n.l of the normals at `height` 0..1, from the top of the cap down."""
        cap_z = (1 - height) * (1 + z) - z
        cap = (1 - cap_z**2).clamp(min=0).sqrt()
        h_x, h_y, h_z = alpha * (cap * phi.cos() + x), alpha * cap * phi.sin(), cap_z + z
        norm = (h_x**2 + h_y**2 + h_z**2).sqrt().clamp(min=1e-300)
        v_h = (s_v * h_x + n_v * h_z) / norm
        return v_h, 2 * v_h * h_z / norm - n_v

    low = torch.zeros(len(n_v), points, 1, dtype=n_v.dtype)
    high = torch.ones_like(low)
    is_whole = reflect(high)[1] > 0
    for _ in range(40):
        middle = (low + high) / 2
        is_lit = reflect(middle)[1] > 0
        low, high = torch.where(is_lit, middle, low), torch.where(is_lit, high, middle)
    top = torch.where(is_whole, torch.ones_like(low), low)
    v_h, n_l = reflect(top * (1 - (1 - node) ** 3))
    n_l = n_l.clamp(min=0)
    smith_v, smith_l = ((alpha**2 + (1 - alpha**2) * cosine**2).sqrt() for cosine in (n_v, n_l))
    share = n_l * (n_v + smith_v) / (n_l * smith_v + n_v * smith_l).clamp(min=1e-300)
    share = share * top * (3 * (1 - node) ** 2 * weight) * weight[:, None]
    fresnel = (1 - v_h.clamp(0, 1)) ** 5
    return (share * (1 - fresnel)).sum((1, 2)), (share * fresnel).sum((1, 2))


def _gauss_legendre(points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights on [0,1], float64 (Golub and Welsch 1969)."""
    k = torch.arange(1, points, dtype=torch.float64)
    off = k / (4 * k**2 - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return (values + 1) / 2, vectors[0] ** 2


def _lookup(n_v: torch.Tensor, roughness: torch.Tensor) -> torch.Tensor:
    """n_v, roughness [N,1] -> A and B [N,2], within 2e-3 of the integral between the nodes too."""
    # A node lies at the smallest roughness 0.02, where there is a kink, and nodes gather towards grazing.
    table = brdf_table(101, 3).to(n_v).permute(2, 0, 1)[None]
    place = torch.cat([n_v.clamp(min=1e-9) ** (1 / 3), roughness], 1).view(1, 1, -1, 2) * 2 - 1
    return F.grid_sample(table, place, mode="bilinear", padding_mode="border", align_corners=True)[0, :, 0].T
