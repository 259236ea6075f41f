"""Triangle ids as a Warp kernel; see triangle_ids.py for what they mean.

Each task is one face: it walks the pixels of its box and keeps the smallest key (depth, then id) of each. Products are
never fused with sums, here and in the reference, so that the two edge functions of a shared edge stay exact negatives.
"""
import torch
import warp as wp

from ..warp_runtime import kernel_module, launch
from .triangle_ids import SLACK

__name__ = kernel_module(__name__)
wp.set_module_options({"enable_backward": False, "optimization_level": 3, "fuse_fp": False,
                       "cpu_compiler_flags": "-march=native -ffp-contract=off"})

_FACE = """
#if defined(__CUDA_ARCH__)
#define DISTILL3D_LOWER(to, key) atomicMin((unsigned long long*)&(to), (unsigned long long)(key))
#else
#define DISTILL3D_LOWER(to, key) if ((key) < (to)) (to) = (key)
#endif
    const int face = task;
    const double* corner[3];
    double near[3];
    bool ahead = false, finite = true;
    for (int k = 0; k < 3; k++) {
        corner[k] = points.data + 4 * faces.data[3 * face + k];
        for (int c = 0; c < 4; c++) finite = finite && corner[k][c] - corner[k][c] == 0.0;
        near[k] = corner[k][2] + corner[k][3];
        ahead = ahead || near[k] >= 0.0;
    }
    if (!ahead || !finite) return;
    // The box around what lies in front of the near plane z = -w; the whole picture where that comes too close to w = 0.
    double low_x = 1e300, high_x = -1e300, low_y = 1e300, high_y = -1e300, largest = 0.0, smallest = 1e300;
    for (int k = 0; k < 3; k++) {
        const double *a = corner[k], *b = corner[(k + 1) % 3];
        const double end = near[(k + 1) % 3], part = near[k] / (near[k] - end);
        for (int cut = 0; cut < 2; cut++) {
            if (cut ? (near[k] >= 0.0) == (end >= 0.0) : near[k] < 0.0) continue;
            const double x = cut ? a[0] + part * (b[0] - a[0]) : a[0], y = cut ? a[1] + part * (b[1] - a[1]) : a[1];
            const double w = cut ? a[3] + part * (b[3] - a[3]) : a[3];
            const double pixel_x = ((x / w + 1.0) * width - 1.0) / 2.0, pixel_y = ((1.0 - y / w) * height - 1.0) / 2.0;
            low_x = pixel_x < low_x ? pixel_x : low_x; high_x = pixel_x > high_x ? pixel_x : high_x;
            low_y = pixel_y < low_y ? pixel_y : low_y; high_y = pixel_y > high_y ? pixel_y : high_y;
            smallest = w < smallest ? w : smallest;
        }
        const double w = a[3] < 0.0 ? -a[3] : a[3];
        largest = w > largest ? w : largest;
    }
    const bool safe = smallest > 1e-6 * largest;
    low_x = safe && low_x > 0.0 ? ceil(low_x - slack) : 0.0;
    low_y = safe && low_y > 0.0 ? ceil(low_y - slack) : 0.0;
    high_x = safe && high_x < width - 1.0 ? floor(high_x + slack) : width - 1.0;
    high_y = safe && high_y < height - 1.0 ? floor(high_y + slack) : height - 1.0;
    if (!(low_x <= high_x && low_y <= high_y)) return;
    double plane[3][3];                         // of the edge opposite to corner k: factors of X, Y and 1
    for (int k = 0; k < 3; k++) {
        const double *a = corner[(k + 1) % 3], *b = corner[(k + 2) % 3];
        plane[k][0] = a[1] * b[3] - a[3] * b[1];
        plane[k][1] = a[3] * b[0] - a[0] * b[3];
        plane[k][2] = a[0] * b[1] - a[1] * b[0];
    }
    const double turn = plane[0][0] * corner[0][0] + plane[0][1] * corner[0][1] + plane[0][2] * corner[0][3];
    const double side = turn > 0.0 ? 1.0 : turn < 0.0 ? -1.0 : turn;  // not a number stays one
    bool owns[3];
    for (int k = 0; k < 3; k++) {
        for (int c = 0; c < 3; c++) plane[k][c] *= side;
        owns[k] = plane[k][0] > 0.0 || (plane[k][0] == 0.0 && (plane[k][1] > 0.0 || (plane[k][1] == 0.0 && plane[k][2] > 0.0)));
    }
    for (int row = (int)low_y; row <= (int)high_y; row++) {
        const double y = 1.0 - (double)(2 * row + 1) / height;
        double rest[3];
        for (int k = 0; k < 3; k++) rest[k] = plane[k][1] * y + plane[k][2];
        int left = (int)low_x, right = (int)high_x;
        if (right - left >= 16) {               // where the edges cross the row, as far as that can be told with divisions
            for (int k = 0; k < 3; k++) {
                const double slope = plane[k][0];
                const double cross = ((-rest[k] / slope + 1.0) * width - 1.0) / 2.0;
                if (slope > 0.0 && cross - slack > left) left = cross - slack < width ? (int)ceil(cross - slack) : width;
                if (slope < 0.0 && cross + slack < right) right = cross + slack > -1.0 ? (int)floor(cross + slack) : -1;
            }
        }
        for (int column = left; column <= right; column++) {
            const double x = (double)(2 * column + 1) / width - 1.0;
            double value[3];
            bool inside = true;
            for (int k = 0; k < 3; k++) {
                value[k] = plane[k][0] * x + rest[k];
                inside = inside && (value[k] > 0.0 || (value[k] == 0.0 && owns[k]));
            }
            if (!inside) continue;
            const double z = value[0] * corner[0][2] + value[1] * corner[1][2] + value[2] * corner[2][2];
            const double w = value[0] * corner[0][3] + value[1] * corner[1][3] + value[2] * corner[2][3];
            const double depth = z / w;
            if (!(depth >= -1.0 && depth <= 1.0)) continue;
            const long long key = ((long long)rint((depth + 1.0) / 2.0 * 2147483647.0) << 32) + face + 1;
            DISTILL3D_LOWER(nearest.data[row * width + column], key);
        }
    }
"""

_Doubles = wp.array(dtype=wp.float64)
_Longs = wp.array(dtype=wp.int64)


@wp.func_native(_FACE)
def _draw_face(task: int, points: _Doubles, faces: _Longs, height: int, width: int, slack: wp.float64,
               nearest: _Longs): ...


@wp.kernel
def draw_faces(points: _Doubles, faces: _Longs, height: int, width: int, slack: wp.float64, nearest: _Longs):
    _draw_face(wp.tid(), points, faces, height, width, slack, nearest)


def nearest_keys(points: torch.Tensor, faces: torch.Tensor, height: int, width: int, nearest: torch.Tensor) -> None:
    """Lowers nearest [H*W] int64 to the keys of faces [F,3] with corners in points [V,4] float64."""
    arguments = points.contiguous().view(-1), faces.contiguous().view(-1), height, width, SLACK, nearest
    launch(draw_faces, len(faces), arguments, points.device)
