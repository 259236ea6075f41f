"""Projection of Gaussians as Warp kernels; see project.py for what it means. Each task is one Gaussian: in one view in
the forward pass, in all views in the backward pass, so that no two tasks write to the same place."""
import torch
import warp as wp

from ..warp_runtime import in_parallel, kernel_module, launch
from .project import DARKEST, FRUSTUM, LOW_PASS

__name__ = kernel_module(__name__)
wp.set_module_options({"enable_backward": False, "optimization_level": 3})

WORK = 4              # what a Gaussian costs in a view, as in_parallel counts

# A view is 14 numbers: the directions right, down and ahead, the camera's place, the focal length in pixels
# (orthographic: pixels per world unit), and whether it is orthographic. `across` and
# `along` are how the picture moves, in x and in y, with the Gaussian's own axes, which are the columns of `axis`.
_SEE = """
    const float *position = positions.data + 3 * n, *quaternion = rotations.data + 4 * n, *scale = scales.data + 3 * n;
    const float length = sqrtf(quaternion[0] * quaternion[0] + quaternion[1] * quaternion[1] + quaternion[2] * quaternion[2]
                               + quaternion[3] * quaternion[3]);
    const float shrink = 1.0f / (length > 1e-12f ? length : 1e-12f);
    const float w = quaternion[0] * shrink, i = quaternion[1] * shrink, j = quaternion[2] * shrink, k = quaternion[3] * shrink;
    const float axis[3][3] = {{1.0f - 2.0f * (j * j + k * k), 2.0f * (i * j - w * k), 2.0f * (i * k + w * j)},
                              {2.0f * (i * j + w * k), 1.0f - 2.0f * (i * i + k * k), 2.0f * (j * k - w * i)},
                              {2.0f * (i * k - w * j), 2.0f * (j * k + w * i), 1.0f - 2.0f * (i * i + j * j)}};
#define DISTILL3D_SEE \\
        const float *right = views.data + 14 * view, *down = right + 3, *ahead = right + 6, focal = right[12]; \\
        const bool is_flat = right[13] != 0.0f; \\
        float x = 0.0f, y = 0.0f, depth = 0.0f; \\
        for (int a = 0; a < 3; a++) { \\
            const float offset = position[a] - right[9 + a]; \\
            x += offset * right[a], y += offset * down[a], depth += offset * ahead[a]; \\
        } \\
        const bool is_ahead = depth > near; \\
        depth = is_ahead ? depth : 1.0f; \\
        const float reached = is_flat ? 1.0f : depth; \\
        x /= reached, y /= reached; \\
        const float edge_x = frustum * width / (2.0f * focal), edge_y = frustum * height / (2.0f * focal); \\
        const float kept_x = is_flat ? 0.0f : x < -edge_x ? -edge_x : x > edge_x ? edge_x : x; \\
        const float kept_y = is_flat ? 0.0f : y < -edge_y ? -edge_y : y > edge_y ? edge_y : y; \\
        const float factor = focal / reached; \\
        float slope_x[3], slope_y[3], across[3], along[3]; \\
        for (int a = 0; a < 3; a++) slope_x[a] = right[a] - kept_x * ahead[a], slope_y[a] = down[a] - kept_y * ahead[a]; \\
        for (int c = 0; c < 3; c++) { \\
            const float size = factor * scale[c]; \\
            across[c] = size * (slope_x[0] * axis[0][c] + slope_x[1] * axis[1][c] + slope_x[2] * axis[2][c]); \\
            along[c] = size * (slope_y[0] * axis[0][c] + slope_y[1] * axis[1][c] + slope_y[2] * axis[2][c]); \\
        } \\
        float xx = 0.0f, xy = 0.0f, yy = 0.0f, area = 0.0f; \\
        for (int c = 0; c < 3; c++) { \\
            const int d = (c + 1) % 3; \\
            const float part = across[c] * along[d] - across[d] * along[c]; \\
            xx += across[c] * across[c], xy += across[c] * along[c], yy += along[c] * along[c], area += part * part; \\
        } \\
        area += low_pass * (xx + yy) + low_pass * low_pass; \\
        xx += low_pass, yy += low_pass; \\
        const float conic[3] = {yy / area, -xy / area, xx / area}; \\
        const long long to = (long long)view * count + n;
"""

