"""Compositing as Warp kernels; see composite.py for what it means. Each task is one ray, whose sums run in float64, so
that nothing depends on the order of tasks."""
import torch
import warp as wp

from ..warp_runtime import in_parallel, kernel_module, launch

__name__ = kernel_module(__name__)
wp.set_module_options({"enable_backward": False, "optimization_level": 3})

_FORWARD = """
    const int ray = first_ray + task;
    double light = 1.0;
    for (long long s = offsets.data[ray]; s < offsets.data[ray + 1]; s++) {
        float d = density.data[s] * delta.data[s];
        d = d > opaque ? opaque : d;
        // 1 - exp(-d); for small d by its series, which does not cancel.
        const float alpha = !(d < 0.35f) ? 1.0f - expf(-d) :
            d * (1.0f - d / 2.0f * (1.0f - d / 3.0f * (1.0f - d / 4.0f * (1.0f - d / 5.0f * (1.0f - d / 6.0f * (1.0f - d / 7.0f))))));
        weights.data[s] = (float)(light * alpha);
        light *= 1.0 - (double)alpha;
    }
    opacity.data[ray] = (float)(1.0 - light);
"""

# With d the optical depths and T the light behind a sample: dL/dd_i = g_i T_i - sum of later g_j w_j + g_opacity
# T_last.
_BACKWARD = """
    const int ray = first_ray + task;
    const long long first = offsets.data[ray], last = offsets.data[ray + 1];
    double later = 0.0, light = 1.0;
    for (long long s = first; s < last; s++) {
        later += (double)to_weights.data[s] * weights.data[s];
        light -= weights.data[s];
    }
    const double end = light * to_opacity.data[ray];
    light = 1.0;
    for (long long s = first; s < last; s++) {
        light -= weights.data[s];
        later -= (double)to_weights.data[s] * weights.data[s];
        const bool clamped = density.data[s] * delta.data[s] > opaque;
        out.data[s] = clamped ? 0.0f : (float)(to_weights.data[s] * light - later + end) * delta.data[s];
    }
"""

_Floats = wp.array(dtype=wp.float32)
_Longs = wp.array(dtype=wp.int64)


@wp.func_native(_FORWARD)
def _composite_ray(task: int, first_ray: int, offsets: _Longs, density: _Floats, delta: _Floats, opaque: float,
                   weights: _Floats, opacity: _Floats): ...


@wp.func_native(_BACKWARD)
def _backward_ray(task: int, first_ray: int, offsets: _Longs, density: _Floats, delta: _Floats, opaque: float,
                   weights: _Floats, to_weights: _Floats, to_opacity: _Floats, out: _Floats): ...


@wp.kernel
def composite_ray(first_ray: int, offsets: _Longs, density: _Floats, delta: _Floats, opaque: float, weights: _Floats,
                  opacity: _Floats):
    _composite_ray(wp.tid(), first_ray, offsets, density, delta, opaque, weights, opacity)


@wp.kernel
def backward_ray(first_ray: int, offsets: _Longs, density: _Floats, delta: _Floats, opaque: float, weights: _Floats,
                  to_weights: _Floats, to_opacity: _Floats, out: _Floats):
    _backward_ray(wp.tid(), first_ray, offsets, density, delta, opaque, weights, to_weights, to_opacity, out)


class Composite(torch.autograd.Function):
    """(density, delta, offsets [R + 1], opaque, reference) -> weights [S], opacity [R]. reference: the same of density
    in torch, for second derivatives."""

    @staticmethod
    def forward(ctx, density, delta, offsets, opaque, reference):
        rays = len(offsets) - 1
        density, delta = density.contiguous(), delta.contiguous()
        weights, opacity = torch.empty_like(density), density.new_empty(rays)

        def work(first, last):
            launch(composite_ray, last - first, (first, offsets, density, delta, opaque, weights, opacity),
                   density.device)

        in_parallel(work, rays, len(density), density.device)
        ctx.save_for_backward(density, delta, offsets, weights)
        ctx.opaque, ctx.reference = opaque, reference
        return weights, opacity

    @staticmethod
    def backward(ctx, to_weights, to_opacity):
        density, delta, offsets, weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = ctx.reference(density)
            return (*torch.autograd.grad(found, density, (to_weights, to_opacity), create_graph=True), None, None, None,
                    None)
        out, to_weights, to_opacity = torch.empty_like(density), to_weights.contiguous(), to_opacity.contiguous()

        def work(first, last):
            launch(backward_ray, last - first,
                   (first, offsets, density, delta, ctx.opaque, weights, to_weights, to_opacity,
                                                 out), density.device)

        in_parallel(work, len(offsets) - 1, len(density), density.device)
        return out, None, None, None, None
