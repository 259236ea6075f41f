"""Copying tensors from the host to a device without a synchronisation."""
from __future__ import annotations

import torch


def upload(values: torch.Tensor, device: torch.device | str, dtype: torch.dtype | None = None) -> torch.Tensor:
    """`values` on `device`, in `dtype` where that is given.

    An ordinary copy from the host to CUDA waits until the device has finished all earlier work. A copy from pinned
    memory is queued like a kernel, and torch keeps that memory until it has run.
    """
    device = torch.device(device)
    if device.type == "cuda" and values.device.type == "cpu":
        return values.to(dtype=dtype or values.dtype).pin_memory().to(device, non_blocking=True)
    return values.to(device, dtype)
