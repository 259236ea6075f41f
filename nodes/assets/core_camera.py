"""Core's LOAD3D_CAMERA as `Cameras`. Its world is Y up, ours is z up; camera axes are the same."""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...kernels.quaternion import rotation_matrices
from ..core.cameras import Cameras, look_at
from ..core.errors import DistillError
from .mesh import from_y_up

FOV = 35.0  # degrees, where a camera has none: what core's Render Splat takes then


def camera_from_core(info: Any, height: int, width: int, node: str, models: Any = None) -> Cameras:
    """The camera of a 3D viewer, a batch of one, for pictures of height x width; `node` is named in messages.

    info    LOAD3D_CAMERA: position and target in scene units, Y up; quaternion, which overrides the target; fov,
            vertical degrees; zoom
    models  LOAD3D_MODEL_INFO or None: translation, rotation and scale of the object in the viewer. The camera is
            returned relative to the object

    Orthographic cameras stay orthographic. Raises DistillError.
    """
    if not (isinstance(info, Mapping) and isinstance(info.get("position"), Mapping)):
        raise DistillError(f"{node}: the camera input holds a {type(info).__name__} without a position, not the camera "
                           "of ComfyUI's 3D viewers. Connect camera_info of Load 3D, Preview 3D or Create Camera Info.")
    position, target = _vector(info["position"]), _vector(info.get("target") or {})
    if info.get("quaternion"):
        turn = rotation_matrices(_quaternion(info["quaternion"], node)[None])[0]
    else:
        if float((position - target).norm()) < 1e-9:
            raise DistillError(f"{node}: the camera is at the point that it looks at, so it has no direction. Move "
                               "one.")
        turn = look_at(position[None], target[None], torch.tensor([[0.0, 1.0, 0.0]]))[0, :3, :3]
    fovy, scale = _lens(info, float((position - target).norm()), node)
    if models:
        position, turn, scale = _beside_the_model(position, turn, scale, models[0], node)
    position, turn = from_y_up(position), from_y_up(turn.T).T
    distance = position.norm()
    c2w = torch.eye(4)
    c2w[:3, :3], c2w[:3, 3] = turn, position
    if scale is not None:
        fovy = 2 * math.atan(scale / float(distance.clamp_min(1e-9)))
    return Cameras(c2w[None], torch.tensor([fovy]), height, width, torch.atan2(position[1], position[0])[None],
                   torch.asin((position[2] / distance.clamp_min(1e-9)).clamp(-1, 1))[None], distance[None],
                   None if scale is None else torch.tensor([scale]))


def _lens(info: Mapping, reach: float, node: str) -> tuple[float, float | None]:
    """Vertical field of view, radians, and the scale of an orthographic camera or None. reach: distance from the camera
    to the target."""
    fov, zoom, frustum = float(info.get("fov") or FOV), float(info.get("zoom") or 1.0), info.get("frustum")
    half = math.tan(math.radians(fov) / 2) / zoom
    fovy = 2 * math.atan(half)
    if not 0 < fovy < math.pi:
        raise DistillError(f"{node}: a field of view of {fov} degrees at zoom {zoom} cannot be rendered.")
    if not str(info.get("cameraType", "")).lower().startswith("ortho"):
        return fovy, None
    # Without a frustum it covers the same height at the target as the perspective camera.
    scale = (float(frustum["top"]) - float(frustum["bottom"])) / 2 / zoom if frustum else half * reach
    if not scale > 0:
        raise DistillError(f"{node}: the orthographic camera covers a height of {2 * scale:g}. Give it a frustum whose "
                           "top is above its bottom.")
    return fovy, scale


def _beside_the_model(position: Tensor, turn: Tensor, view: float | None, model: Mapping,
                      node: str) -> tuple[Tensor, Tensor, float | None]:
    """Position, rotation and orthographic scale of the camera relative to a model that was scaled, rotated and
    translated, in this order."""
    scale = _vector(model.get("scale") or {}, 1.0)
    if float(scale.amin()) <= 0 or float(scale.amax() / scale.amin()) > 1.001:
        raise DistillError(f"{node}: the viewer's object is scaled by {[round(float(one), 4) for one in scale]}. No "
                           "camera position corresponds to that: scale it alike along all axes.")
    back = rotation_matrices(_quaternion(model["quaternion"],
                                         node)[None])[0].T if model.get("quaternion") else torch.eye(3)
    return back @ (position - _vector(model.get("position") or {})) / scale[0], back @ turn, (
        None if view is None else view / float(scale[0]))


def _vector(values: Mapping, other: float = 0.0) -> Tensor:
    return torch.tensor([float(values.get(axis, other)) for axis in "xyz"])


def _quaternion(values: Mapping, node: str) -> Tensor:
    quaternion = torch.tensor([float(values.get(part, 0.0)) for part in "wxyz"])
    if float(quaternion.norm()) < 1e-6:
        raise DistillError(f"{node}: a rotation of the viewer is (0, 0, 0, 0), which is not a "
                           "rotation. Reset the viewer.")
    return quaternion
