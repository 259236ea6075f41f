import pytest
import torch
import torch.nn.functional as F

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.image.reference import (
    absolute_depth_error,
    color_error,
    erode,
    mask_error,
    normal_error,
    relative_depth_error,
)

DEPTHS = [relative_depth_error, absolute_depth_error]


def random(*shape, seed=0, **options):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, **options)


def depths(batch=2):
    """Two depths that go together somewhat, and the pixels that count."""
    a = random(batch, 4, 5, 1)
    return a + 3, 0.6 * a + 0.4 * random(batch, 4, 5, 1, seed=1), random(batch, 4, 5, 1, seed=2) > 0.4


def test_color_error():
    a, b = torch.tensor([[0.2, 0.4, 0.0], [1.0, 1.0, 0.5]]).view(1, 1, 2, 3), torch.zeros(1, 1, 2, 3)
    assert color_error(a, b).item() == pytest.approx((0.04 + 0.16 + 1 + 1 + 0.25) / 6)
    assert color_error(a, b, "l1").item() == pytest.approx(3.1 / 6)
    first = torch.tensor([True, False]).view(1, 1, 2, 1)
    assert color_error(a, b, "l1", first).item() == pytest.approx(0.2)
    with pytest.raises(ValueError, match="l2"):
        color_error(a, b, "l2")


def test_mask_error_clamps_opacity():
    opacity = torch.tensor([1.2, 0.5, -0.1, 0.0]).view(1, 2, 2, 1).requires_grad_()
    error = mask_error(opacity, torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 2, 2, 1))
    assert error.item() == pytest.approx(0.25 / 4)
    error.backward()
    assert opacity.grad.flatten().tolist() == pytest.approx([0, -0.25, 0, 0])


def test_relative_depth_error_is_pearson_of_the_pixels_inside():
    a, b, inside = depths()
    expected = [1 - torch.corrcoef(torch.stack([a[i][inside[i]], b[i][inside[i]]]))[0, 1].item() for i in range(2)]
    assert relative_depth_error(a, b, inside).item() == pytest.approx(sum(expected) / 2, rel=1e-9)
    assert 0.02 < expected[0] < 0.9


def test_relative_depth_error_ignores_scale_and_shift_but_not_sign():
    a, b, inside = depths()
    plain = relative_depth_error(a, b, inside).item()
    assert relative_depth_error(7 * a - 2, 0.01 * b + 40, inside).item() == pytest.approx(plain, rel=1e-6)
    assert relative_depth_error(a, -b, inside).item() == pytest.approx(2 - plain, rel=1e-6)
    assert relative_depth_error(a, 3 * a + 1, inside).item() == pytest.approx(0, abs=1e-12)


def test_absolute_depth_error_is_the_residual_of_a_line():
    a, b, inside = depths(1)
    x, y = b[inside], a[inside]
    line = torch.linalg.lstsq(torch.stack([x, torch.ones_like(x)], 1), y[:, None]).solution
    residual = y - (x * line[0] + line[1])
    assert line[0] > 0
    assert absolute_depth_error(a, b, inside).item() == pytest.approx(residual.square().mean().item(), rel=1e-9)
    assert absolute_depth_error(a, 5 * b - 3, inside).item() == pytest.approx(residual.square().mean().item(), rel=1e-9)
    # In units of depth, unlike the relative one; and inverted relief is no fit.
    assert absolute_depth_error(2 * a, b, inside).item() == pytest.approx(4 * residual.square().mean().item(), rel=1e-9)
    assert absolute_depth_error(a, -b, inside).item() == pytest.approx(y.var(correction=0).item(), rel=1e-9)


def test_normal_error():
    normal = torch.tensor([[0.0, 0.0, 0.5], [0.6, 0.0, 0.8], [0.0, 0.0, 0.01], [0.0, 1.0, 0.0]]).view(1, 2, 2, 3)
    target = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).view(1, 2, 2, 3)
    everywhere = torch.ones(1, 2, 2, 1, dtype=torch.bool)
    # The third is almost nothing and the fourth has no target.
    assert normal_error(normal, target, everywhere).item() == pytest.approx((0 + 0.2) / 2)
    assert normal_error(normal, -target, everywhere).item() == pytest.approx((2 + 1.8) / 2)


