"""Triangles, colours and glTF maps of a scene of the Mesh Rasterizer."""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.surface.closest import closest_points
from ...kernels.surface.components import component_labels, in_large_component
from ...kernels.surface.mesh import compact
from ..assets.mesh import Mesh
from ..core.errors import DistillError
from ..core.field import Surface
from ..core.tick import Tick, no_tick

POINTS_AT_ONCE = 1 << 18
# Largest distance of a texel's point from the scene's surface, as a share of the width of its bounds.
REACH = 0.02


@dataclass
class Appearance:
    """Appearance of N points of a surface. albedo [N,3] in [0,1], display-referred; metallic_roughness [N,3] as glTF
    packs it (0, roughness, metallic), or None where the material is only a colour; normal [N,3] unit, world."""

    albedo: Tensor
    metallic_roughness: Tensor | None
    normal: Tensor


def triangles_of(scene: nn.Module, node: str) -> Surface:
    """The scene's surface, detached. Raises DistillError, beginning with `node`, when it is empty or not finite."""
    surface = scene.field.surface()
    if len(surface.faces) == 0:
        raise DistillError(f"{node}: the scene's surface has no triangles: training made it vanish. Use an earlier "
                           "state, a lower learning rate, or a larger shape to start from.")
    if not bool(surface.vertices.isfinite().all()):
        broken = int((~surface.vertices.isfinite()).any(1).sum())
        raise DistillError(f"{node}: {broken} of {len(surface.vertices)} vertices of the scene's surface are not "
                           "finite. The training diverged: use an earlier state or a lower learning rate.")
    return Surface(**{name: None if value is None else value.detach() for name, value in vars(surface).items()})


def surface_mesh(scene: nn.Module, node: str, smallest: float = 0.0, colors: bool = True) -> tuple[Mesh, int, int]:
    """The scene's triangles as a mesh, with their texture coordinates where they have any.

    smallest  components with less than this share of the largest one's area are dropped
    colors    fill vertex_colors with the scene's

    Returns the mesh and the number of components before and after. Errors: see `triangles_of`.
    """
    surface = triangles_of(scene, node)
    large = in_large_component(surface.vertices, surface.faces, smallest)
    found, kept = (_components(faces) for faces in (surface.faces, surface.faces[large]))
    if surface.uv is None:
        faces, vertex = compact(surface.faces[large], len(surface.vertices))
        uv = None
    else:
        pairs, faces = torch.unique(surface.faces[large] * len(surface.uv) + surface.faces_uv[large],
                                    return_inverse=True)
        vertex, uv = pairs // len(surface.uv), surface.uv[pairs % len(surface.uv)]
    mesh = Mesh(surface.vertices[vertex], faces, uv, normals=surface.normals[vertex])
    if colors:
        mesh = replace(mesh, vertex_colors=_appearance(scene, mesh.vertices, mesh.uv, mesh.normals).albedo)
    return mesh, found, kept


def appearance_at(scene: nn.Module, points: Tensor, node: str, tick: Tick = no_tick) -> tuple[Tensor, Appearance]:
    """Appearance of the scene's surface at the points nearest to points [N,3].

    Returns known [N] bool, whether such a point is within REACH, and the Appearance of the K known ones. Raises
    DistillError, beginning with `node`, when less than half of them are, and as `triangles_of` does.
    """
    surface = triangles_of(scene, node)
    reach = REACH * float((scene.bounds[1] - scene.bounds[0]).amax())
    known, looks = [], []
    for start in range(0, len(points), POINTS_AT_ONCE):
        tick(start / len(points))
        face, weights = closest_points(points[start:start + POINTS_AT_ONCE], surface.vertices, surface.faces, reach)
        hit = face >= 0
        known.append(hit)
        face, weights = face[hit], weights[hit, :, None]
        uv = None if surface.uv is None else (weights * surface.uv[surface.faces_uv[face]]).sum(1)
        looks.append(_appearance(scene, (weights * surface.vertices[surface.faces[face]]).sum(1), uv,
                                 F.normalize((weights * surface.normals[surface.faces[face]]).sum(1), dim=1)))
    known = torch.cat(known)
    share = float(known.float().mean())
    if share < 0.5:
        raise DistillError(f"{node}: only {share:.0%} of the mesh is near the scene's surface, so it is not this "
                           "scene's mesh. Connect the mesh that Extract Mesh makes of this scene.")
    shines = looks[0].metallic_roughness is not None
    return known, Appearance(torch.cat([look.albedo for look in looks]),
                             torch.cat([look.metallic_roughness for look in looks]) if shines else None,
                             torch.cat([look.normal for look in looks]))


def _components(faces: Tensor) -> int:
    faces, used = compact(faces, int(faces.max()) + 1)
    return int(component_labels(faces, len(used)).max()) + 1


def _appearance(scene: nn.Module, position: Tensor, uv: Tensor | None, normal: Tensor) -> Appearance:
    features = scene.field.features(position, uv)
    _, albedo = scene.material(features, normal, position, None, "albedo")
    maps = scene.material.textures(features, normal)
    packed = None
    if "roughness" in maps:
        packed = torch.cat([torch.zeros_like(maps["roughness"]), maps["roughness"], maps["metallic"]], 1).clamp(0, 1)
    return Appearance(albedo.clamp(0, 1), packed, maps.get("normal", normal))
