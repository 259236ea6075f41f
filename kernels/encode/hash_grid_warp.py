"""The hash grid's three sums as Warp kernels; see hash_grid.py for what they mean.

Every kernel works on a rectangle of levels and points, level by level: a level's rows then stay in the processor's
cache. The bodies are C++, which Warp compiles for CPUs and CUDA. With Warp's own array indexing the encoding takes 1.5
times as long on a CPU.
"""
from functools import lru_cache

import torch
import warp as wp

from ..warp_runtime import in_parallel, kernel_module, launch
from . import hash_grid as reference

__name__ = kernel_module(__name__)
wp.set_module_options({"enable_backward": False, "optimization_level": 3})

# Each task is `per` points of a level. A CPU waits for memory most of the time, so it prefetches the rows of a batch of
# points before it uses the first of them.
_CELLS = """
#if defined(__CUDA_ARCH__)
#define DISTILL3D_BATCH 1
#define DISTILL3D_FETCH(place)
#define DISTILL3D_FETCH_TO_WRITE(place)
#define DISTILL3D_ADD(to, value) atomicAdd(&(to), value)
#define DISTILL3D_ADD_PAIR(to, weight, a, b) atomicAdd(to, (weight) * (a)); atomicAdd((to) + 1, (weight) * (b))
#else
#define DISTILL3D_BATCH 32
#define DISTILL3D_FETCH(place) __builtin_prefetch(place)
#define DISTILL3D_FETCH_TO_WRITE(place) __builtin_prefetch(place, 1)
#define DISTILL3D_ADD(to, value) (to) += (value)
    typedef float Pair __attribute__((vector_size(8), aligned(4), may_alias));
#define DISTILL3D_ADD_PAIR(to, weight, a, b) *(Pair*)(to) += (weight) * Pair{a, b}
#endif
    const int blocks = (last_point - first_point + per - 1) / per;
    const int level = first_level + task / blocks;
    const int start = first_point + task % blocks * per, stop = start + per < last_point ? start + per : last_point;
    const float scale = scales.data[2 * level], rest = scales.data[2 * level + 1], level_weight = level_weights.data[level];
    const unsigned resolution = shapes.data[3 * level], mask = shapes.data[3 * level + 2];
    const long long offset = shapes.data[3 * level + 1];
    const float top = (float)(resolution - 2);
    unsigned rows[DISTILL3D_BATCH][8];          // corner 4 i + 2 j + k is (i, j, k)
    float weights[DISTILL3D_BATCH][8];
    for (int begin = start; begin < stop; begin += DISTILL3D_BATCH) {
    const int count = stop - begin < DISTILL3D_BATCH ? stop - begin : DISTILL3D_BATCH;
    for (int n = 0; n < count; n++) {
        const int i = begin + n;
        unsigned* const row = rows[n];
        float* const weight = weights[n];
        const float x = points.data[3 * i], y = points.data[3 * i + 1], z = points.data[3 * i + 2];
        const float px = x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x, sx = px * scale;
        const float py = y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y, sy = py * scale;
        const float pz = z < 0.0f ? 0.0f : z > 1.0f ? 1.0f : z, sz = pz * scale;
        const unsigned cx = (unsigned)(int)(sx < top ? sx : top);   // not a number: the last cell
        const unsigned cy = (unsigned)(int)(sy < top ? sy : top);
        const unsigned cz = (unsigned)(int)(sz < top ? sz : top);
        // The rounding of a product with 4095 would be 2e-4 of a cell.
        const float fx = fmaf(px, scale, -(float)cx) + px * rest;
        const float fy = fmaf(py, scale, -(float)cy) + py * rest;
        const float fz = fmaf(pz, scale, -(float)cz) + pz * rest;
        const float gx = 1.0f - fx, gy = 1.0f - fy, gz = 1.0f - fz;
        if (mask) {
            const unsigned y0 = cy * 2654435761u, y1 = y0 + 2654435761u, z0 = cz * 805459861u, z1 = z0 + 805459861u;
            row[0] = (cx ^ y0 ^ z0) & mask; row[4] = ((cx + 1) ^ y0 ^ z0) & mask;
            row[1] = (cx ^ y0 ^ z1) & mask; row[5] = ((cx + 1) ^ y0 ^ z1) & mask;
            row[2] = (cx ^ y1 ^ z0) & mask; row[6] = ((cx + 1) ^ y1 ^ z0) & mask;
            row[3] = (cx ^ y1 ^ z1) & mask; row[7] = ((cx + 1) ^ y1 ^ z1) & mask;
        } else {
            const unsigned along_z = resolution * resolution;
            row[0] = cx + cy * resolution + cz * along_z; row[4] = row[0] + 1;
            row[1] = row[0] + along_z; row[5] = row[4] + along_z;
            row[2] = row[0] + resolution; row[6] = row[4] + resolution;
            row[3] = row[1] + resolution; row[7] = row[5] + resolution;
        }
"""

