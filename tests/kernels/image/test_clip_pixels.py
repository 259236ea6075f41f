import torch
from torch.autograd import gradcheck

from distill3d.kernels.image.clip_pixels import DEVIATION, MEAN, clip_pixels, normalized


def test_the_mean_of_the_training_pictures_becomes_zero():
    mean, deviation = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, DEVIATION))
    pictures = mean + deviation * torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(normalized(pictures)[:, :, 0, 0], torch.tensor([[-1.0] * 3, [0.0] * 3, [1.0] * 3]))


def test_corners_stay_corners():
    """Bicubic with the corners aligned: the corner pixels keep their colours, and a ramp stays one."""
    ramp = torch.linspace(0, 1, 5).view(1, 1, 5, 1).expand(1, 5, 5, 3)
    found = clip_pixels(ramp, 9)
    assert found.shape == (1, 3, 9, 9) and found.dtype == torch.float32
    mean, deviation = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, DEVIATION))
    rgb = found * deviation + mean
    torch.testing.assert_close(rgb[..., 0], torch.zeros(1, 3, 9), atol=1e-6, rtol=0)
    torch.testing.assert_close(rgb[..., -1], torch.ones(1, 3, 9), atol=1e-6, rtol=0)
    torch.testing.assert_close(rgb[0, 0, 4, 2:7], torch.linspace(0.25, 0.75, 5), atol=1e-6, rtol=0)


def test_gradients():
    """Linear, so that finite differences with large steps are exact enough in float32."""
    rgb = torch.rand(1, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert gradcheck(normalized, rgb)
    assert gradcheck(lambda rgb: clip_pixels(rgb, 4).double(), rgb, eps=0.5, atol=1e-4, rtol=1e-3)
