from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import Conv2d

from distill3d.nodes.comfy.model import HostModel, check_pair, private_copy
from distill3d.nodes.core.errors import DistillError

CPU = torch.device("cpu")


class Noise:
    """Sampling of a model of 1000 timesteps."""

    num_timesteps = 1000
    sigmas = torch.linspace(0.03, 14.0, 1000)

    def noise_scaling(self, sigma, noise, latent_image):
        noise *= sigma
        noise += latent_image
        return noise


class Flow:
    sigmas = torch.linspace(0.001, 1.0, 1000)

    def percent_to_sigma(self, percent):
        s = 1 - percent
        return 3 * s / (1 + 2 * s)

    def noise_scaling(self, sigma, noise, latent_image):
        return sigma * noise + (1 - sigma) * latent_image


def fake_model(sampling=None, channels=4, dimensions=2):
    parts = {"model_sampling": sampling,
             "latent_format": SimpleNamespace(latent_channels=channels, latent_dimensions=dimensions)}
    return SimpleNamespace(get_model_object=parts.__getitem__, model=SimpleNamespace())


def test_timesteps_of_a_discrete_model_are_its_own():
    sigmas, signal, noise = HostModel(fake_model(Noise())).noise_levels(1000)
    assert torch.equal(sigmas, Noise.sigmas) and torch.equal(noise, Noise.sigmas) and torch.equal(signal,
                                                                                                  torch.ones(1000))


def test_a_flow_is_cut_into_equal_parts_of_its_schedule():
    sigmas, signal, noise = HostModel(fake_model(Flow())).noise_levels(1000)
    s = (torch.arange(1000) + 0.5) / 1000
    assert torch.allclose(sigmas, 3 * s / (1 + 2
                                           * s)) and torch.equal(noise, sigmas) and torch.equal(signal, 1 - sigmas)
    assert signal.min() > 0 and noise.min() > 0


@pytest.mark.parametrize("model, vae, words", [
    ({}, {"latent_channels": 16}, "gives 16 latent channels and the MODEL .* takes 4"),
    ({"dimensions": 3}, {}, "single pictures"),
    ({}, {"latent_dim": 3}, "single pictures"),
    ({}, {"first_stage_model": None}, "the VAE is empty"),
])
def test_a_vae_of_another_model_is_refused(model, vae, words):
    vae = SimpleNamespace(**{"first_stage_model": nn.Identity(), "latent_dim": 2, "latent_channels": 4, **vae})
    with pytest.raises(DistillError, match=f"^Prior: .*{words}"):
        check_pair(fake_model(**model), vae, "Prior")


def test_a_fitting_vae_is_taken():
    check_pair(fake_model(), SimpleNamespace(first_stage_model=nn.Identity(), latent_dim=2, latent_channels=4), "Prior")


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(Conv2d(3, 4, 1), Conv2d(4, 4, 1))
        self.encoder[1] = self.encoder.append(self.encoder[1])[1]
        self.decoder = Conv2d(4, 3, 1)
        self.register_buffer("count", torch.tensor([3]))
        self.streams = object()

    def encode(self, x):
        return self.encoder(x)


def test_a_private_copy_has_its_own_weights_and_lets_gradients_through():
    with torch.inference_mode():
        module = Autoencoder()
        module.encoder[0].comfy_cast_weights, module.encoder[0].weight_function = True, [abs]
    new = private_copy(module, CPU, torch.float64)
    assert not hasattr(new, "decoder") and hasattr(module, "decoder") and not new.training
    assert new.encoder[1] is new.encoder[2]  # shared in the original
    assert new.encoder[0].weight.dtype == torch.float64 and new.count.dtype == torch.int64
    assert new.encoder[0].comfy_cast_weights is False and new.encoder[0].weight_function == []
    assert module.encoder[0].comfy_cast_weights is True and module.encoder[0].weight_function == [abs]
    assert not any(value.requires_grad or value.is_inference() for value in new.parameters())

    x = torch.rand(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    encoded = new.encode(x)
    encoded.square().sum().backward()
    assert x.grad.abs().min() > 0
    with torch.inference_mode():
        assert torch.allclose(module.encode(x.float()).double(), encoded, atol=1e-5)
        module.encoder[0].weight.zero_()
    assert torch.equal(new.encode(x), encoded)