# The trilinear weights, or how fast they change where the point moves by `along`.
_WEIGHTS = """
        if (has_along) {
            const float vx = (x >= 0.0f && x <= 1.0f ? along.data[3 * i] : 0.0f) * scale * level_weight;
            const float vy = (y >= 0.0f && y <= 1.0f ? along.data[3 * i + 1] : 0.0f) * scale * level_weight;
            const float vz = (z >= 0.0f && z <= 1.0f ? along.data[3 * i + 2] : 0.0f) * scale * level_weight;
            weight[0] = -vx * gy * gz - vy * gx * gz - vz * gx * gy; weight[4] = vx * gy * gz - vy * fx * gz - vz * fx * gy;
            weight[1] = -vx * gy * fz - vy * gx * fz + vz * gx * gy; weight[5] = vx * gy * fz - vy * fx * fz + vz * fx * gy;
            weight[2] = -vx * fy * gz + vy * gx * gz - vz * gx * fy; weight[6] = vx * fy * gz + vy * fx * gz - vz * fx * fy;
            weight[3] = -vx * fy * fz + vy * gx * fz + vz * gx * fy; weight[7] = vx * fy * fz + vy * fx * fz + vz * fx * fy;
        } else {
            const float ax = gx * level_weight, bx = fx * level_weight;
            weight[0] = ax * gy * gz; weight[1] = ax * gy * fz; weight[2] = ax * fy * gz; weight[3] = ax * fy * fz;
            weight[4] = bx * gy * gz; weight[5] = bx * gy * fz; weight[6] = bx * fy * gz; weight[7] = bx * fy * fz;
        }
"""

_GATHER = _CELLS + _WEIGHTS + """
        for (int k = 0; k < 8; k++) DISTILL3D_FETCH(table.data + (offset + row[k]) * features);
    }
    for (int n = 0; n < count; n++) {
        const int i = begin + n;
        const unsigned* const row = rows[n];
        const float* const weight = weights[n];
        for (int f = 0; f < features; f += 2) {
            float a = 0.0f, b = 0.0f;
            for (int k = 0; k < 8; k++) {
                const long long place = (offset + row[k]) * features + f;
                a += weight[k] * (float)table.data[place];
                b += weight[k] * (float)table.data[place + 1];
            }
            float* const to = out.data + ((long long)i * levels + level) * features + f;
            to[0] = a;
            to[1] = b;
        }
    }
    }
"""

_SCATTER = _CELLS + _WEIGHTS + """
        for (int k = 0; k < 8; k++) DISTILL3D_FETCH_TO_WRITE(out.data + (offset + row[k]) * features);
    }
    for (int n = 0; n < count; n++) {
        const int i = begin + n;
        const unsigned* const row = rows[n];
        const float* const weight = weights[n];
        for (int f = 0; f < features; f += 2) {
            const float* const from = grad.data + ((long long)i * levels + level) * features + f;
            const float a = from[0], b = from[1];
            for (int k = 0; k < 8; k++) {
                float* const to = out.data + (offset + row[k]) * features + f;
                DISTILL3D_ADD_PAIR(to, weight[k], a, b);
            }
        }
    }
    }
"""

