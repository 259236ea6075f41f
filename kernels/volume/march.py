"""Packed samples along rays: only inside the box, and only in occupied cells."""
from __future__ import annotations

from dataclasses import dataclass

import torch

from .. import backend, warp_runtime
from ..counter_random import key_words, uniform
from ..ragged import expand
from .box import box_bounds, intersect_box
from .occupancy import OccupancyGrid, is_occupied

_CHUNK = 2**18  # candidate samples placed at a time: a fit for processor caches; larger devices take more


@dataclass(frozen=True)
class RaySamples:
    """Packed samples: those of ray 0 from near to far, then those of ray 1, and so on.

    ray    [S] int64, sorted: the ray of each sample
    t      [S] where on the ray, in lengths of its direction
    delta  [S] length of the segment that the sample stands for
    rays   number of rays R; a ray may have no sample
    """

    ray: torch.Tensor
    t: torch.Tensor
    delta: torch.Tensor
    rays: int

    def keep(self, mask: torch.Tensor) -> RaySamples:
        """The samples where mask [S] bool holds, in the same order."""
        kept = mask.nonzero()[:, 0]
        return RaySamples(self.ray[kept], self.t[kept], self.delta[kept], self.rays)


def march_rays(origins: torch.Tensor, directions: torch.Tensor, bounds: float | torch.Tensor, *,
               step: float | None = None, samples: int | None = None, occupancy: OccupancyGrid | None = None,
               key: int | None = None, max_samples: int | None = None) -> RaySamples:
    """Cuts the part of each ray inside a box into segments and takes one sample in each.

    origins      [R, 3]
    directions   [R, 3], unit length for t and delta in world units
    bounds       radius r, for [-r, r]^3, or corners [2, 3]
    step         length of a segment (the last one of a ray is shorter), or
    samples      segments per ray, all of equal length; give exactly one of the two
    occupancy    drops samples in cells that are not occupied
    key          64 bits: a random place within each segment (stratified sampling, Mildenhall et al. 2020,
                 eq. 2), a hash of the key, the ray and the segment's number; None takes the middle
    max_samples  most samples to return. Above it every ray keeps its nearest m, m being the largest
                 number that fits: what is dropped is the far end of the rays with most samples

    Returns RaySamples; rays that miss the box have none. Not differentiable. Memory O(S). Backends: torch,
    warp (the same samples; float32).
    Raises ShapeError naming the argument; ValueError for step or samples not positive, both or
    neither given, or max_samples below the number of rays that have samples.
    """
    if (step is None) == (samples is None):
        raise ValueError(f"give either step or samples, got step={step} and samples={samples}")
    if not (step if samples is None else samples) > 0:
        raise ValueError(f"step and samples must be positive, got step={step} and samples={samples}")
    origins, directions = origins.detach(), directions.detach()
    near, far = intersect_box(origins, directions, bounds)
    length = far - near
    if samples is None:
        counts, width = torch.ceil(length / step).long(), torch.full_like(near, step)
    else:
        counts, width = torch.where(length > 0, samples, 0), length / samples
    run = backend.implementation("march_rays", near.device, near.dtype)
    return run(origins, directions, near, far, width, counts, occupancy, key, max_samples)


def _by_torch(origins, directions, near, far, width, counts, occupancy, key, max_samples) -> RaySamples:
    """Samples of rays of counts [R] int64 segments of width [R]."""
    if occupancy is None and max_samples is not None:
        counts = counts.clamp(max=_affordable(counts, max_samples))
    parts = [RaySamples(counts[:0], near[:0], near[:0], counts.shape[0])]
    for ray, rank in expand(counts, _CHUNK if near.device.type == "cpu" else 16 * _CHUNK):
        begin, segment = near[ray] + rank * width[ray], width[ray]
        delta = torch.minimum(segment, far[ray] - begin).clamp_min(0)
        part = RaySamples(ray, begin + (0.5 if key is None else uniform(key, ray, rank).to(begin.dtype)) * delta, delta,
                          counts.shape[0])
        if occupancy is not None:
            part = part.keep(is_occupied(occupancy, sample_points(origins, directions, part)))
        parts.append(part)
    whole = RaySamples(*(torch.cat([getattr(part, name) for part in parts]) for name in ("ray", "t", "delta")),
                       counts.shape[0])
    if max_samples is None or whole.ray.shape[0] <= max_samples:
        return whole
    counts = torch.bincount(whole.ray, minlength=whole.rays)
    starts = counts.cumsum(0) - counts
    rank = torch.arange(whole.ray.shape[0], device=whole.ray.device) - starts[whole.ray]
    return whole.keep(rank < _affordable(counts, max_samples))


def _by_warp(origins, directions, near, far, width, counts, occupancy, key, max_samples) -> RaySamples:
    from .march_warp import march

    def limit(kept):
        return kept if max_samples is None else kept.clamp(max=_affordable(kept, max_samples))

    words = None if key is None else key_words(key)
    return RaySamples(*march(origins, directions, near, far, width, counts, occupancy, words, limit), counts.shape[0])


def sample_points(origins: torch.Tensor, directions: torch.Tensor, samples: RaySamples) -> torch.Tensor:
    """World positions [S, 3] of samples on rays [R, 3]. Differentiable in origins and directions."""
    origins, directions = origins.index_select(0, samples.ray), directions.index_select(0, samples.ray)
    return torch.addcmul(origins, samples.t[:, None], directions)


def _affordable(counts: torch.Tensor, max_samples: int) -> int:
    """The largest m for which rays of `counts` samples, cut to m each, have at most max_samples."""
    low, high = 0, int(counts.max()) if counts.shape[0] else 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(counts.clamp(max=middle).sum()) <= max_samples else (low, middle - 1)
    if low == 0 and bool((counts > 0).any()):
        raise ValueError(f"max_samples is {max_samples}, fewer than the {int((counts > 0).sum())} rays that have "
                         "samples. Raise it, or render fewer pixels at a time.")
    return low


def _self_test(device: torch.device) -> None:
    """Raises unless Warp's samples equal those of the reference on some rays through a half empty box."""
    angle = torch.arange(16.0, device=device)
    directions = torch.nn.functional.normalize(torch.stack([angle.sin(), angle.cos(), 0.3 * (2 * angle).sin()], 1),
                                               dim=1)
    binary = torch.arange(64, device=device).view(4, 4, 4) % 3 == 0
    grid = OccupancyGrid(binary.float(), binary, box_bounds(1.0, device))
    near, far = intersect_box(-2 * directions, directions, 1.0)
    counts, width = torch.ceil((far - near) / 0.1).long(), torch.full_like(near, 0.1)
    wanted, found = (run(-2 * directions, directions, near, far, width, counts, grid, 2**40 + 7, None)
                     for run in (_by_torch, _by_warp))
    for name in "ray", "t", "delta":
        backend.expect_close(name, getattr(found, name), getattr(wanted, name))


backend.register("march_rays", backend.REFERENCE, _by_torch)
backend.register("march_rays", "warp", _by_warp, warp_runtime.unusable, _self_test)
