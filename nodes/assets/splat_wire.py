"""Reading core's SPLAT from a wire: batch first, activated, in the frame of splat files."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core.errors import DistillError
from .splat import MAX_DEGREE, Splat, from_splat_frame, turn_from_splat_frame

_SIZES = {"positions": 3, "scales": 3, "rotations": 4, "opacities": 1}


def read_core_splat(core: Any, node: str) -> Splat:
    """A core SPLAT of one item, copied to the CPU; `node` is named in messages.

    Raises DistillError for another class, a batch of none or several, shapes that do not fit, no Gaussian, numbers that
    are not finite, scales below 0, opacities outside [0,1] and quaternions of length 0.
    """
    if not all(isinstance(getattr(core, name, None), Tensor) for name in (*_SIZES, "sh")):
        name = f"{type(core).__module__}.{type(core).__name__}"
        raise DistillError(f"{node}: the splat input holds a {name}, not the SPLAT of ComfyUI itself. Some packs give "
                           "their own class the same name: connect a node that gives a core SPLAT, e.g. Scene to "
                           "Splat.")
    if core.positions.ndim != 3 or len(core.positions) != 1:
        raise DistillError(f"{node}: the splat input is a batch of shape {list(core.positions.shape)}; one item "
                           "[1,N,3] is needed. Wire one splat: Merge Splats makes one of several.")
    counts = getattr(core, "counts", None)
    count = core.positions.shape[1] if counts is None else int(counts[0])
    parts = {name: getattr(core, name)[0, :count].detach().to("cpu", torch.float32, copy=True)
             for name in (*_SIZES, "sh")}
    splat = Splat(**parts)
    check_splat(splat, node)
    return Splat(from_splat_frame(splat.positions), turn_from_splat_frame(splat.rotations), splat.scales,
                 splat.opacities, splat.sh)


def check_splat(splat: Splat, node: str) -> None:
    """Raises DistillError, beginning with `node`, unless shapes and values are valid for Gaussians."""
    count, parts = len(splat), vars(splat)
    degrees = [(degree + 1) ** 2 for degree in range(MAX_DEGREE + 1)]
    if any(parts[name].shape != (count, size) for name, size in _SIZES.items()) or splat.sh.ndim != 3 or len(
            splat.sh) != count or splat.sh.shape[2] != 3 or splat.sh.shape[1] not in degrees:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in parts.items())
        raise DistillError(f"{node}: a splat needs positions [N,3], scales [N,3], rotations [N,4], opacities [N,1] and "
                           f"sh [N,K,3] with K of {degrees}, got {shapes}.")
    if count == 0:
        raise DistillError(f"{node}: the splat is empty. Check the node that made it.")
    for name, value in parts.items():
        broken = int((~value.isfinite()).flatten(1).any(1).sum())
        if broken:
            raise DistillError(f"{node}: the {name} of {broken} of {count} Gaussians are not finite. The node that "
                               "made this splat is at fault.")
    if float(splat.scales.min()) < 0:
        raise DistillError(f"{node}: scales reach {float(splat.scales.min()):.4g}, but standard deviations are not "
                           "negative. Logarithms, as files hold them, must be exponentiated first.")
    if float(splat.opacities.min()) < 0 or float(splat.opacities.max()) > 1:
        raise DistillError(f"{node}: opacities range from {float(splat.opacities.min()):.4g} to "
                           f"{float(splat.opacities.max()):.4g}; they must lie in 0..1. Logits, as files hold them, "
                           "must go through a sigmoid first.")
    if float(splat.rotations.square().sum(1).min()) == 0:
        raise DistillError(f"{node}: a rotation of the splat is a quaternion of length 0. The node that made it is at "
                           "fault.")
