"""Gradients of the ellipses; test_splat.py tests their values."""
import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels import backend
from distill3d.kernels.lens import Lens
from distill3d.kernels.splat.project import project


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("is_orthographic", [False, True])
def test_gradients(monkeypatch, is_orthographic, antialiased):
    monkeypatch.setenv(backend.VARIABLE, "torch")
    generator = torch.Generator().manual_seed(0)
    positions, scales = torch.rand(2, 4, 3, dtype=torch.float64, generator=generator) - 0.5
    rotations = torch.randn(4, 4, dtype=torch.float64, generator=generator)
    opacities = torch.full((4, 1), 0.7, dtype=torch.float64)
    c2w = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    c2w[:, 2, 3] = torch.tensor([3.0, 4.0])
    half = torch.tensor([0.5, 0.8], dtype=torch.float64)
    leaves = [one.requires_grad_() for one in (positions, rotations, 0.2 + scales.abs(), opacities, c2w, half)]

    def seen(*given):
        found = project(*given[:-1], Lens(given[-1], is_orthographic), 8, 9, 0.01, antialiased)
        return found.centers, found.conics, found.depths, found.opacities

    assert gradcheck(seen, leaves)
