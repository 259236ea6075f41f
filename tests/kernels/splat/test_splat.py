import math

import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels import backend
from distill3d.kernels.checks import ShapeError
from distill3d.kernels.splat.splat import splat
from distill3d.nodes.core.cameras import orbit

NAMES = ("positions", "rotations", "scales", "opacities", "features")


def gaussians(count, seed=0, dtype=torch.float64, size=0.08):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    made = (0.35 * random(count, 3), random(count, 4), size * torch.exp(0.5 * random(count, 3)),
            torch.sigmoid(1.5 * random(count, 1)), torch.sigmoid(random(count, 3)))
    return [one.to(dtype) for one in made]


def view(views=1, height=24, width=32, dtype=torch.float64):
    """c2w, fovy, height, width of cameras around the origin, 2.5 away, 40 degrees."""
    step = torch.arange(views)
    cameras = orbit(0.4 + 1.3 * step, 0.3 + 0.1 * step, 2.5, math.radians(40.0), height, width)
    return cameras.c2w.to(dtype), cameras.fovy.to(dtype), height, width


def ahead(depth, height=9, width=9):
    """A camera whose view direction runs through the origin's pixel (4, 4), at that distance."""
    c2w = torch.eye(4, dtype=torch.float64)[None].clone()
    c2w[0, 2, 3] = depth
    return c2w, torch.tensor([math.radians(60.0)], dtype=torch.float64), height, width


def by_hand(positions, rotations, scales, opacities, features, c2w, fovy, height, width):
    """Every pixel of the first camera by itself, the covariances as Kerbl et al. write them: J W R S S R W J."""
    turn = torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64)) @ c2w[0, :3, :3].T
    focal = height / (2 * math.tan(float(fovy[0]) / 2))
    drawn = torch.zeros(height, width, features.shape[1] + 2, dtype=torch.float64)
    light = torch.ones(height, width, dtype=torch.float64)
    closed = torch.zeros(height, width, dtype=torch.bool)
    centres = (positions - c2w[0, :3, 3]) @ turn.T
    columns, rows = torch.meshgrid(torch.arange(width).double() + 0.5, torch.arange(height).double() + 0.5, indexing="xy")
    lengths = (1 + ((columns - width / 2) / focal) ** 2 + ((rows - height / 2) / focal) ** 2).sqrt()
    for i in torch.argsort(centres[:, 2], stable=True).tolist():
        x, y, z = centres[i].tolist()
        if z <= 0.01:
            continue
        w, a, b, c = (rotations[i] / rotations[i].norm()).tolist()
        spin = torch.tensor([[1 - 2 * (b * b + c * c), 2 * (a * b - w * c), 2 * (a * c + w * b)],
                             [2 * (a * b + w * c), 1 - 2 * (a * a + c * c), 2 * (b * c - w * a)],
                             [2 * (a * c - w * b), 2 * (b * c + w * a), 1 - 2 * (a * a + b * b)]], dtype=torch.float64)
        most_x, most_y = 1.3 * width / (2 * focal), 1.3 * height / (2 * focal)
        near_x, near_y = z * min(max(x / z, -most_x), most_x), z * min(max(y / z, -most_y), most_y)
        jacobian = torch.tensor([[focal / z, 0, -focal * near_x / z**2], [0, focal / z, -focal * near_y / z**2]],
                                dtype=torch.float64)
        half = jacobian @ turn @ spin @ torch.diag(scales[i])
        inverse = torch.linalg.inv(half @ half.T + 0.3 * torch.eye(2, dtype=torch.float64))
        offset = torch.stack([columns - (focal * x / z + width / 2), rows - (focal * y / z + height / 2)], -1)
        power = 0.5 * torch.einsum("hwi,ij,hwj->hw", offset, inverse, offset)
        alpha = (float(opacities[i]) * torch.exp(-power)).clamp(max=0.999)
        alpha = torch.where(alpha < 1 / 255, 0.0, alpha)
        closed |= light * (1 - alpha) <= 1e-4
        weight = torch.where(closed, 0.0, light * alpha)
        drawn[..., :-2] += weight[..., None] * features[i]
        drawn[..., -2] += weight
        drawn[..., -1] += weight * z * lengths
        light = torch.where(closed, light, light * (1 - alpha))
    return drawn


@pytest.mark.parametrize("seed, count, size", [(0, 60, 0.08), (1, 300, 0.02), (2, 40, 0.4)])
def test_equals_the_papers_formula_pixel_by_pixel(seed, count, size):
    given, (c2w, fovy, height, width) = gaussians(count, seed, size=size), view()
    found = splat(*given, c2w, fovy, height, width)
    wanted = by_hand(*given, c2w, fovy, height, width)
    assert wanted[..., -2].max() > 0.5
    torch.testing.assert_close(torch.cat([found.features, found.opacity, found.depth], -1)[0], wanted, atol=1e-10, rtol=1e-8)


def test_gradcheck():
    given, camera = gaussians(7, 3, size=0.15), view(2, 7, 9)
    given[4] = torch.rand(2, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = [one.requires_grad_() for one in (*given, *camera[:2])]

    def drawn(*given):
        found = splat(*given, 7, 9, antialiased=True)
        return found.features, found.opacity, found.depth

    assert gradcheck(drawn, inputs, eps=1e-7, atol=1e-5)


def test_pieces_and_drawing_again_change_nothing():
    inputs = [one.requires_grad_() for one in gaussians(200, 4)]
    found = []
    for chunk in 1 << 20, 1 << 12:
        drawn = splat(*inputs, *view(2), chunk=chunk)
        value = drawn.features.square().sum() + drawn.depth.sum() + drawn.opacity.sum()
        found.append((drawn.features, drawn.depth, *torch.autograd.grad(value, inputs)))
    for whole, pieces in zip(*found):
        torch.testing.assert_close(pieces, whole)
