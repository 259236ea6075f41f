"""Drawing Gaussians as Warp kernels; see splat.py for what it means.

Pictures are tile after tile here, channel by channel, [tiles, K, pixels of a tile]. A processor takes a tile at a time
and goes through its Gaussians, eight pixels in one step. On CUDA each pixel has a thread in the forward pass; in the
backward pass 32 threads share a tile and add up the gradient of a Gaussian without writing to the same place. Both
write one row for each pair of a tile and a Gaussian, and the rows are added in a fixed order: results repeat bit for
bit.
"""
import torch
import warp as wp

from ..warp_runtime import in_parallel, kernel_module, launch
from .project import DARKEST
from .tiles import Tiles

__name__ = kernel_module(__name__)
wp.set_module_options({"enable_backward": False, "optimization_level": 3,
                       "cpu_compiler_flags": "-march=native -ffp-contract=fast"})

SIDE = 16
TILE_PIXELS = SIDE * SIDE
THREADS_BACK = 32     # of a CUDA card, for a tile
WORK = 64             # what a pair costs, as in_parallel counts

# What both ways share: the ellipse of pair p, and on processors eight pixels of it at once.
_ELLIPSE = """
#define DISTILL3D_PIXELS 256
#define DISTILL3D_ELLIPSE \\
        const float* const ellipse = table.data + gaussian.data[p] * (6 + channels); \\
        const float center_x = ellipse[0], center_y = ellipse[1], xx = ellipse[2], xy = ellipse[3], yy = ellipse[4]; \\
        const float opacity = ellipse[5], *const value = ellipse + 6;
#if !defined(__CUDA_ARCH__)
    const int tile = first_tile + task;
    const float tile_x = tile % columns * 16, tile_y = tile / columns % rows * 16;
    typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
    typedef int Mask __attribute__((vector_size(32), aligned(4), may_alias));
    const auto exponential = [](Eight x) {      // for x below 80, to 3e-7
        Eight power = x * 1.44269504f;
        power = power < -126.0f ? Eight{} - 126.0f : power;
        const Eight whole = (power + 12582912.0f) - 12582912.0f, part = power - whole;
        const Eight series = 1.0f + part * (0.693147181f + part * (0.240226507f + part * (0.0555041087f + part * (
            0.00961812911f + part * (0.00133335581f + part * 0.000154035304f)))));
        const Mask exponent = (__builtin_convertvector(whole, Mask) + 127) << 23;
        return series * (Eight)exponent;
    };
    const Eight steps = {0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f, 6.5f, 7.5f};
    // Which eights of the tile an ellipse reaches, a little more rather than less: their first pixels.
    unsigned places[DISTILL3D_PIXELS / 8];
    const auto find_eights = [&](float center_x, float center_y, float xx, float xy, float yy, float opacity) {
        const double slant = (double)xy / xx, least = (double)yy - xy * slant;
        const float rest = least > 1e-9 ? (float)least : 1e-9f, most = 2.0f * logf(opacity / darkest) + 0.01f;
        const float tilt = (float)slant, shrink = 1.0f / xx, up = center_y - tile_y - 0.5f, reach = sqrtf(most / rest);
        const int first = up - reach > 0.0f ? up - reach < 16.0f ? (int)(up - reach) : 16 : 0;
        const int stop = up + reach < 15.0f ? up + reach > -1.0f ? (int)(up + reach + 1.0f) : 0 : 16;
        int found = 0;
        for (int row = first; row < stop; row++) {
            const float y = row - up, left_over = (most - rest * y * y) * shrink;
            const float middle = center_x - tilt * y - tile_x, half = sqrtf(left_over > 0.0f ? left_over : 0.0f) + 0.01f;
            places[found] = 16 * row;           // without branches, which nothing could foretell
            found += (middle - half <= 7.5f) & (middle + half >= 0.5f);
            places[found] = 16 * row + 8;
            found += (middle - half <= 15.5f) & (middle + half >= 8.5f);
        }
        return found;
    };
#endif
"""

