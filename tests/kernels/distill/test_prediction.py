import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.distill.prediction import PREDICTIONS, clean_image, error_scale

SIGMA = torch.tensor([0.1, 1.0, 7.0], dtype=torch.float64)


def scaled(prediction):
    """Signal a and noise b at SIGMA: a + b = 1 for flows, a^2 + b^2 = 1 otherwise."""
    a = 1 / (1 + SIGMA) if prediction == "flow" else 1 / (1 + SIGMA.square()).sqrt()
    return a.view(-1, 1, 1, 1), (a * SIGMA).view(-1, 1, 1, 1)


def predicted(z, noise, a, b, prediction):
    return {"epsilon": noise, "v_prediction": a * noise - b * z, "flow": noise - z, "x0": z}[prediction]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_network_gives_the_clean_image(prediction):
    z, noise = torch.randn(2, 3, 4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = scaled(prediction)
    found = clean_image(a * z + b * noise, a, b, predicted(z, noise, a, b, prediction), prediction)
    torch.testing.assert_close(found, z, atol=1e-12, rtol=0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_an_error_of_the_prediction_is_scaled(prediction):
    z, noise, wrong = torch.randn(3, 3, 4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    a, b = scaled(prediction)
    p = predicted(z, noise, a, b, prediction)
    off = clean_image(a * z + b * noise, a, b, p + wrong, prediction) - z
    torch.testing.assert_close(error_scale(SIGMA, prediction).view(-1, 1, 1, 1) * off.abs(), wrong.abs(), atol=1e-10,
                               rtol=1e-10)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_gradients(prediction):
    z_t, p = torch.randn(2, 3, 2, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    a, b = scaled(prediction)
    leaves = [one.clone().requires_grad_() for one in (z_t, a, b, p)]
    assert gradcheck(lambda *given: clean_image(*given, prediction), leaves)


@pytest.mark.parametrize("run", [lambda: clean_image(*torch.zeros(4, 1, 1, 1, 1), "noise"),
                                 lambda: error_scale(SIGMA, "noise")])
def test_another_kind_is_refused(run):
    with pytest.raises(ValueError, match='one of epsilon.*got "noise"'):
        run()
