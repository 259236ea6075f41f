import pytest
import torch

from distill3d.kernels.image.augment import BACKDROPS, backdrop, random_crops


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_crops_are_windows_of_the_picture():
    ramp = torch.linspace(0, 1, 32).view(1, 1, 32, 1).expand(64, 32, 32, 1)
    found = random_crops(ramp, 0.5, 0.5, generator())[:, :, :, 0]
    span = found[:, 0, -1] - found[:, 0, 0]
    assert torch.allclose(span, torch.tensor(0.5), atol=0.02), "half of the width"
    assert float(found[:, 0, 0].amin()) < 0.05 and float(found[:, 0, -1].amax()) > 0.95, "from edge to edge"
    assert torch.equal(random_crops(ramp, 1, 1, generator()), ramp) or torch.allclose(
        random_crops(ramp, 1, 1, generator()), ramp, atol=1e-6)
    wide = random_crops(ramp, 2.0, 2.0, generator())
    assert float(wide.amin()) == 0 and float(wide.amax()) == 1
    with pytest.raises(ValueError, match="0 < least"):
        random_crops(ramp, 1.0, 0.5, generator())


def test_crops_have_gradients():
    rgb = torch.rand(1, 5, 5, 2).double().requires_grad_()
    torch.autograd.gradcheck(lambda x: random_crops(x, 0.6, 0.9, generator()), rgb)


@pytest.mark.parametrize("kind", BACKDROPS)
def test_backdrops_are_textures_in_range_that_change(kind):
    one, other = backdrop(kind, 32, 24, generator(1)), backdrop(kind, 32, 24, generator(2))
    assert one.shape == (32, 24, 3) and 0 <= float(one.amin()) and float(one.amax()) <= 1
    assert float(one.std()) > 0.02 and not torch.equal(one, other)
    assert torch.equal(one, backdrop(kind, 32, 24, generator(1)))


def test_unknown_backdrop():
    with pytest.raises(ValueError, match="kind"):
        backdrop("stripes", 4, 4, generator())