_TURN = _CELLS + """
        weight[0] = fx;
        weight[1] = fy;
        weight[2] = fz;
        for (int k = 0; k < 8; k++) DISTILL3D_FETCH(table.data + (offset + row[k]) * features);
    }
    for (int n = 0; n < count; n++) {
        const int i = begin + n;
        const unsigned* const row = rows[n];
        const float fx = weights[n][0], fy = weights[n][1], fz = weights[n][2];
        const float gx = 1.0f - fx, gy = 1.0f - fy, gz = 1.0f - fz;
        float v[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
        for (int f = 0; f < features; f += 2) {
            const float* const from = grad.data + ((long long)i * levels + level) * features + f;
            const float a = from[0], b = from[1];
            for (int k = 0; k < 8; k++) {
                const long long place = (offset + row[k]) * features + f;
                v[k] += a * (float)table.data[place] + b * (float)table.data[place + 1];
            }
        }
        const float factor = scale * level_weight;
        const float dx = gy * (gz * (v[4] - v[0]) + fz * (v[5] - v[1])) + fy * (gz * (v[6] - v[2]) + fz * (v[7] - v[3]));
        const float dy = gx * (gz * (v[2] - v[0]) + fz * (v[3] - v[1])) + fx * (gz * (v[6] - v[4]) + fz * (v[7] - v[5]));
        const float dz = gx * (gy * (v[1] - v[0]) + fy * (v[3] - v[2])) + fx * (gy * (v[5] - v[4]) + fy * (v[7] - v[6]));
        const float along[3] = {dx, dy, dz};
        for (int axis = 0; axis < 3; axis++) {
            const float at = points.data[3 * i + axis];
            if (at >= 0.0f && at <= 1.0f) DISTILL3D_ADD(out.data[3 * i + axis], factor * along[axis]);
        }
    }
    }
"""

_Floats = wp.array(dtype=wp.float32)
_Halves = wp.array(dtype=wp.float16)
_Ints = wp.array(dtype=wp.int32)


@wp.func_native(_GATHER)
def _gather(task: int, first_level: int, first_point: int, last_point: int, per: int, points: _Floats, scales: _Floats,
            level_weights: _Floats, shapes: _Ints, levels: int, features: int, has_along: int, along: _Floats,
            table: _Floats, out: _Floats): ...


@wp.func_native(_GATHER)
def _gather_half(task: int, first_level: int, first_point: int, last_point: int, per: int, points: _Floats,
                 scales: _Floats, level_weights: _Floats, shapes: _Ints, levels: int, features: int, has_along: int,
                 along: _Floats, table: _Halves, out: _Floats): ...


@wp.func_native(_SCATTER)
def _scatter(task: int, first_level: int, first_point: int, last_point: int, per: int, points: _Floats, scales: _Floats,
             level_weights: _Floats, shapes: _Ints, levels: int, features: int, has_along: int, along: _Floats,
             grad: _Floats, out: _Floats): ...


@wp.func_native(_TURN)
def _turn(task: int, first_level: int, first_point: int, last_point: int, per: int, points: _Floats, scales: _Floats,
          level_weights: _Floats, shapes: _Ints, levels: int, features: int, table: _Floats, grad: _Floats,
          out: _Floats): ...


@wp.func_native(_TURN)
def _turn_half(task: int, first_level: int, first_point: int, last_point: int, per: int, points: _Floats,
               scales: _Floats,
               level_weights: _Floats, shapes: _Ints, levels: int, features: int, table: _Halves, grad: _Floats,
               out: _Floats): ...


@wp.kernel
def gather(first_level: int, first_point: int, last_point: int, per: int, points: _Floats, scales: _Floats,
           level_weights: _Floats, shapes: _Ints, levels: int, features: int, has_along: int, along: _Floats,
           table: _Floats, out: _Floats):
    _gather(wp.tid(), first_level, first_point, last_point, per, points, scales, level_weights, shapes, levels,
            features, has_along, along, table, out)


@wp.kernel
def gather_half(first_level: int, first_point: int, last_point: int, per: int, points: _Floats, scales: _Floats,
                level_weights: _Floats, shapes: _Ints, levels: int, features: int, has_along: int, along: _Floats,
                table: _Halves, out: _Floats):
    _gather_half(wp.tid(), first_level, first_point, last_point, per, points, scales, level_weights, shapes, levels,
                 features, has_along, along, table, out)


