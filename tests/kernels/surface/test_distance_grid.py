import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.surface.distance_grid import distance_grid
from distill3d.kernels.surface.isosurface import isosurface

BOUNDS = torch.tensor([[-1.0, -1.0, -0.8], [1.0, 1.0, 0.8]])


def lattice(*shape):
    lines = [torch.linspace(float(low), float(high), size) for low, high, size in zip(*BOUNDS, shape)]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)


def of(true):
    vertices, faces = isosurface(-true, 0.0, BOUNDS)
    return distance_grid(vertices, faces, true < 0, BOUNDS)


def test_a_ball():
    x = lattice(31, 31, 25)
    true = x.norm(dim=-1) - 0.55
    error = (of(true) - true).abs()
    assert error[true.abs() < 0.1].max() < 0.004 and error.mean() < 0.005 and error.max() < 0.033    # half a cell


def test_two_boxes():
    """A true distance inside, outside, in between, and at edges and corners."""
    x = lattice(41, 41, 33)
    boxes = []
    for middle in (-0.5, 0.5):
        gap = (x - torch.tensor([middle, 0, 0])).abs() - torch.tensor([0.27, 0.6, 0.42])
        boxes.append(gap.clamp(min=0).norm(dim=-1) + gap.amax(-1).clamp(max=0))
    true = torch.minimum(*boxes)
    error = (of(true) - true).abs()
    assert error.mean() < 0.008 and error.max() < 0.036        # cells are 0.05 wide, and cut the boxes' edges off
    clear = true.abs() > 0.025
    assert torch.equal(of(true)[clear] < 0, true[clear] < 0)


def test_errors():
    x = lattice(5, 5, 5)
    vertices, faces = isosurface(0.5 - x.norm(dim=-1), 0.0, BOUNDS)
    with pytest.raises(ShapeError, match="inside"):
        distance_grid(vertices, faces, torch.ones(5, 5, dtype=torch.bool), BOUNDS)
    with pytest.raises(ValueError, match="beside"):
        distance_grid(vertices, faces, torch.ones(5, 5, 5, dtype=torch.bool), BOUNDS)