_PROJECT = """
    const int view = task / (last_one - first_one), n = first_one + task % (last_one - first_one);
""" + _SEE + """
    DISTILL3D_SEE
    const float center_x = focal * x + 0.5f * width, center_y = focal * y + 0.5f * height, opacity = opacities.data[n];
    centers.data[2 * to] = center_x, centers.data[2 * to + 1] = center_y, depths.data[to] = depth;
    for (int c = 0; c < 3; c++) conics.data[3 * to + c] = conic[c];
    const float sigmas = opacity > darkest ? 2.0f * logf(opacity / darkest) : 0.0f;
    const float reach_x = sqrtf(sigmas * xx), reach_y = sqrtf(sigmas * yy);
    const bool is_inside = center_x + reach_x > 0.0f && center_x - reach_x < width && center_y + reach_y > 0.0f
        && center_y - reach_y < height;
    reach.data[2 * to] = is_ahead && is_inside ? reach_x : 0.0f;
    reach.data[2 * to + 1] = is_ahead && is_inside ? reach_y : 0.0f;
"""

_BACKWARD = """
    const int n = first_one + task;
""" + _SEE + """
    float to_axis[3][3] = {}, to_position[3] = {};          // to_axis: of axis times scale
    for (int view = 0; view < cameras; view++) {
        DISTILL3D_SEE
        const float *to_center = to_centers.data + 2 * to, *to_conic = to_conics.data + 3 * to;
        // With C the conic as a matrix and S the covariance: dL/dS = -C (dL/dC) C.
        const float g0 = to_conic[0], g1 = 0.5f * to_conic[1], g2 = to_conic[2];
        const float p = conic[0] * g0 + conic[1] * g1, q = conic[0] * g1 + conic[1] * g2;
        const float r = conic[1] * g0 + conic[2] * g1, s = conic[1] * g1 + conic[2] * g2;
        const float to_xx = -2.0f * (p * conic[0] + q * conic[1]), to_yy = -2.0f * (r * conic[1] + s * conic[2]);
        const float to_xy = -2.0f * (p * conic[1] + q * conic[2]);
        float to_kept_x = 0.0f, to_kept_y = 0.0f, to_factor = 0.0f;
        for (int a = 0; a < 3; a++) {
            float to_row_x = 0.0f, to_row_y = 0.0f;
            for (int c = 0; c < 3; c++) {
                const float to_across = to_xx * across[c] + to_xy * along[c], to_along = to_xy * across[c] + to_yy * along[c];
                to_axis[a][c] += factor * (slope_x[a] * to_across + slope_y[a] * to_along);
                to_row_x += axis[a][c] * scale[c] * to_across;
                to_row_y += axis[a][c] * scale[c] * to_along;
            }
            to_kept_x -= factor * ahead[a] * to_row_x;
            to_kept_y -= factor * ahead[a] * to_row_y;
            to_factor += slope_x[a] * to_row_x + slope_y[a] * to_row_y;
        }
        const float to_x = focal * to_center[0] + (!is_flat && x >= -edge_x && x <= edge_x ? to_kept_x : 0.0f);
        const float to_y = focal * to_center[1] + (!is_flat && y >= -edge_y && y <= edge_y ? to_kept_y : 0.0f);
        const float of_divide = is_flat ? 0.0f : (factor * to_factor + x * to_x + y * to_y) / depth;
        const float to_depth = is_ahead ? to_depths.data[to] - of_divide : 0.0f;
        for (int a = 0; a < 3; a++) {
            to_position[a] += (right[a] * to_x + down[a] * to_y) / reached + ahead[a] * to_depth;
        }
    }
    float m[3][3];                                          // of axis
    for (int c = 0; c < 3; c++) {
        float to_scale = 0.0f;
        for (int a = 0; a < 3; a++) to_scale += axis[a][c] * to_axis[a][c], m[a][c] = scale[c] * to_axis[a][c];
        out_scales.data[3 * n + c] = to_scale;
        out_positions.data[3 * n + c] = to_position[c];
    }
    const float to[4] = {
        2.0f * (i * (m[2][1] - m[1][2]) + j * (m[0][2] - m[2][0]) + k * (m[1][0] - m[0][1])),
        2.0f * (w * (m[2][1] - m[1][2]) + j * (m[0][1] + m[1][0]) + k * (m[0][2] + m[2][0]) - 2.0f * i * (m[1][1] + m[2][2])),
        2.0f * (w * (m[0][2] - m[2][0]) + i * (m[0][1] + m[1][0]) + k * (m[1][2] + m[2][1]) - 2.0f * j * (m[0][0] + m[2][2])),
        2.0f * (w * (m[1][0] - m[0][1]) + i * (m[0][2] + m[2][0]) + j * (m[1][2] + m[2][1]) - 2.0f * k * (m[0][0] + m[1][1]))};
    const float unit[4] = {w, i, j, k}, stretch = to[0] * w + to[1] * i + to[2] * j + to[3] * k;
    for (int c = 0; c < 4; c++) out_rotations.data[4 * n + c] = shrink * (to[c] - unit[c] * stretch);
"""