@wp.kernel
def scatter(first_level: int, first_point: int, last_point: int, per: int, points: _Floats, scales: _Floats,
            level_weights: _Floats, shapes: _Ints, levels: int, features: int, has_along: int, along: _Floats,
            grad: _Floats, out: _Floats):
    _scatter(wp.tid(), first_level, first_point, last_point, per, points, scales, level_weights, shapes, levels,
             features, has_along, along, grad, out)


@wp.kernel
def turn(first_level: int, first_point: int, last_point: int, per: int, points: _Floats, scales: _Floats,
         level_weights: _Floats, shapes: _Ints, levels: int, features: int, table: _Floats, grad: _Floats,
         out: _Floats):
    _turn(wp.tid(), first_level, first_point, last_point, per, points, scales, level_weights, shapes, levels, features,
          table, grad, out)


@wp.kernel
def turn_half(first_level: int, first_point: int, last_point: int, per: int, points: _Floats, scales: _Floats,
              level_weights: _Floats, shapes: _Ints, levels: int, features: int, table: _Halves, grad: _Floats,
              out: _Floats):
    _turn_half(wp.tid(), first_level, first_point, last_point, per, points, scales, level_weights, shapes, levels,
               features, table, grad, out)


def _interpolate(x, table, layout, level_weights):
    return _gathered(x, table, None, layout, level_weights)


def _gathered(x, table, along, layout, level_weights):
    """The encoding [N, L * F], or its change where x moves by along [N, 3]."""
    active, points = _active(level_weights), x.contiguous()
    out = (x.new_empty if active == layout.levels else x.new_zeros)(x.shape[0], layout.channels)
    grid = _grid(layout, level_weights, x.device)
    has_along, along = along is not None, points if along is None else along.contiguous()
    kernel, table = gather_half if table.dtype == torch.float16 else gather, table.contiguous()

    def work(first, last):
        rest = int(has_along), along.view(-1), table.view(-1), out.view(-1)
        _launch(kernel, first, last, (0, len(points)), points, grid, rest)

    in_parallel(work, active, active * len(points), x.device)
    return out


def _scattered(x, grad, along, layout, level_weights):
    """The gradient of `_gathered` to the table, [T, F]. One level is one task, so CPUs repeat it bit for bit."""
    active, points = _active(level_weights), x.contiguous()
    out = x.new_zeros(layout.entries, layout.features)
    grid = _grid(layout, level_weights, x.device)
    has_along, along = along is not None, points if along is None else along.contiguous()
    grad = grad.to(x.dtype).contiguous()

    def work(first, last):
        rest = int(has_along), along.view(-1), grad.view(-1), out.view(-1)
        _launch(scatter, first, last, (0, len(points)), points, grid, rest)

    in_parallel(work, active, active * len(points), x.device)
    return out


def _turned(x, table, grad, layout, level_weights):
    """d/dx of sum(encoding * grad), [N, 3]."""
    active, points = _active(level_weights), x.contiguous()
    out, grid = torch.zeros_like(points), _grid(layout, level_weights, x.device)
    kernel, table, grad = turn_half if table.dtype == torch.float16 else turn, table.contiguous(), grad.to(x.dtype).contiguous()
    # Levels add to the same three numbers: one after the other where the order must not vary.
    step = 1 if _must_repeat(x.device) else max(active, 1)

    def work(first, last):
        rest = table.view(-1), grad.view(-1), out.view(-1)
        for level in range(0, active, step):
            _launch(kernel, level, min(level + step, active), (first, last), points, grid, rest)

    in_parallel(work, len(points), active * len(points), x.device)
    return out


def _towards_position(x, table, grad, layout, level_weights):
    with torch.no_grad():
        value = _turned(x, table, grad, layout, level_weights)
    if not torch.is_grad_enabled():
        return value
    # Two nodes again: training on normals needs the first alone.
    if table.requires_grad or grad.requires_grad:
        value = _TurnToTable.apply(table, grad, (x,), value, layout, level_weights)
    if x.requires_grad:
        value = value + _TurnToPosition.apply(x, (table, grad), layout, level_weights)
    return value


