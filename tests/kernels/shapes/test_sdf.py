import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.shapes.sdf import (
    BOUNDING_RADIUS,
    HALF_HEIGHT,
    HALF_WIDTH,
    PRIMITIVES,
    Parts,
    primitive_sdf,
    shape_sdf,
)

KNOWN = [
    ("sphere", (0, 0, 2.5), 1.5),
    ("sphere", (0, 0, 0), -1.0),
    ("cube", (1.8, 0, 0), 1.0),
    ("cube", (1.1, 1.2, 0), 0.5),
    ("cube", (0.1, 0, 0.6), -0.2),
    ("cone", (0, 0, 1.5), 0.5),
    ("cone", (0, 0, -1.25), 0.25),
    ("cone", (1.9, 0, -1), 1.0),
    ("cone", (0, 0, -0.9), -0.1),
    ("cone", (1.2, 0, -1.4), 0.5),
    ("cylinder", (0, 1.75, 0.2), 1.0),
    ("cylinder", (1.05, 0, 1.3), 0.5),
    ("cylinder", (0.65, 0, 0), -0.1),
    ("torus", (0, 0, 0), 0.4),
    ("torus", (0, 0.7, 0), -0.3),
    ("torus", (1.1, 0, 0.3), 0.2),
    ("capsule", (0, 0, 1.5), 0.5),
    ("capsule", (1.0, 0, 0.3), 0.5),
    ("capsule", (0, 0, 0.2), -0.5),
]


@pytest.mark.parametrize("primitive, point, distance", KNOWN)
def test_distance_against_closed_form(primitive, point, distance):
    x, y, z = torch.tensor(point, dtype=torch.float64)
    assert float(primitive_sdf(primitive, x, y, z)) == pytest.approx(distance, abs=1e-9)


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_gradient_has_unit_norm(primitive):
    points = torch.empty(500, 3, dtype=torch.float64).uniform_(-2, 2, generator=torch.Generator().manual_seed(0))
    points.requires_grad_()
    (gradient,) = torch.autograd.grad(primitive_sdf(primitive, *points.unbind(-1)).sum(), points)
    torch.testing.assert_close(gradient.norm(dim=-1), torch.ones(500, dtype=torch.float64))


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_gradient_at_the_origin_is_finite(primitive):
    points = torch.zeros(1, 3, requires_grad=True)
    primitive_sdf(primitive, *points.unbind(-1)).sum().backward()
    assert torch.isfinite(points.grad).all()


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_sizes_in_the_tables(primitive):
    points = torch.empty(20_000, 3).uniform_(-1.5, 1.5, generator=torch.Generator().manual_seed(0))
    inside = points[primitive_sdf(primitive, *points.unbind(-1)) < 0]
    extent = inside.abs().amax(0)
    assert float(extent[0]) == pytest.approx(HALF_WIDTH[primitive], abs=0.06)
    assert float(extent[2]) == pytest.approx(HALF_HEIGHT[primitive], abs=0.3 if primitive == "cone" else 0.06)
    assert extent[2] <= HALF_HEIGHT[primitive] and extent[0] <= HALF_WIDTH[primitive]
    assert inside.norm(dim=-1).max() <= BOUNDING_RADIUS[primitive]


def test_unknown_primitive_is_named():
    with pytest.raises(ValueError, match="'pyramid'"):
        primitive_sdf("pyramid", *torch.zeros(3, 1))


def _parts(kind):
    turned = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    return Parts(
        kind=torch.tensor(kind),
        center=torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        scale=torch.tensor([0.5, 0.25]),
        rotation=torch.stack([torch.eye(3), turned]),
        color=torch.ones(2, 3),
        pattern=torch.zeros(2, dtype=torch.int64),
    )


def test_shape_is_the_scaled_and_turned_union():
    sphere, cone = PRIMITIVES.index("sphere"), PRIMITIVES.index("cone")
    points = torch.tensor([[-1.0, 0.0, 0.0], [1.5, 0.0, 0.0], [1.0, 0.0, 0.5]])
    distance = shape_sdf(_parts([sphere, cone]), points)
    assert float(distance[0]) == pytest.approx(0.5)
    assert float(distance[1]) == pytest.approx(0.25)  # in front of the apex, which the turn sends to x = 1.25
    alone = shape_sdf(_parts([-1, cone]), points)
    assert float(alone[2]) == pytest.approx(float(distance[2]))
    assert float(alone[0]) == pytest.approx(1.75)


def test_no_points_and_no_parts():
    assert shape_sdf(_parts([0, 1]), torch.zeros(0, 3)).shape == (0,)
    with pytest.raises(ValueError, match="no parts"):
        shape_sdf(_parts([-1, -1]), torch.zeros(1, 3))
    with pytest.raises(ShapeError, match="points"):
        shape_sdf(_parts([0, 1]), torch.zeros(3))


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_gradients_of_primitives(primitive):
    """At random places: on edges and axes, where a distance has no derivative, none of them lies."""
    places = torch.randn(3, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert gradcheck(lambda *xyz: primitive_sdf(primitive, *xyz), [one.requires_grad_() for one in places.unbind()])


def test_gradients_of_shapes():
    generator = torch.Generator().manual_seed(1)
    center, scale = torch.tensor([[0.0, 0, -0.5], [0, 0.1, 0.6]]).double(), torch.tensor([0.5, 0.4]).double()
    points = torch.randn(12, 3, dtype=torch.float64, generator=generator)
    kind = torch.tensor([1, 3])
    rotation = torch.linalg.qr(torch.randn(2, 3, 3, dtype=torch.float64, generator=generator))[0]

    def distance(points, center, scale):
        return shape_sdf(Parts(kind, center, scale, rotation, center, kind), points)

    assert gradcheck(distance, [one.requires_grad_() for one in (points, center, scale)])
