import torch
import pytest

from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF

PROMPTS = ["a red cube, az0 el15", "a blue sphere, back view"]
T = torch.tensor([620, 35])


@pytest.fixture(scope="module")
def prior(tiny_if):
    with torch.inference_mode():  # as in the host; nothing that stays may be an inference tensor
        return DeepFloydIF(str(tiny_if)).load(torch.device("cpu"))


@pytest.fixture
def z_t():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_facts_come_from_the_folder(prior):
    assert (prior.channels, prior.size, prior.views, prior.timesteps) == (3, 8, 1, 1000)
    assert not prior.unet.training and not any(p.requires_grad or p.is_inference() for p in prior.unet.parameters())
    assert next(prior.unet.parameters()).dtype == next(prior.text_encoder.parameters()).dtype == torch.float32
    assert not prior.abar.is_inference()


def test_denoises_as_diffusers_by_hand(prior, tiny_if, z_t):
    from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel

    pipeline = IFPipeline.from_pretrained(tiny_if, safety_checker=None, feature_extractor=None, watermarker=None)
    pipeline.text_encoder.float()
    unet = UNet2DConditionModel.from_pretrained(tiny_if / "unet").float().eval()
    abar = DDPMScheduler.from_pretrained(tiny_if / "scheduler").alphas_cumprod[T].view(2, 1, 1, 1)
    with torch.no_grad():
        text = torch.cat([pipeline.encode_prompt(prompt, do_classifier_free_guidance=False, clean_caption=False)[0]
                          for prompt in PROMPTS]).float()
        output = unet(z_t, T, text).sample
        expected = (z_t - (1 - abar).sqrt() * output[:, :3]) / abar.sqrt()
    assert output.shape[1] == 6 and output[:, 3:].std() > 0.1
    condition = prior.encode_prompts(PROMPTS)
    torch.testing.assert_close(condition.embedding, text, atol=1e-5, rtol=1e-5)
    found, = prior.denoise(z_t, T, [condition], None)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prior.sigma(T), ((1 - abar) / abar).sqrt().flatten())
    noise = z_t.flip(0)
    torch.testing.assert_close(prior.add_noise(z_t, noise, T), DDPMScheduler.from_pretrained(tiny_if / "scheduler")
                               .add_noise(z_t, noise, T))


def test_conditions_in_one_batch_equal_one_by_one(prior, z_t):
    conditions = [prior.encode_prompts(["", "a red cube"]), prior.encode_prompts(PROMPTS)]
    together = prior.denoise(z_t, T, conditions, None)
    for condition, found in zip(conditions, together):
        torch.testing.assert_close(found, prior.denoise(z_t, T, [condition], None)[0], atol=1e-5, rtol=1e-5)
    assert (together[0] - together[1]).abs().amax((1, 2, 3)).min() > 1e-3
    # Each row has its own timestep and text.
    swapped = prior.denoise(z_t.flip(0), T.flip(0), [conditions[1].take(torch.tensor([1, 0]))], None)[0].flip(0)
    torch.testing.assert_close(swapped, together[1], atol=1e-5, rtol=1e-5)


def test_noise_is_taken_back_exactly_by_the_right_answer(prior, z_t, monkeypatch):
    noise = z_t.flip(0)
    noisy = prior.add_noise(z_t, noise, T)
    unet = type("Oracle", (), {"__call__": lambda self, x, t, text: type("Output", (), {"sample": torch.cat([noise, x], 1)})})
    monkeypatch.setattr(prior, "unet", unet())
    z0, = prior.denoise(noisy, T, [prior.encode_prompts(PROMPTS)], None)
    torch.testing.assert_close(z0, z_t, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [8, 12, 5])
def test_pictures_are_resized_and_mapped_to_plus_minus_one(prior, size):
    assert bool((prior.encode_image(torch.zeros(1, size, size, 3)) == -1).all())
    torch.testing.assert_close(prior.encode_image(torch.ones(1, size, size, 3)), torch.ones(1, 3, 8, 8))
    ramp = torch.linspace(0, 1, size).view(1, 1, size, 1).expand(1, size, size, 3)
    z = prior.encode_image(ramp)
    assert z.shape == (1, 3, 8, 8) and bool((z.diff(dim=3) > 0).all()) and bool(z.diff(dim=2).abs().max() < 1e-6)
    picture = torch.rand(1, size, size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(prior.encode_image, picture, fast_mode=True)


def test_native_pictures_survive_encoding_and_decoding(prior):
    picture = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior.decode_image(prior.encode_image(picture)), picture)
    assert bool((prior.decode_image(torch.full((1, 3, 8, 8), 3.0)) == 1).all())


def test_equal_recipes_are_loaded_once(tiny_if):
    priors = LoadedPriors(torch.device("cpu"))
    assert priors(DeepFloydIF(str(tiny_if))) is priors(DeepFloydIF(str(tiny_if)))


def test_loading_is_silent_and_leaves_settings_alone(tiny_if, capfd):
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in (diffusers_logging, transformers_logging)]
    DeepFloydIF(str(tiny_if)).load(torch.device("cpu"))
    assert capfd.readouterr() == ("", "")
    assert before == [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in (diffusers_logging, transformers_logging)]
