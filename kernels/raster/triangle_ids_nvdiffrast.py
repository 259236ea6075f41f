"""Triangle ids by nvdiffrast, where the user has installed it; see triangle_ids.py for what they mean.

Its licence allows non-commercial use only and it is on no package index, so it is never required. Only its ids are
used; barycentrics and antialiasing are the pack's own. At edges it may choose the other of two neighbouring faces.
"""
from __future__ import annotations

from functools import lru_cache

import torch


def lower_keys(points: torch.Tensor, faces: torch.Tensor, height: int, width: int, nearest: torch.Tensor,
               chunk: int) -> None:
    """points [V,4] on CUDA, faces [F,3]; writes the ids into nearest [H*W], where there is one."""
    import nvdiffrast.torch as dr

    lost = ~points.isfinite().all(1)[faces].all(1, keepdim=True)
    faces = torch.where(lost, 0, faces)  # without area, so not seen
    points = points.nan_to_num(0.0, 0.0, 0.0).float()
    rast, _ = dr.rasterize(_context(str(points.device)), points[None].contiguous(), faces.int().contiguous(),
                           resolution=[height, width], grad_db=False)
    ids = rast[0, ..., 3].flip(0).round().long().flatten()  # its row 0 is the bottom
    nearest.copy_(torch.where(ids > 0, ids, nearest))


def unusable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why it cannot run here, None where it can."""
    from importlib.util import find_spec

    if device.type != "cuda":
        return "nvdiffrast draws on CUDA only"
    return None if find_spec("nvdiffrast") else "the package nvdiffrast is not installed"


@lru_cache(None)
def _context(device: str):
    import nvdiffrast.torch as dr
    return dr.RasterizeCudaContext(device=device)