_DRAW = _ELLIPSE + """
#if defined(__CUDA_ARCH__)
    const int tile = first_tile + task / DISTILL3D_PIXELS, pixel = task % DISTILL3D_PIXELS;
    const float at_x = (float)(tile % columns * 16 + pixel % 16) + 0.5f;
    const float at_y = (float)(tile / columns % rows * 16 + pixel / 16) + 0.5f;
    for (int from = 0; from < channels; from += 8) {
        float sum[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, light = 1.0f;
        int last = 0;
        for (long long p = offsets.data[tile]; p < offsets.data[tile + 1]; p++) {
            DISTILL3D_ELLIPSE
            const float dx = at_x - center_x, dy = at_y - center_y;
            const float raw = opacity * expf(-(0.5f * (xx * dx * dx + yy * dy * dy) + xy * dx * dy));
            const float alpha = raw < opaque ? raw : opaque;
            if (!(alpha >= darkest)) continue;
            const float next = light * (1.0f - alpha);
            if (!(next > dark)) break;
            for (int c = 0; c < 8; c++) sum[c] += from + c < channels ? alpha * light * value[from + c] : 0.0f;
            light = next;
            last = (int)(p - offsets.data[tile]) + 1;
        }
        for (int c = 0; c < 8 && from + c < channels; c++) {
            sums.data[((long long)tile * channels + from + c) * DISTILL3D_PIXELS + pixel] = sum[c];
        }
        lights.data[(long long)tile * DISTILL3D_PIXELS + pixel] = light;
        lasts.data[(long long)tile * DISTILL3D_PIXELS + pixel] = last;
    }
#else
    float* const sum = sums.data + (long long)tile * channels * DISTILL3D_PIXELS;
    float* const light = lights.data + (long long)tile * DISTILL3D_PIXELS;
    int* const last = lasts.data + (long long)tile * DISTILL3D_PIXELS;
    float weights[DISTILL3D_PIXELS];
    bool closed[DISTILL3D_PIXELS / 8] = {};
    int open = DISTILL3D_PIXELS / 8;
    for (int i = 0; i < DISTILL3D_PIXELS; i++) light[i] = 1.0f, last[i] = 0;
    for (int i = 0; i < channels * DISTILL3D_PIXELS; i++) sum[i] = 0.0f;
    const long long begin = offsets.data[tile], end = offsets.data[tile + 1];
    for (long long p = begin; p < end && open; p++) {
        DISTILL3D_ELLIPSE
        const int found = find_eights(center_x, center_y, xx, xy, yy, opacity);
        int used = 0;
        Mask closings = {};
        for (int n = 0; n < found; n++) {
            const unsigned place = places[n];
            if (closed[place / 8]) continue;
            const Eight dx = steps + (tile_x + place % 16 - center_x);
            const float dy = tile_y + place / 16 + 0.5f - center_y;
            const Eight raw = opacity * exponential(-(0.5f * (xx * dx * dx + yy * dy * dy) + xy * dx * dy));
            const Eight alpha = raw < opaque ? raw : Eight{} + opaque;
            // A pixel that is closed has its light negated.
            const Eight before = *(Eight*)(light + place), next = before * (1.0f - alpha);
            const Mask counts = (alpha >= darkest) & (before > 0.0f);
            const Mask taken = counts & (next > dark), closing = counts & ~taken;
            const Eight after = taken ? next : closing ? -before : before;
            *(Eight*)(light + place) = after;
            *(Mask*)(last + place) = taken ? Mask{} + (int)(p - begin + 1) : *(Mask*)(last + place);
            *(Eight*)(weights + 8 * used) = taken ? alpha * before : Eight{};
            places[used++] = place;
            closings |= closing;
        }
        if (__builtin_reduce_or(closings)) {
            for (int n = 0; n < used; n++) {
                closed[places[n] / 8] = !__builtin_reduce_or(*(Eight*)(light + places[n]) > 0.0f);
                open -= closed[places[n] / 8];
            }
        }
        for (int c = 0; c < channels; c++) {
            for (int n = 0; n < used; n++) {
                *(Eight*)(sum + c * DISTILL3D_PIXELS + places[n]) += value[c] * *(Eight*)(weights + 8 * n);
            }
        }
    }
    for (int i = 0; i < DISTILL3D_PIXELS; i++) light[i] = light[i] < 0.0f ? -light[i] : light[i];
#endif
"""

