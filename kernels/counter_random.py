"""Random numbers from counters: a hash of (key, i, j), the same on every device, by every backend, and in any order.

A generator has to draw its numbers one after the other, on the processor for the same numbers everywhere; a hash
computes each where it is needed. The mixing is Wellons' lowbias32 (2018), once for each word: about as even as a 32-bit
integer hash gets.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def key_words(key: int) -> tuple[int, int]:
    """The low and the high 32 bits of a key of 64."""
    return key & _MASK, (key >> 32) & _MASK


def uniform(key: int, i: Tensor, j: Tensor) -> Tensor:
    """Numbers in [0,1) for counters i and j (integers >= 0, broadcast), float32: multiples of 2^-24.

    key  an integer of 64 bits

    Not differentiable.
    """
    low, high = map(_signed, key_words(key))
    mixed = _mix(_mix(i.to(torch.int32) + low) ^ (j.to(torch.int32) + high))
    return ((mixed >> 8) & 0xFFFFFF).to(torch.float32) * 2.0**-24


def normal(key: int, i: Tensor, channels: int) -> Tensor:
    """Standard normal numbers [N,channels] for counters i [N] (int64 >= 0), float32 (Box and Muller 1958)."""
    j = torch.arange(channels, device=i.device)
    first, second = (uniform(key, i[:, None], j + offset) for offset in (0, channels))
    return (-2 * (1 - first).log()).sqrt() * (2 * math.pi * second).cos()


def _mix(x: Tensor) -> Tensor:
    """lowbias32, in place, of words in int32: products wrap around, and shifts are made logical by masks."""
    shifted = (x >> 16).bitwise_and_(0xFFFF)
    x.bitwise_xor_(shifted).mul_(0x7FEB352D)
    torch.bitwise_right_shift(x, 15, out=shifted)
    x.bitwise_xor_(shifted.bitwise_and_(0x1FFFF)).mul_(_signed(0x846CA68B))
    torch.bitwise_right_shift(x, 16, out=shifted)
    return x.bitwise_xor_(shifted.bitwise_and_(0xFFFF))


def _signed(word: int) -> int:
    """32 bits as int32 has them."""
    return word - 2**32 if word >= 2**31 else word
