import pytest
import torch
import torch.nn.functional as F

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.image.depth_normals import depth_normals
from distill3d.nodes.core.cameras import turntable


def ball(size=64, radius=0.7, views=3):
    """Depth, opacity, rays and true normals of a ball at the origin."""
    origin, direction = turntable(views, 20, 3, 40, size).rays()
    middle = -(origin * direction).sum(-1, keepdim=True)
    inside = radius**2 - (origin + middle * direction).square().sum(-1, keepdim=True)
    opacity = (inside > 0).float()
    depth = (middle - inside.clamp_min(0).sqrt()) * opacity
    return depth, opacity, origin, direction, F.normalize(origin + depth * direction, dim=-1)


def test_a_ball_has_its_normals_also_at_its_rim():
    depth, opacity, origin, direction, truth = ball()
    found = depth_normals(depth, opacity, origin, direction)
    cosine = (found * truth).sum(-1)[opacity[..., 0] > 0]
    assert cosine.mean() > 0.99 and cosine.quantile(0.02) > 0.9


def test_depth_counts_per_opacity():
    depth, opacity, origin, direction, _ = ball(24)
    torch.testing.assert_close(depth_normals(0.3 * depth, 0.3 * opacity, origin, direction),
                               depth_normals(depth, opacity, origin, direction), atol=1e-4, rtol=0)


def test_gradients_are_finite_where_nothing_is():
    depth, opacity, origin, direction, _ = ball(16)
    depth, opacity = depth.requires_grad_(), opacity.requires_grad_()
    depth_normals(depth, opacity, origin, direction).sum().backward()
    assert depth.grad.isfinite().all() and opacity.grad.isfinite().all() and depth.grad.any()
    nothing = torch.zeros_like(depth)
    assert depth_normals(nothing, nothing, origin, direction).isfinite().all()


def test_shapes_are_checked():
    depth, opacity, origin, direction, _ = ball(8)
    with pytest.raises(ShapeError, match="opacity"):
        depth_normals(depth, opacity[:1], origin, direction)
