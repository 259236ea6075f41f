import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.raster.interpolate import interpolate
from distill3d.kernels.raster.rasterize import rasterize

FACES = torch.tensor([[0, 1, 2], [2, 1, 3]])


def tilted_quad():
    """Two views of a quad whose corners have different w; attributes are clip positions themselves."""
    quad = torch.tensor([[-1., -1, 0, 1], [1, -1, 0.2, 2], [-1, 1, 0.1, 1.5], [2, 3, 0, 3]], dtype=torch.float64)
    return torch.stack([quad, quad * torch.tensor([0.5, 0.7, 1, 1])])


def test_is_perspective_correct():
    positions = tilted_quad()
    rast = rasterize(positions, FACES, (6, 5))
    point = interpolate(positions, rast, FACES)
    seen = rast[..., 3] > 0
    assert seen[0].any() and seen[1].any() and not seen[1].all()
    y = 1 - (2 * torch.arange(6, dtype=torch.float64) + 1) / 6
    torch.testing.assert_close((point[..., 1] / point[..., 3])[seen], y[:, None].expand(2, 6, 5)[seen])
    assert point[~seen].eq(0).all()


def test_shared_attributes_equal_repeated_ones():
    rast = rasterize(tilted_quad(), FACES, (6, 5))
    colour = torch.rand(4, 3, dtype=torch.float64)
    expected = interpolate(colour.expand(2, 4, 3), rast, FACES)
    torch.testing.assert_close(interpolate(colour, rast, FACES), expected)


def test_attributes_may_have_separate_faces():
    rast = rasterize(tilted_quad()[:1], FACES, (6, 5))
    value = interpolate(torch.tensor([[1.0], [7.0]]), rast, torch.tensor([[0, 0, 0], [1, 1, 1]]))
    expected = torch.tensor([0.0, 1.0, 7.0])[rast[0, ..., 3].long()]
    torch.testing.assert_close(value[0, ..., 0], expected, check_dtype=False)


def test_gradcheck():
    positions = tilted_quad().requires_grad_()
    attributes = torch.rand(2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda p, a: interpolate(a, rasterize(p, FACES, (3, 4)), FACES), (positions, attributes))
    rast = rasterize(positions.detach(), FACES, (3, 4))
    shared = attributes[0].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: interpolate(a, rast, FACES), shared)


def test_empty_picture():
    rast = torch.zeros(2, 3, 4, 4)
    assert interpolate(torch.rand(4, 5), rast, FACES).eq(0).all()
    assert interpolate(torch.rand(0, 5), rast, FACES[:0]).shape == (2, 3, 4, 5)


def test_wrong_shapes_are_named():
    rast = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ShapeError, match=r"attributes must have shape \[2, V, C\]"):
        interpolate(torch.rand(3, 4, 5), rast, FACES)
    with pytest.raises(ShapeError, match="attributes"):
        interpolate(torch.rand(4), rast, FACES)
    with pytest.raises(ShapeError, match="rast"):
        interpolate(torch.rand(4, 5), rast[0], FACES)
