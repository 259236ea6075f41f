import numpy as np
import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.train import latents
from distill3d.nodes.train.denoising_trainer import PriorRecipe


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return np.repeat(np.repeat(rng.integers(0, 256, (8, 2, 2, 3), dtype=np.uint8), 4, 1), 4, 2)


def test_the_autoencoder_learns_and_its_latents_have_unit_deviation(images):
    torch.manual_seed(0)
    vae = latents.build_autoencoder()
    losses = []
    latents.train_autoencoder(vae, images, 60, 0, lambda step, steps, loss, what: losses.append(loss), batch=8)
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    x = latents.pixels(images, "cpu")
    z = latents.encode(vae, x)
    assert (z.shape == (8, 4, 4, 4) and float(z.std()) == pytest.approx(1.0, abs=0.1)
            and vae.config.scaling_factor == 1.0)
    wrong = (latents.decode(vae, z) - x).square().mean()
    assert wrong < 0.5 * x.var()  # folding the deviation into the weights did not part the two halves
    assert not any(parameter.requires_grad for parameter in vae.parameters())


def test_an_autoencoder_is_taken_from_a_folder(tmp_path, images):
    torch.manual_seed(1)
    first, second = latents.build_autoencoder(), latents.build_autoencoder()
    first.save_pretrained(tmp_path / "prior" / "vae")
    latents.get_autoencoder(second, images[:, None], PriorRecipe(autoencoder=str(tmp_path / "prior")))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
    with pytest.raises(DistillError, match="no autoencoder"):
        latents.get_autoencoder(second, images[:, None], PriorRecipe(autoencoder=str(tmp_path)))


def test_sampling_with_the_true_velocity_ends_at_the_picture():
    clean = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    abar = latents.noise_schedule().alphas_cumprod

    def predict(noisy, t):
        signal, noise = abar[t].sqrt().view(-1, 1, 1, 1), (1 - abar[t]).sqrt().view(-1, 1, 1, 1)
        velocity = (signal * noisy - clean) / noise
        return velocity, velocity + 7.0  # guidance 1 leaves the second one out

    assert torch.allclose(latents.sample(predict, (2, 4, 4, 4), "cpu", 1.0, steps=20), clean, atol=0.05)