def test_erode():
    inside = torch.zeros(1, 9, 9, 1, dtype=torch.bool)
    inside[:, 2:9, 1:6] = True
    smaller = torch.zeros_like(inside)
    smaller[:, 4:9, 3:4] = True  # the picture's border, below, is no edge
    assert torch.equal(erode(inside, 2), smaller)
    assert torch.equal(erode(inside, 0), inside)
    assert not erode(inside, 20).any()


@pytest.mark.parametrize("metric", ["mse", "l1"])
@pytest.mark.parametrize("region", [False, True])
def test_gradcheck_of_color(metric, region):
    a, b = (random(1, 3, 4, 3, seed=seed, requires_grad=True) for seed in (0, 1))
    inside = random(1, 3, 4, 1, seed=2) > 0.5 if region else None
    assert torch.autograd.gradcheck(lambda x, y: color_error(x, y, metric, inside), (a, b))


def test_gradcheck_of_mask():
    opacity = random(2, 3, 4, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda o: mask_error(o, random(2, 3, 4, 1, seed=3)), (opacity,))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("error", DEPTHS)
def test_gradcheck_of_depth(error, sign):
    """The fit of scale and shift is part of what is checked."""
    a, b, inside = depths()
    assert torch.autograd.gradcheck(lambda x: error(x, sign * b, inside), (a.requires_grad_(),))


def test_gradcheck_of_normal():
    normal = (random(2, 3, 4, 3) - 0.5).requires_grad_()
    target, inside = random(2, 3, 4, 3, seed=1) - 0.5, random(2, 3, 4, 1, seed=2) > 0.3
    assert (normal.norm(dim=-1) > 0.06).all()
    assert torch.autograd.gradcheck(lambda n: normal_error(n, target, inside), (normal,))


@pytest.mark.parametrize("error", DEPTHS)
def test_an_empty_region_gives_zero_without_gradient(error):
    a, b, inside = depths()
    a.requires_grad_()
    value = error(a, b, torch.zeros_like(inside))
    value.backward()
    assert value.item() == 0 and a.grad.abs().max() == 0
    # A view without pixels does not thin the mean of the others.
    half = inside.clone()
    half[1] = False
    assert error(a, b, half).item() == pytest.approx(error(a[:1], b[:1], inside[:1]).item())
    empty = torch.zeros(0, 4, 4, 1)
    assert error(empty, empty, empty.bool()).item() == 0


def test_flat_depth_counts_one_without_gradient():
    b, inside = random(1, 4, 5, 1).float(), torch.ones(1, 4, 5, 1, dtype=torch.bool)
    flat = (3.8 + 1e-7 * random(1, 4, 5, 1, seed=1).float()).requires_grad_()
    for error in (relative_depth_error(flat, b, inside),
                  relative_depth_error(b.requires_grad_(), flat.detach(), inside)):
        error.backward()
        assert error.item() == 1
    assert flat.grad.abs().max() == 0 and b.grad.abs().max() == 0
    assert absolute_depth_error(b, torch.ones_like(b), inside).item() == pytest.approx(b.var(correction=0).item(),
                                                                                       rel=1e-4)


def test_nowhere_is_zero():
    normal = torch.zeros(1, 2, 2, 3, requires_grad=True)
    value = normal_error(normal, torch.ones(1, 2, 2, 3), torch.ones(1, 2, 2, 1, dtype=torch.bool))
    value.backward()
    assert value.item() == 0 and torch.equal(normal.grad, torch.zeros_like(normal))
    outside = torch.zeros(1, 2, 2, 1, dtype=torch.bool)
    assert color_error(torch.ones(1, 2, 2, 3), torch.zeros(1, 2, 2, 3), "mse", outside).item() == 0


def test_shapes_are_checked():
    for error in DEPTHS:
        with pytest.raises(ShapeError, match="target"):
            error(torch.zeros(1, 2, 2, 1), torch.zeros(1, 2, 3, 1), torch.ones(1, 2, 2, 1, dtype=torch.bool))
    with pytest.raises(ShapeError, match="mask"):
        mask_error(torch.zeros(2, 2, 2, 1), torch.zeros(1, 2, 2, 1))
    with pytest.raises(ShapeError, match="normal"):
        normal_error(torch.zeros(1, 2, 2, 2), F.normalize(torch.ones(1, 2, 2, 2)),
                     torch.ones(1, 2, 2, 1, dtype=torch.bool))
