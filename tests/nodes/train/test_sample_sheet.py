import pytest
import torch

from distill3d.nodes.train.if_layout import build_text_encoder, build_tokenizer, build_unet
from distill3d.nodes.train.sample_sheet import contact_sheet, sample_prior


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    return build_unet((16, 16, 32), 8).eval(), build_text_encoder().eval(), build_tokenizer()


def test_samples_follow_seed_and_prompt(prior):
    prompts = ["a red cube", "a blue sphere"]
    images = sample_prior(*prior, prompts, steps=3)
    assert images.shape == (2, 8, 8, 3)
    assert 0 <= float(images.min()) and float(images.max()) <= 1
    assert torch.equal(images, sample_prior(*prior, prompts, steps=3))
    assert not torch.equal(images, sample_prior(*prior, prompts, steps=3, seed=1))
    other = sample_prior(*prior, ["a red cube", "a green torus"], steps=3)
    assert not torch.equal(images[1], other[1])


def test_a_perfect_model_samples_its_image(prior):
    """With the exact noise of a single image as prediction, sampling returns that image."""
    from types import SimpleNamespace

    from distill3d.nodes.train.sample_sheet import noise_schedule

    target = torch.linspace(-0.9, 0.9, 3 * 64).view(1, 3, 8, 8)
    alphas = noise_schedule().alphas_cumprod

    class Oracle(torch.nn.Module):
        config, device = SimpleNamespace(sample_size=8), torch.device("cpu")

        def forward(self, x, t, hidden):
            return SimpleNamespace(sample=(x - alphas[t].sqrt() * target) / (1 - alphas[t]).sqrt())

    image = sample_prior(Oracle(), *prior[1:], ["a red cube"], steps=20)
    torch.testing.assert_close(image, (target * 0.5 + 0.5).permute(0, 2, 3, 1), atol=1e-3, rtol=0)


def test_contact_sheet_places_and_pads():
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 2, 2, 3) / 4
    sheet = contact_sheet(images, columns=2, zoom=2)
    assert sheet.shape == (8, 8, 3)
    assert sheet[0, 0, 0] == 0 and sheet[0, 7, 0] == 0.25 and sheet[7, 0, 0] == 0.5 and sheet[7, 7, 0] == 1