# From back to front. With T the light before a Gaussian, w = alpha T its weight, v its value times the gradient of the
# sums: dL/d alpha = T v - (sum of w v behind it) / (1 - alpha). A row has the gradients of center, conic, opacity and
# values.
_BACKWARD = _ELLIPSE + """
#if defined(__CUDA_ARCH__)
#define DISTILL3D_ADD_UP(x) for (int hop = 16; hop; hop /= 2) x += __shfl_xor_sync(0xffffffffu, x, hop);
    const int tile = first_tile + task / 32, lane = task % 32;
    const float at_x = (float)(tile % columns * 16 + lane % 16) + 0.5f;
    const float at_y = (float)(tile / columns % rows * 16 + lane / 16) + 0.5f;
    const float* const grad = grads.data + (long long)tile * channels * DISTILL3D_PIXELS + lane;
    float light[8], behind[8], weight[8];       // pixel lane + 32 k is two rows below the one before
    int last[8], furthest = 0;
    for (int k = 0; k < 8; k++) {
        light[k] = lights.data[(long long)tile * DISTILL3D_PIXELS + lane + 32 * k];
        last[k] = lasts.data[(long long)tile * DISTILL3D_PIXELS + lane + 32 * k];
        behind[k] = 0.0f;
        furthest = last[k] > furthest ? last[k] : furthest;
    }
    for (int hop = 16; hop; hop /= 2) {
        const int other = __shfl_xor_sync(0xffffffffu, furthest, hop);
        furthest = other > furthest ? other : furthest;
    }
    const long long begin = offsets.data[tile];
    for (long long p = begin + furthest - 1; p >= begin; p--) {
        DISTILL3D_ELLIPSE
        const float dx = at_x - center_x;
        float none = 0.0f, x = 0.0f, y = 0.0f, x_x = 0.0f, x_y = 0.0f, y_y = 0.0f;
        for (int k = 0; k < 8; k++) {
            weight[k] = 0.0f;
            const float dy = at_y + 2 * k - center_y;
            const float raw = opacity * expf(-(0.5f * (xx * dx * dx + yy * dy * dy) + xy * dx * dy));
            const float alpha = raw < opaque ? raw : opaque;
            if (!(alpha >= darkest) || p - begin >= last[k]) continue;
            const float left = 1.0f / (1.0f - alpha);
            light[k] *= left;
            weight[k] = alpha * light[k];
            float along = 0.0f;
            for (int c = 0; c < channels; c++) along += value[c] * grad[c * DISTILL3D_PIXELS + 32 * k];
            const float to_alpha = light[k] * along - behind[k] * left;
            behind[k] += weight[k] * along;
            const float pull = raw > opaque ? 0.0f : -raw * to_alpha;
            none += pull, x += pull * dx, y += pull * dy;
            x_x += pull * dx * dx, x_y += pull * dx * dy, y_y += pull * dy * dy;
        }
        float* const row = out.data + place.data[p] * (6 + channels);
        DISTILL3D_ADD_UP(none) DISTILL3D_ADD_UP(x) DISTILL3D_ADD_UP(y)
        DISTILL3D_ADD_UP(x_x) DISTILL3D_ADD_UP(x_y) DISTILL3D_ADD_UP(y_y)
        if (lane == 0) {
            row[0] = -(xx * x + xy * y), row[1] = -(xy * x + yy * y);
            row[2] = 0.5f * x_x, row[3] = x_y, row[4] = 0.5f * y_y, row[5] = -none / opacity;
        }
        for (int c = 0; c < channels; c++) {
            float sum = 0.0f;
            for (int k = 0; k < 8; k++) sum += weight[k] * grad[c * DISTILL3D_PIXELS + 32 * k];
            DISTILL3D_ADD_UP(sum)
            if (lane == 0) row[6 + c] = sum;
        }
    }
#else
    const float* const grad = grads.data + (long long)tile * channels * DISTILL3D_PIXELS;
    const int* const last = lasts.data + (long long)tile * DISTILL3D_PIXELS;
    float light[DISTILL3D_PIXELS], behind[DISTILL3D_PIXELS] = {}, weights[DISTILL3D_PIXELS];
    int furthest = 0, lasts_of_eight[DISTILL3D_PIXELS / 8] = {};
    for (int i = 0; i < DISTILL3D_PIXELS; i++) {
        light[i] = lights.data[(long long)tile * DISTILL3D_PIXELS + i];
        lasts_of_eight[i / 8] = last[i] > lasts_of_eight[i / 8] ? last[i] : lasts_of_eight[i / 8];
        furthest = last[i] > furthest ? last[i] : furthest;
    }
    const long long begin = offsets.data[tile];
    for (long long p = begin + furthest - 1; p >= begin; p--) {
        DISTILL3D_ELLIPSE
        const int found = find_eights(center_x, center_y, xx, xy, yy, opacity), rank = (int)(p - begin);
        Eight none = {}, x = {}, y = {}, x_x = {}, x_y = {}, y_y = {};
        int used = 0;
        for (int n = 0; n < found; n++) {
            const unsigned at = places[n];
            if (rank >= lasts_of_eight[at / 8]) continue;
            const Eight dx = steps + (tile_x + at % 16 - center_x);
            const float dy = tile_y + at / 16 + 0.5f - center_y;
            const Eight raw = opacity * exponential(-(0.5f * (xx * dx * dx + yy * dy * dy) + xy * dx * dy));
            const Eight alpha = raw < opaque ? raw : Eight{} + opaque;
            const Mask taken = (rank < *(const Mask*)(last + at)) & (alpha >= darkest);
            const Eight left = 1.0f / (1.0f - alpha), after = *(Eight*)(light + at), before = taken ? after * left : after;
            const Eight weight = taken ? alpha * before : Eight{};
            Eight along = {};
            for (int c = 0; c < channels; c++) along += value[c] * *(const Eight*)(grad + c * DISTILL3D_PIXELS + at);
            const Eight to_alpha = before * along - *(Eight*)(behind + at) * left;
            const Mask moves = taken & (raw <= opaque);
            const Eight pull = moves ? -raw * to_alpha : Eight{};
            *(Eight*)(light + at) = before;
            *(Eight*)(behind + at) += weight * along;
            none += pull, x += pull * dx, y += pull * dy;
            x_x += pull * dx * dx, x_y += pull * dx * dy, y_y += pull * dy * dy;
            *(Eight*)(weights + 8 * used) = weight;
            places[used++] = at;
        }
        if (!used) continue;
        const auto total = [](Eight v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); };
        float* const row = out.data + place.data[p] * (6 + channels);
        row[0] = -(xx * total(x) + xy * total(y)), row[1] = -(xy * total(x) + yy * total(y));
        row[2] = 0.5f * total(x_x), row[3] = total(x_y), row[4] = 0.5f * total(y_y), row[5] = -total(none) / opacity;
        for (int c = 0; c < channels; c++) {
            Eight sum = {};
            for (int n = 0; n < used; n++) {
                sum += *(Eight*)(weights + 8 * n) * *(const Eight*)(grad + c * DISTILL3D_PIXELS + places[n]);
            }
            row[6 + c] = total(sum);
        }
    }
#endif
"""

