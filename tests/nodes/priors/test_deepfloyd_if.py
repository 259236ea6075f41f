import json
import shutil
import weakref
from types import SimpleNamespace

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import INTERPOLATED, VIEW_WORDINGS, Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.priors import deepfloyd_if
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF, DeepFloydIFPriorNode
from looks import look_at

PROMPTS = ["a red cube, az0 el15", "a blue sphere, back view"]
T = torch.tensor([620, 35])


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def folder(tiny_if, tmp_path_factory, request):
    """As DeepFloyd predicts, and as Train Prior's models do."""
    folder = shutil.copytree(tiny_if, tmp_path_factory.mktemp(request.param) / "model")
    path = folder / "scheduler/scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": request.param}))
    return folder


@pytest.fixture(scope="module")
def prior(folder):
    with torch.inference_mode():  # as in the host; nothing that stays may be an inference tensor
        return DeepFloydIF(str(folder)).load(LoadedPriors(torch.device("cpu")))


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "output")
    set_host(host)
    yield host
    set_host(None)


@pytest.fixture
def z_t():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_facts_come_from_the_folder(prior):
    assert (prior.channels, prior.size, prior.views, prior.timesteps) == (3, 8, 1, 1000)
    assert not prior.unet.training and not any(p.requires_grad or p.is_inference() for p in prior.unet.parameters())
    assert next(prior.unet.parameters()).dtype == prior.encode_prompts(["a"]).embedding.dtype == torch.float32
    assert not prior.denoiser.noise.abar.is_inference()


def test_denoises_as_diffusers_by_hand(prior, folder, z_t):
    from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel

    pipeline = IFPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None, watermarker=None)
    pipeline.text_encoder.float()
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").float().eval()
    abar = DDPMScheduler.from_pretrained(folder / "scheduler").alphas_cumprod[T].view(2, 1, 1, 1)
    with torch.no_grad():
        text = torch.cat([pipeline.encode_prompt(prompt, do_classifier_free_guidance=False, clean_caption=False)[0]
                          for prompt in PROMPTS]).float()
        output = unet(z_t, T, text).sample
        expected = {"epsilon": (z_t - (1 - abar).sqrt() * output[:, :3]) / abar.sqrt(),
                    "v_prediction": abar.sqrt() * z_t - (1 - abar).sqrt() * output[:, :3]}[prior.prediction]
    assert output.shape[1] == 6 and output[:, 3:].std() > 0.1
    condition = prior.encode_prompts(PROMPTS)
    torch.testing.assert_close(condition.embedding, text, atol=1e-5, rtol=1e-5)
    found, = prior.denoise(z_t, T, [condition], None)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prior.sigma(T), ((1 - abar) / abar).sqrt().flatten())
    noise = z_t.flip(0)
    torch.testing.assert_close(prior.add_noise(z_t, noise, T), DDPMScheduler.from_pretrained(folder / "scheduler")
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
    abar = prior.denoiser.noise.abar[T].view(-1, 1, 1, 1)
    answer = noise if prior.prediction == "epsilon" else abar.sqrt() * noise - (1 - abar).sqrt() * z_t
    monkeypatch.setattr(prior, "unet", lambda x, t, text: SimpleNamespace(sample=torch.cat([answer, x], 1)))
    z0, = prior.denoise(noisy, T, [prior.encode_prompts(PROMPTS)], None)
    torch.testing.assert_close(z0, z_t, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [8, 12, 5])
def test_pictures_are_resized_and_mapped_to_plus_minus_one(prior, size):
    assert bool((prior.encode_image(torch.zeros(1, size, size, 3)).clean == -1).all())
    torch.testing.assert_close(prior.encode_image(torch.ones(1, size, size, 3)).clean, torch.ones(1, 3, 8, 8))
    ramp = torch.linspace(0, 1, size).view(1, 1, size, 1).expand(1, size, size, 3)
    z = prior.encode_image(ramp).clean
    assert z.shape == (1, 3, 8, 8) and bool((z.diff(dim=3) > 0).all()) and bool(z.diff(dim=2).abs().max() < 1e-6)
    picture = torch.rand(1, size, size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0),
                         requires_grad=True)
    assert torch.autograd.gradcheck(lambda rgb: prior.encode_image(rgb).clean, picture, fast_mode=True)


def test_native_pictures_survive_encoding_and_decoding(prior):
    picture = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior.decode_image(prior.encode_image(picture).clean), picture)
    assert bool((prior.decode_image(torch.full((1, 3, 8, 8), 3.0)) == 1).all())


def test_equal_recipes_are_loaded_once(tiny_if):
    priors = LoadedPriors(torch.device("cpu"))
    assert priors(DeepFloydIF(str(tiny_if))) is priors(DeepFloydIF(str(tiny_if)))


