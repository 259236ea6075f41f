import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.surface import isosurface as module
from distill3d.kernels.surface.components import component_labels
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import face_areas, is_watertight, signed_volume, unique_edges

BOUNDS = [[-1.0, -1, -1], [1, 1, 1]]


def grid(*shape, bounds=BOUNDS):
    low, high = torch.tensor(bounds, dtype=torch.float64)
    axes = [torch.linspace(float(a), float(b), n, dtype=torch.float64) for a, b, n in zip(low, high, shape)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def euler(vertices, faces):
    return len(vertices) - len(unique_edges(faces)[0]) + len(faces)


def test_sphere_in_an_uneven_box():
    bounds = [[-1.0, -0.9, -0.8], [1.2, 1.0, 1.1]]
    points = grid(24, 19, 31, bounds=bounds)
    vertices, faces = isosurface(0.7 - points.norm(dim=-1) + 5, 5.0, bounds)
    assert is_watertight(faces) and euler(vertices, faces) == 2
    diagonal = sum((high - low) ** 2 / (n - 1) ** 2 for low, high, n in zip(*bounds, points.shape))
    assert (vertices.norm(dim=1) - 0.7).abs().max() < diagonal / (8 * 0.7) * 1.05     # sagitta of the longest edge
    assert signed_volume(vertices, faces).item() == pytest.approx(4 / 3 * math.pi * 0.7**3, rel=0.01)
    assert component_labels(faces, len(vertices)).max() == 0


def test_plane_is_exact_and_capped_by_the_box():
    points = grid(4, 5, 6)
    vertices, faces = isosurface(0.31 - points[..., 0], 0.0, BOUNDS)
    assert is_watertight(faces) and euler(vertices, faces) == 2
    assert signed_volume(vertices, faces).item() == pytest.approx(1.31 * 2 * 2)
    # Caps without folds: no triangle is turned over, so the area is that of the box.
    assert face_areas(vertices, faces).sum().item() == pytest.approx(2 * 4 + 4 * 2 * 1.31)


def test_full_grid_is_the_box():
    vertices, faces = isosurface(torch.ones(3, 4, 2), 0.5, BOUNDS)
    assert is_watertight(faces) and euler(vertices, faces) == 2
    assert signed_volume(vertices, faces).item() == pytest.approx(8)
    assert face_areas(vertices, faces).sum().item() == pytest.approx(24)


@pytest.mark.parametrize("level", [-0.8, 0.0, 1.0])
def test_noise_up_to_the_border_is_watertight(level):
    values = torch.randn(9, 8, 10, generator=torch.Generator().manual_seed(3))
    vertices, faces = isosurface(values, level, BOUNDS)
    assert is_watertight(faces)
    assert vertices.abs().max() <= 1 and faces.max() == len(vertices) - 1
    # Closed caps do not change what is inside: the whole box minus the complement.
    outside, flipped = isosurface(-values, -level, BOUNDS)
    total = signed_volume(vertices, faces) + signed_volume(outside, flipped)
    assert total.item() == pytest.approx(8, rel=1e-4)


def test_pieces_give_the_same_mesh(monkeypatch):
    values = torch.randn(6, 6, 6, generator=torch.Generator().manual_seed(0))
    vertices, faces = isosurface(values, 0.0, BOUNDS)
    monkeypatch.setattr(module, "CELLS_AT_ONCE", 17)
    again, pieces = isosurface(values, 0.0, BOUNDS)
    torch.testing.assert_close(again, vertices, rtol=0, atol=0)
    assert sorted(map(tuple, pieces.tolist())) == sorted(map(tuple, faces.tolist()))


def test_radius_gradient_is_the_surface_area():
    radius = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    vertices, faces = isosurface(radius - grid(20, 20, 20).norm(dim=-1), 0.0, BOUNDS)
    gradient, = torch.autograd.grad(signed_volume(vertices, faces), radius)
    assert gradient.item() == pytest.approx(4 * math.pi * 0.7**2, rel=0.02)


def test_gradcheck():
    values = torch.randn(3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).clamp(-2, 2)
    values[1, 1, 0], values[2, 2, 1] = 3.0, -3.0          # the extremes, on which the closing layer depends
    fixed = torch.ones_like(values, dtype=torch.bool)
    fixed[1, 1, 0] = fixed[2, 2, 1] = False
    inputs = values[fixed].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: isosurface(values.masked_scatter(fixed, x), 0.1, BOUNDS)[0], inputs)


def test_nothing_above_the_level():
    vertices, faces = isosurface(torch.ones(4, 4, 4), 1.0, torch.tensor(BOUNDS))
    assert vertices.shape == (0, 3) and faces.shape == (0, 3) and faces.dtype == torch.int64


def test_bad_input_is_named():
    with pytest.raises(ShapeError, match="values"):
        isosurface(torch.ones(4, 4), 0.0, BOUNDS)
    with pytest.raises(ShapeError, match="bounds"):
        isosurface(torch.ones(4, 4, 4), 0.0, [[0.0, 1.0]])
    with pytest.raises(ValueError, match="at least 2"):
        isosurface(torch.ones(4, 1, 4), 0.0, BOUNDS)