_Floats = wp.array(dtype=wp.float32)
_Longs = wp.array(dtype=wp.int64)
_Ints = wp.array(dtype=wp.int32)


@wp.func_native(_DRAW)
def _draw(task: int, first_tile: int, rows: int, columns: int, channels: int, opaque: float, dark: float,
          darkest: float,
          gaussian: _Longs, offsets: _Longs, table: _Floats, sums: _Floats, lights: _Floats, lasts: _Ints): ...


@wp.func_native(_BACKWARD)
def _backward(task: int, first_tile: int, rows: int, columns: int, channels: int, opaque: float, dark: float,
               darkest: float, gaussian: _Longs, offsets: _Longs, table: _Floats, grads: _Floats, lights: _Floats,
               lasts: _Ints, place: _Longs, out: _Floats): ...


@wp.kernel
def draw_tile(first_tile: int, rows: int, columns: int, channels: int, opaque: float, dark: float, darkest: float,
              gaussian: _Longs, offsets: _Longs, table: _Floats, sums: _Floats, lights: _Floats, lasts: _Ints):
    _draw(wp.tid(), first_tile, rows, columns, channels, opaque, dark, darkest, gaussian, offsets, table, sums, lights,
          lasts)


@wp.kernel
def backward_tile(first_tile: int, rows: int, columns: int, channels: int, opaque: float, dark: float, darkest: float,
                   gaussian: _Longs, offsets: _Longs, table: _Floats, grads: _Floats, lights: _Floats, lasts: _Ints,
                   place: _Longs, out: _Floats):
    _backward(wp.tid(), first_tile, rows, columns, channels, opaque, dark, darkest, gaussian, offsets, table, grads,
               lights, lasts, place, out)