def test_half_precision_stays_inside(folder, prior, z_t):
    """Networks compute in bfloat16; what goes in and comes out is float32, near to what float32 gives."""
    half = DeepFloydIF(str(folder), "bfloat16").load(LoadedPriors(torch.device("cpu")))
    condition = half.encode_prompts(PROMPTS)
    found, = half.denoise(z_t, T, [condition], None)
    assert next(half.unet.parameters()).dtype == torch.bfloat16
    assert found.dtype == condition.embedding.dtype == half.sigma(T).dtype == torch.float32
    expected, = prior.denoise(z_t, T, [prior.encode_prompts(PROMPTS)], None)
    noise = [half.add_noise(torch.zeros_like(z_t), z_t - z0, T) for z0 in (found, expected)]  # in units of noise
    scale = noise[1].abs().mean()
    assert 0 < (noise[0] - noise[1]).abs().mean() < 0.1 * scale


def test_only_one_network_is_in_memory_at_a_time(tiny_if, z_t):
    prior = DeepFloydIF(str(tiny_if)).load(LoadedPriors(torch.device("cpu")))
    condition = prior.encode_prompts(PROMPTS)
    encoder = weakref.ref(prior.text._encoder.network)
    assert "unet" not in vars(prior) and encoder() is not None
    seen = []
    prior.__dict__["unet"] = lambda x, t, text: seen.append(encoder()) or SimpleNamespace(sample=torch.cat([x, x], 1))
    prior.denoise(z_t, T, [condition], None)
    assert seen == [None]


def test_kept_encoders_stay(tiny_if, z_t):
    prior = DeepFloydIF(str(tiny_if), text_encoder="keep").load(LoadedPriors(torch.device("cpu")))
    network = prior.text.network
    prior.denoise(z_t, T, [prior.encode_prompts(PROMPTS)], None)
    assert prior.text.network is network
    passing = DeepFloydIF(str(tiny_if)).load(LoadedPriors(torch.device("cpu")))
    assert torch.equal(prior.encode_prompts(PROMPTS).embedding, passing.encode_prompts(PROMPTS).embedding)


def test_distillation_loads_the_encoder_once_for_all_views(tiny_if, host, monkeypatch):
    """Two losses and every view of the prompt: one load before the first step, none later."""
    loads = []
    real = deepfloyd_if.T5Text
    monkeypatch.setattr(deepfloyd_if, "T5Text", lambda *given: loads.append(given) or real(*given))
    recipe = DeepFloydIF(str(tiny_if))
    context = RunContext(torch.device("cpu"), 0, LoadedPriors(torch.device("cpu")))
    losses = [SDS(recipe, Prompt("a red cube", "ugly", views)).prepare(context)
              for views in (VIEW_WORDINGS[0], INTERPOLATED)]
    for step in range(3):
        for loss in losses:
            loss(look_at(Rendering(rgb=torch.rand(4, 8, 8, 3)), turntable(4, 25.0 * step, 3, 40, 8), step))
    assert len(loads) == 1 and not host.warnings


def test_loading_is_silent_and_leaves_settings_alone(tiny_if, capfd):
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in (diffusers_logging, transformers_logging)]
    loaded = DeepFloydIF(str(tiny_if)).load(LoadedPriors(torch.device("cpu")))
    loaded.denoise(torch.zeros(1, 3, 8, 8), torch.tensor([5]), [loaded.encode_prompts(["a red cube"])], None)
    assert capfd.readouterr() == ("", "")
    assert before == [(log.get_verbosity(), log.is_progress_bar_enabled())
                      for log in (diffusers_logging, transformers_logging)]


def test_node_makes_a_recipe_of_folders_below_output_and_models(tiny_if, host, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in (host.output_directory / "mine", tmp_path / "models/diffusers/IF-I-XL-v1.0"):
        shutil.copytree(tiny_if, place)
    recipe = DeepFloydIFPriorNode.execute("IF-I-XL-v1.0").args[0]
    assert recipe == DeepFloydIF(str((tmp_path / "models/diffusers/IF-I-XL-v1.0").resolve()))
    assert recipe.load(LoadedPriors(torch.device("cpu"))).size == 8
    recipe = DeepFloydIFPriorNode.execute("mine", "bfloat16", "keep").args[0]
    assert recipe == DeepFloydIF(str((host.output_directory / "mine").resolve()), "bfloat16", "keep")


@pytest.mark.parametrize("given", [("absent",), ("../elsewhere",), ("mine", "auto", "keep", "absent.safetensors")])
def test_node_refuses_other_places(tiny_if, host, given):
    shutil.copytree(tiny_if, host.output_directory / "mine")
    (host.output_directory.parent / "elsewhere").mkdir()
    with pytest.raises(DistillError, match="DeepFloyd IF Prior: there is no"):
        DeepFloydIFPriorNode.execute(*given)


def test_node_says_where_the_model_is_published(host):
    with pytest.raises(DistillError, match='huggingface.co/DeepFloyd/IF-I-XL-v1.0.*models folder "diffusers"'):
        DeepFloydIFPriorNode.execute("IF-I-XL-v1.0")