_Floats = wp.array(dtype=wp.float32)


@wp.func_native(_PROJECT)
def _project(task: int, first_one: int, last_one: int, count: int, cameras: int, height: float, width: float,
             near: float, frustum: float, low_pass: float, darkest: float, views: _Floats, positions: _Floats,
             rotations: _Floats,
             scales: _Floats, opacities: _Floats, centers: _Floats, conics: _Floats, depths: _Floats,
             reach: _Floats): ...


@wp.func_native(_BACKWARD)
def _backward(task: int, first_one: int, count: int, cameras: int, height: float, width: float, near: float,
               frustum: float, low_pass: float, views: _Floats, positions: _Floats, rotations: _Floats, scales: _Floats,
               to_centers: _Floats, to_conics: _Floats, to_depths: _Floats, out_positions: _Floats,
               out_rotations: _Floats, out_scales: _Floats): ...


@wp.kernel
def project_one(first_one: int, last_one: int, count: int, cameras: int, height: float, width: float, near: float,
                frustum: float, low_pass: float, darkest: float, views: _Floats, positions: _Floats, rotations: _Floats,
                scales: _Floats, opacities: _Floats, centers: _Floats, conics: _Floats, depths: _Floats,
                reach: _Floats):
    _project(wp.tid(), first_one, last_one, count, cameras, height, width, near, frustum, low_pass, darkest, views,
             positions, rotations, scales, opacities, centers, conics, depths, reach)


@wp.kernel
def backward_one(first_one: int, count: int, cameras: int, height: float, width: float, near: float, frustum: float,
                  low_pass: float, views: _Floats, positions: _Floats, rotations: _Floats, scales: _Floats,
                  to_centers: _Floats, to_conics: _Floats, to_depths: _Floats, out_positions: _Floats,
                  out_rotations: _Floats, out_scales: _Floats):
    _backward(wp.tid(), first_one, count, cameras, height, width, near, frustum, low_pass, views, positions, rotations,
               scales, to_centers, to_conics, to_depths, out_positions, out_rotations, out_scales)


class Project(torch.autograd.Function):
    """(positions, rotations, scales, opacities [N], views [B,14], height, width, near, reference) -> centers, conics,
    depths, reach of Ellipses. reference: centers, conics and depths of the first three in torch, for second
    derivatives."""

    @staticmethod
    def forward(ctx, positions, rotations, scales, opacities, views, height, width, near, reference):
        count, cameras = len(positions), len(views)
        given = _flat(views, positions, rotations, scales)
        centers, conics, depths, reach = made = [positions.new_empty(cameras, count, size) for size in (2, 3, 1, 2)]
        shared = count, cameras, height, width, near, FRUSTUM, LOW_PASS, DARKEST, *given, *_flat(opacities, *made)

        def work(first, last):
            launch(project_one, cameras * (last - first), (first, last, *shared), positions.device)

        in_parallel(work, count, WORK * cameras * count, positions.device)
        ctx.save_for_backward(positions, rotations, scales, views)
        ctx.rest = height, width, near, reference
        ctx.mark_non_differentiable(reach)
        return centers, conics, depths.squeeze(-1), reach

    @staticmethod
    def backward(ctx, to_centers, to_conics, to_depths, _):
        positions, rotations, scales, views = ctx.saved_tensors
        height, width, near, reference = ctx.rest
        upstream = to_centers, to_conics, to_depths
        if torch.is_grad_enabled():
            given = positions, rotations, scales
            wanted = [one for one, needed in zip(given, ctx.needs_input_grad) if needed]
            found = iter(torch.autograd.grad(reference(*given), wanted, upstream, create_graph=True))
            return (*(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), *[None] * 6)
        made = [torch.empty_like(one, memory_format=torch.contiguous_format) for one in (positions, rotations, scales)]
        shared = (len(positions), len(views), height, width, near, FRUSTUM, LOW_PASS,
                  *_flat(views, positions, rotations, scales, *upstream, *made))

        def work(first, last):
            launch(backward_one, last - first, (first, *shared), positions.device)

        in_parallel(work, len(positions), WORK * len(views) * len(positions), positions.device)
        return *made, *[None] * 6


def _flat(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [one.contiguous().view(-1) for one in tensors]