class Splat(torch.autograd.Function):
    """(table [B,N,6 + K], tiles, height, width, limits, reference) -> sums [B,H,W,K]. limits: OPAQUE and DARK;
    reference: the same of the table in torch, for second derivatives."""

    @staticmethod
    def forward(ctx, table, tiles, height, width, limits, reference):
        table = table.contiguous()
        count, channels = len(tiles.offsets) - 1, table.shape[-1] - 6
        sums, lights = table.new_empty(count, channels, TILE_PIXELS), table.new_empty(count, TILE_PIXELS)
        lasts = torch.empty(count, TILE_PIXELS, dtype=torch.int32, device=table.device)
        _run(draw_tile, TILE_PIXELS, tiles, channels, limits, (table, sums, lights, lasts))
        ctx.save_for_backward(table, lights, lasts)
        ctx.rest = tiles, limits, reference
        return _to_picture(sums, tiles, height, width)

    @staticmethod
    def backward(ctx, to_sums):
        table, lights, lasts = ctx.saved_tensors
        tiles, limits, reference = ctx.rest
        if torch.is_grad_enabled():
            return *torch.autograd.grad(reference(table), table, to_sums, create_graph=True), *[None] * 5
        channels = to_sums.shape[-1]
        rows = to_sums.new_zeros(len(tiles.gaussian), 6 + channels)
        _run(backward_tile, THREADS_BACK, tiles, channels, limits,
             (table, _to_tiles(to_sums, tiles), lights, lasts, tiles.place, rows))
        summed = torch.segment_reduce(rows, "sum", lengths=tiles.counts, axis=0, unsafe=True)
        return torch.empty_like(summed).index_copy_(0, tiles.ranked, summed).view_as(table), *[None] * 5


def _to_picture(sums: torch.Tensor, tiles: Tiles, height: int, width: int) -> torch.Tensor:
    """[tiles,K,TILE_PIXELS] -> [B,H,W,K]."""
    channels, (rows, columns) = sums.shape[1], tiles.grid
    sums = sums.view(-1, rows, columns, channels, SIDE, SIDE).permute(0, 1, 4, 2, 5, 3)
    return sums.reshape(-1, rows * SIDE, columns * SIDE, channels)[:, :height, :width]


def _to_tiles(picture: torch.Tensor, tiles: Tiles) -> torch.Tensor:
    """[B,H,W,K] -> [tiles,K,TILE_PIXELS], 0 outside the picture."""
    (views, height, width, channels), (rows, columns) = picture.shape, tiles.grid
    picture = torch.nn.functional.pad(picture, (0, 0, 0, columns * SIDE - width, 0, rows * SIDE - height))
    return picture.view(views, rows, SIDE, columns, SIDE, channels).permute(0, 1, 3, 5, 2, 4).contiguous()


def _run(kernel, threads: int, tiles: Tiles, channels: int, limits: tuple[float, float], tensors) -> None:
    """Runs `kernel` for all tiles; on CUDA with that many threads for each."""
    device = tiles.gaussian.device
    threads = threads if device.type == "cuda" else 1
    shared = (*tiles.grid, channels, *limits, DARKEST, tiles.gaussian, tiles.offsets,
              *(one.view(-1) for one in tensors))

    def work(first, last):
        launch(kernel, (last - first) * threads, (first, *shared), device)

    in_parallel(work, len(tiles.offsets) - 1, WORK * len(tiles.gaussian), device)
