import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.shapes.render import render_shapes
from distill3d.kernels.shapes.sdf import PATTERNS, PRIMITIVES, Parts, shape_sdf

FOVY = math.radians(40)


def parts_of(rows, pattern="plain"):
    """[(primitive, center, scale, color), ...] per image."""
    batch, count = len(rows), len(rows[0])
    column = lambda i: [[part[i] for part in row] for row in rows]
    return Parts(
        kind=torch.tensor([[PRIMITIVES.index(name) if name else -1 for name in row] for row in column(0)]),
        center=torch.tensor(column(1)),
        scale=torch.tensor(column(2)),
        rotation=torch.eye(3).expand(batch, count, 3, 3),
        color=torch.tensor(column(3)),
        pattern=torch.full((batch, count), PATTERNS.index(pattern)),
    )


def camera_on_x(batch=1, distance=3.0):
    c2w = torch.tensor([[0.0, 0.0, 1.0, distance], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    return c2w.expand(batch, 4, 4), torch.full((batch,), FOVY)


RED_SPHERE = ("sphere", (0.0, 0.0, 0.0), 0.8, (1.0, 0.0, 0.0))
ABSENT = (None, (0.0, 0.0, 0.0), 1.0, (0.0, 0.0, 0.0))


def test_sphere_against_closed_form():
    out = render_shapes(parts_of([[RED_SPHERE]]), *camera_on_x(), 33, 3, background=1.0)
    assert out["rgb"].shape == (1, 33, 33, 3) and out["depth"].shape == (1, 33, 33, 1)
    # The silhouette is a disc of tangent r / sqrt(d^2 - r^2).
    radius = 0.8 / math.sqrt(9 - 0.64) / math.tan(FOVY / 2) * 33 / 2
    assert float(out["alpha"].sum()) == pytest.approx(math.pi * radius**2, rel=0.01)
    middle = out["normal"][0, 16, 16]
    torch.testing.assert_close(middle, torch.tensor([1.0, 0.0, 0.0]), atol=2e-3, rtol=0)
    assert float(out["depth"][0, 16, 16]) == pytest.approx(2.2, abs=2e-3)
    torch.testing.assert_close(out["rgb"][0, 16, 16], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(out["rgb"][0, 0, 0], torch.ones(3))
    assert float(out["alpha"][0, 0, 0]) == 0 and float(out["depth"][0, 0, 0]) == 0


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_hits_lie_on_the_surface(primitive):
    angle = math.radians(35)
    back = torch.tensor([math.cos(angle), 0.0, math.sin(angle)])
    right = torch.tensor([0.0, 1.0, 0.0])
    c2w = torch.eye(4)
    c2w[:3] = torch.stack([right, torch.cross(back, right, dim=0), back, 3 * back], dim=-1)
    parts = parts_of([[(primitive, (0.1, 0.0, -0.1), 0.7, (1.0, 1.0, 1.0))]])
    out = render_shapes(parts, c2w[None], torch.tensor([FOVY]), 24, supersample=1)
    hit = out["alpha"][0, ..., 0] > 0
    assert 50 < int(hit.sum()) < 500
    rows, columns = hit.nonzero(as_tuple=True)
    half = math.tan(FOVY / 2)
    x, y = (columns + 0.5) / 12 - 1, 1 - (rows + 0.5) / 12
    local = torch.stack([x * half, y * half, -torch.ones(len(rows))], -1)
    directions = torch.nn.functional.normalize(local @ c2w[:3, :3].T, dim=-1)
    points = (c2w[:3, 3] + directions * out["depth"][0][hit]).requires_grad_()
    distance = shape_sdf(Parts(*(value[0] for value in parts)), points)
    assert float(distance.detach().abs().max()) < 1e-3
    (normal,) = torch.autograd.grad(distance.sum(), points)
    # Away from edges, where a difference and a derivative may disagree.
    agree = (normal * out["normal"][0][hit]).sum(-1) > 0.99
    assert float(agree.float().mean()) > 0.9


def test_nearer_part_wins_and_mixed_primitives_keep_their_images():
    near = ("cube", (1.0, 0.0, 0.0), 0.3, (0.0, 0.0, 1.0))
    rows = [[RED_SPHERE, near], [RED_SPHERE, ABSENT], [near, RED_SPHERE]]
    out = render_shapes(parts_of(rows), *camera_on_x(3), 17)["rgb"]
    torch.testing.assert_close(out[0, 8, 8], torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(out[1, 8, 8], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(out[0], out[2])
    alone = render_shapes(parts_of(rows[:1]), *camera_on_x(1), 17)["rgb"]
    torch.testing.assert_close(alone[0], out[0])


def test_shading_is_ambient_plus_lambert():
    light = torch.tensor([[0.6, 0.8, 0.0]])
    out = render_shapes(parts_of([[RED_SPHERE]]), *camera_on_x(), 33, light=light, ambient=0.25, background=0.5)
    assert float(out["rgb"][0, 16, 16, 0]) == pytest.approx(0.25 + 0.75 * 0.6, abs=5e-3)
    assert float(out["rgb"][0, 0, 0, 0]) == 0.5


@pytest.mark.parametrize("pattern, white", [("striped", (20, 16)), ("dotted", (16, 16))])
def test_patterns_are_white_on_the_colour(pattern, white):
    out = render_shapes(parts_of([[RED_SPHERE]], pattern), *camera_on_x(), 33, background=0.0)["rgb"][0]
    torch.testing.assert_close(out[white], torch.ones(3))
    inside = out[..., 0] > 0.99
    share = float((out[..., 1] > 0.5)[inside].float().mean())
    assert 0.15 < share < 0.6


def test_empty_batch_empty_view_and_wrong_shapes():
    parts = parts_of([[RED_SPHERE]])
    nothing = render_shapes(Parts(*(value[:0] for value in parts)), *camera_on_x(0), 8)
    assert nothing["rgb"].shape == (0, 8, 8, 3)
    absent = render_shapes(parts_of([[ABSENT]]), *camera_on_x(), 8)
    assert float(absent["alpha"].sum()) == 0 and bool((absent["rgb"] == 1).all())
    with pytest.raises(ShapeError, match="parts.kind"):
        render_shapes(parts, *camera_on_x(2), 8)
