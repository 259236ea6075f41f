"""Bringing tensors from the host to a device without stopping either."""
from __future__ import annotations

import torch


def upload(values: torch.Tensor, device: torch.device | str, dtype: torch.dtype | None = None) -> torch.Tensor:
    """`values` on `device`, in `dtype` where that is given.

    An ordinary copy from the host to CUDA ends only when the device has done everything that it was given before. From
    pinned memory it takes its turn there like a kernel, and torch keeps that memory until then.
    """
    device = torch.device(device)
    if device.type == "cuda" and values.device.type == "cpu":
        return values.to(dtype=dtype or values.dtype).pin_memory().to(device, non_blocking=True)
    return values.to(device, dtype)
