"""Marching as Warp kernels; see march.py for what it means. Each task is one ray, processed twice: once to count its
samples, once to write them. Products are not fused with sums, so that each sample falls into the same cell as in the
reference."""
import torch
import warp as wp

from ..warp_runtime import in_parallel, kernel_module, launch

__name__ = kernel_module(__name__)
wp.set_module_options({"enable_backward": False, "optimization_level": 3, "fuse_fp": False,
                       "cpu_compiler_flags": "-march=native -ffp-contract=off"})

_RAY = """
    const int ray = first_ray + task;
    const float near = nears.data[ray], far = fars.data[ray], width = widths.data[ray];
    const float *o = origins.data + 3 * ray, *d = directions.data + 3 * ray;
    const int count = (int)candidates.data[ray], most = (int)kept.data[ray];
    const bool counting = most < 0;
    const long long to = counting ? 0 : kept_ends.data[ray] - most;
    float low[3], high[3], factor[3], from[3], along[3];
    for (int axis = 0; axis < 3 && cells; axis++) {
        low[axis] = bounds.data[axis], high[axis] = bounds.data[3 + axis];
        factor[axis] = (float)cells / (high[axis] - low[axis]);
        from[axis] = o[axis], along[axis] = d[axis];
    }
    const bool* const full = binary.data;
    auto mix = [](unsigned x) {  // see ../counter_random.py
        x ^= x >> 16, x *= 0x7FEB352Du;
        x ^= x >> 15, x *= 0x846CA68Bu;
        return x ^ (x >> 16);
    };
    const unsigned of_ray = mix((unsigned)ray + (unsigned)key_low);
#if defined(__CUDA_ARCH__)
    const int at_once = 1;  // so that registers hold them
#else
    const int at_once = 64;
#endif
    float t[at_once], delta[at_once];
    int cell[at_once];  // -1 outside
    int found = 0;
    for (int start = 0; start < count && (counting || found < most); start += at_once) {
        const int size = count - start < at_once ? count - start : at_once;
        for (int n = 0; n < size; n++) {
            const float begin = near + (float)(start + n) * width;
            const float length = far - begin < width ? far - begin : width;
            delta[n] = length < 0.0f ? 0.0f : length;
            const unsigned mixed = mix(of_ray ^ ((unsigned)(start + n) + (unsigned)key_high));
            t[n] = begin + (jittered ? (float)(mixed >> 8) * 5.9604644775390625e-8f : 0.5f) * delta[n];
        }
        // Without a branch, so that one instruction takes several.
        for (int n = 0; n < size && cells; n++) {
            int index = 0;
            bool inside = true;
            for (int axis = 0; axis < 3; axis++) {
                const float at = from[axis] + t[n] * along[axis];
                inside = inside & (at >= low[axis]) & (at <= high[axis]);
                float place = (at - low[axis]) * factor[axis];
                place = place > 0.0f ? place : 0.0f;
                index = index * cells + (int)(place < (float)(cells - 1) ? place : (float)(cells - 1));
            }
            cell[n] = inside ? index : -1;
        }
        for (int n = 0; n < size && (counting || found < most); n++) {
            if (cells && (cell[n] < 0 || !full[cell[n]])) continue;
            if (!counting) {
                rays.data[to + found] = ray;
                ts.data[to + found] = t[n];
                deltas.data[to + found] = delta[n];
            }
            found++;
        }
    }
    if (counting) kept.data[ray] = found;
"""

_Floats = wp.array(dtype=wp.float32)
_Longs = wp.array(dtype=wp.int64)
_Flags = wp.array(dtype=wp.bool)


@wp.func_native(_RAY)
def _march_ray(task: int, first_ray: int, origins: _Floats, directions: _Floats, nears: _Floats, fars: _Floats, widths: _Floats,
               candidates: _Longs, jittered: int, key_low: wp.int64, key_high: wp.int64, cells: int, binary: _Flags, bounds: _Floats, kept: _Longs,
               kept_ends: _Longs, rays: _Longs, ts: _Floats, deltas: _Floats): ...


@wp.kernel
def march_ray(first_ray: int, origins: _Floats, directions: _Floats, nears: _Floats, fars: _Floats, widths: _Floats,
              candidates: _Longs, jittered: int, key_low: wp.int64, key_high: wp.int64, cells: int, binary: _Flags, bounds: _Floats, kept: _Longs,
              kept_ends: _Longs, rays: _Longs, ts: _Floats, deltas: _Floats):
    """kept [R] negative: counts the samples of each ray into it. Otherwise writes the first kept of them before
    kept_ends."""
    _march_ray(wp.tid(), first_ray, origins, directions, nears, fars, widths, candidates, jittered, key_low, key_high, cells,
               binary, bounds, kept, kept_ends, rays, ts, deltas)


def march(origins, directions, near, far, width, counts, occupancy, key, limit):
    """ray, t and delta of the samples. key: two words of 32 bits for random places, None for the middle; limit(kept
    [R]) gives how many of them each ray may keep."""
    device = near.device
    empty = near.new_empty(0)
    cells = 0 if occupancy is None else occupancy.resolution
    binary = torch.empty(0, dtype=torch.bool, device=device) if occupancy is None else occupancy.binary.contiguous().view(-1)
    bounds = empty if occupancy is None else occupancy.bounds.to(near.dtype).contiguous().view(-1)
    given = (origins.contiguous().view(-1), directions.contiguous().view(-1), near.contiguous(), far.contiguous(),
             width.contiguous(), counts, int(key is not None), *(key or (0, 0)), cells, binary, bounds)

    def run(kept, kept_ends, rays, ts, deltas):
        def work(first, last):
            launch(march_ray, last - first, (first, *given, kept, kept_ends, rays, ts, deltas), device)

        in_parallel(work, len(counts), 64 * len(counts), device)

    kept = counts
    if cells:
        kept = torch.full_like(counts, -1)
        run(kept, kept, kept, empty, empty)
    kept = limit(kept)
    kept_ends = kept.cumsum(0)
    total = int(kept_ends[-1]) if len(kept_ends) else 0
    rays, ts, deltas = kept.new_empty(total), near.new_empty(total), near.new_empty(total)
    run(kept, kept_ends, rays, ts, deltas)
    return rays, ts, deltas