def _towards_table(x, grad, layout, level_weights):
    if torch.is_grad_enabled() or _must_repeat(x.device):
        return reference.towards_table(x, grad, layout, level_weights)
    return _scattered(x, grad, None, layout, level_weights)


class _TurnToTable(torch.autograd.Function):
    """Returns d/dx; backward is its derivative in the table and in the upstream gradient."""

    @staticmethod
    def forward(ctx, table, grad, hidden, value, layout, level_weights):
        ctx.save_for_backward(table, grad, *hidden)
        ctx.rest = layout, level_weights
        return value.view_as(value)

    @staticmethod
    def backward(ctx, along):
        table, grad, x = ctx.saved_tensors
        if torch.is_grad_enabled() or _must_repeat(x.device):
            return (*_reference_turn(x, table, grad, along, (table, grad), ctx.rest), None, None, None, None)
        to_table = _scattered(x, grad, along, *ctx.rest).to(table.dtype) if ctx.needs_input_grad[0] else None
        to_grad = _gathered(x, table, along, *ctx.rest) if ctx.needs_input_grad[1] else None
        return to_table, to_grad, None, None, None, None


class _TurnToPosition(torch.autograd.Function):
    """Adds zero to d/dx; backward is its derivative in x, by the reference."""

    @staticmethod
    def forward(ctx, x, hidden, layout, level_weights):
        ctx.save_for_backward(x, *hidden)
        ctx.rest = layout, level_weights
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx, along):
        x, table, grad = ctx.saved_tensors
        return (*_reference_turn(x, table, grad, along, (x,), ctx.rest), None, None, None)


def _reference_turn(x, table, grad, along, inputs, rest):
    """Partial derivatives of sum(d/dx * along) in `inputs`, some of x, table and grad, recorded where gradients are;
    None for those that want none."""
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        # As names of their own: what grad was made of may depend on x, and its graph is not to be walked here.
        own = {id(one): one.view_as(one) for one in (x, table, grad)}
        turned = reference.towards_position(*(own[id(one)] for one in (x, table, grad)), *rest)
        wanted = [own[id(one)] for one in inputs if one.requires_grad]
        found = iter(torch.autograd.grad(turned, wanted, along, create_graph=recorded, allow_unused=True))
    return [next(found) if one.requires_grad else None for one in inputs]


def _must_repeat(device) -> bool:
    return device.type == "cuda" and torch.are_deterministic_algorithms_enabled()


def _active(level_weights) -> int:
    """The finest level that counts, plus one: levels fade from fine to coarse."""
    return sum(weight > 0 for weight in level_weights)


def _launch(kernel, first_level, last_level, points_from_to, points, grid, rest) -> None:
    first, last = points_from_to
    per = 256 if points.device.type == "cpu" else 1
    tasks = (last_level - first_level) * -(-(last - first) // per)
    launch(kernel, tasks, (first_level, first, last, per, points.view(-1), *grid, *rest), points.device)


def _grid(layout, level_weights, device):
    """Arguments that describe the grid: scales in two parts, level weights, resolution, offset and mask, L, F."""
    scales, shapes = _shapes(layout, device)
    return scales, _numbers(level_weights, device), shapes, layout.levels, layout.features


@lru_cache(64)
def _numbers(values, device):
    return torch.tensor(values, dtype=torch.float32, device=device)


@lru_cache(64)
def _shapes(layout, device):
    rows = [(layout.resolutions[level], layout.offsets[level], 0 if layout.is_dense(level) else layout.sizes[level] - 1)
            for level in range(layout.levels)]
    exact = torch.tensor(layout.scales, dtype=torch.float64)
    scales = torch.stack([exact.float(), (exact - exact.float()).float()], 1).view(-1)
    return scales.to(device), torch.tensor(rows, dtype=torch.int32, device=device).view(-1)


SUMS = reference.Sums(_interpolate, _towards_position, _towards_table)
