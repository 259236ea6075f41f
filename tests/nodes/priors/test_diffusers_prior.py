"""Text-to-image transformers as priors: to the number what the call of diffusers' own pipeline computes."""
import gc
import shutil
import weakref

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import Encoded, LoadedPriors
from distill3d.nodes.priors.diffusers_prior import DiffusersModel, DiffusersPriorNode
from distill3d.nodes.priors.lora_prior import LoRA
from distill3d.nodes.priors.sample_prior import sample

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tiny_families import KINDS, write  # noqa: E402

CPU = torch.device("cpu")
PROMPTS = ["a Red cube", "red, red"]
FLOWS = ("sd3", "flux", "flux-schnell")
RESOLUTION = 64


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {kind: write(root / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


def load(folder, **options):
    return DiffusersModel(str(folder), RESOLUTION, **options).load(LoadedPriors(CPU))


@pytest.fixture(scope="module")
def prior(folders, kind):
    return load(folders[kind], text_encoder="keep")


@pytest.fixture(scope="module")
def pipeline(folders, kind):
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(folders[kind])


def _is_close(ours, theirs, tolerance=1e-5):
    return theirs.std() > 1e-3 and (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def _noised(prior, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z, noise = (torch.randn(2, prior.channels, prior.size, prior.size, generator=generator) for _ in range(2))
    t = torch.tensor([250, 760])
    return z, noise, t, prior.add_noise(z, noise, t)


def _encode_prompt(pipeline, kind, texts):
    with torch.no_grad():
        if kind == "sd3":
            embedding, _, pooled, _ = pipeline.encode_prompt(texts, texts, texts, device=CPU,
                                                             do_classifier_free_guidance=False)
            return embedding, pooled, None
        if kind.startswith("flux"):
            embedding, pooled, _ = pipeline.encode_prompt(texts, texts, device=CPU)
            return embedding, pooled, None
        embedding, mask, _, _ = pipeline.encode_prompt(texts, do_classifier_free_guidance=False, device=CPU)
        return embedding, None, mask


def test_texts_are_those_of_the_pipeline(prior, pipeline, kind):
    found = prior.encode_prompts(PROMPTS)
    for ours, theirs in zip(found.parts, _encode_prompt(pipeline, kind, PROMPTS), strict=True):
        assert (ours is None) == (theirs is None)
        assert theirs is None or _is_close(ours, theirs.float())
    is_cased = kind in FLOWS
    small = prior.encode_prompts(["a red cube"])
    assert torch.equal(found.embedding[:1], small.embedding) != is_cased


def _recorded(pipeline, kind, monkeypatch):
    """The arguments and results of the transformer in the pipeline's own loop: [(positional, named, prediction)]."""
    calls, forward = [], pipeline.transformer.forward

    def record(*args, **named):
        out = forward(*args, **named)
        calls.append((args, named, out[0]))
        return out

    monkeypatch.setattr(pipeline.transformer, "forward", record)
    more = {"guidance_scale": 2.5} if kind.startswith("flux") else {"guidance_scale": 1.0}
    if kind.startswith("pixart"):
        more["use_resolution_binning"] = False
    pipeline.set_progress_bar_config(disable=True)
    pipeline(PROMPTS[0], height=RESOLUTION, width=RESOLUTION, num_inference_steps=3, output_type="latent",
             generator=torch.Generator().manual_seed(0), **more)
    return calls


def test_the_network_is_called_as_by_the_pipeline(folders, pipeline, kind, monkeypatch):
    """Noisy latents, timestep and text of the pipeline's own loop give its predictions."""
    from diffusers import FluxPipeline

    prior = load(folders[kind], guidance=2.5)
    for args, named, expected in _recorded(pipeline, kind, monkeypatch):
        z_t = args[0] if args else named["hidden_states"]
        time = named["timestep"].float()
        if kind.startswith("flux"):
            z_t, expected = (FluxPipeline._unpack_latents(x, RESOLUTION, RESOLUTION, 8) for x in (z_t, expected))
            time = time * 1000
        monkeypatch.setattr(prior.denoiser.noise, "time", lambda t: time)
        with torch.no_grad():
            found = prior.predict(z_t, torch.zeros(1, dtype=torch.long), prior.encode_prompts(PROMPTS[:1]))
        assert _is_close(found, expected[:, :prior.channels])


def test_z0_is_that_of_the_scheduler(prior, pipeline, kind):
    """Both halves of guidance: the pipeline's transformer, then its scheduler's formula."""
    z, noise, t, z_t = _noised(prior)
    conditions = [prior.encode_prompts(["", ""]), prior.encode_prompts(PROMPTS)]
    found = prior.denoise(z_t, t, conditions, None)
    for z0, condition in zip(found, conditions):
        with torch.no_grad():
            predicted = prior.predict(z_t, t, condition)
        if kind in FLOWS:
            s = prior.denoiser.noise.s[t].view(-1, 1, 1, 1)
            assert torch.allclose(z_t, (1 - s) * z + s * noise)
            expected = z_t - s * predicted
        else:
            abar = pipeline.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
            assert _is_close(z_t, abar.sqrt() * z + (1 - abar).sqrt() * noise, 1e-6)
            expected = (z_t - (1 - abar).sqrt() * predicted) / abar.sqrt()
        assert _is_close(z0, expected)


def test_noise_levels_are_the_scheduler_s(folders, kind):
    """Of flows: s at the pipeline's own timesteps, dynamic shift by the number of tokens included."""
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    if kind not in FLOWS:
        pytest.skip("variance-preserving: see test_z0_is_that_of_the_scheduler")
    prior = load(folders[kind])
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folders[kind] / "scheduler")
    more = {"mu": calculate_shift((prior.size // 2) ** 2)} if kind == "flux" else {}
    # The middles of the 1000 intervals, before the shift.
    scheduler.set_timesteps(sigmas=(torch.arange(999, -1, -1, dtype=torch.float64).add(0.5) / 1000).numpy(), **more)
    torch.testing.assert_close(prior.denoiser.noise.s.flip(0), scheduler.sigmas[:-1].float(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(prior.denoiser.noise.time(torch.arange(1000)).flip(0), scheduler.timesteps.float(),
                               atol=1e-3, rtol=1e-5)


def test_the_residual_is_the_error_of_the_noise(prior, kind):
    """(z - z0) / sigma = eps_hat - noise, and for flows (z - z0) (1 + sigma) / sigma = v_hat - (noise - z)."""
    z, noise, t, z_t = _noised(prior)
    condition = prior.encode_prompts(PROMPTS)
    z0, = prior.denoise(z_t, t, [condition], None)
    with torch.no_grad():
        predicted = prior.predict(z_t, t, condition)
    sigma = prior.sigma(t).view(-1, 1, 1, 1)
    residual = (z - z0) / sigma
    if kind in FLOWS:
        s = prior.denoiser.noise.s[t].view(-1, 1, 1, 1)
        assert _is_close(residual, z_t + (1 - s) * predicted - noise)
        assert _is_close(residual * (1 + sigma), predicted - (noise - z))
    else:
        assert _is_close(residual, predicted - noise)


def test_pictures_are_encoded_as_by_the_autoencoder(prior, pipeline):
    picture = torch.rand(2, prior.pixels, prior.pixels, 3, generator=torch.Generator().manual_seed(5))
    latents = prior.encode_image(picture).clean
    config = pipeline.vae.config
    shift = config.shift_factor or 0.0
    with torch.no_grad():
        expected = (pipeline.vae.encode(picture.permute(0, 3, 1, 2) * 2
                                        - 1).latent_dist.mean - shift) * config.scaling_factor
        back = pipeline.vae.decode(expected / config.scaling_factor + shift).sample
    assert latents.shape == (2, prior.channels, prior.size, prior.size) and _is_close(latents, expected)
    assert _is_close(prior.decode_image(latents), (back.permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1), 2e-5)
    picture.requires_grad_()
    prior.encode_image(picture).clean.square().sum().backward()
    assert picture.grad.abs().sum() > 0


def test_an_adapter_is_added_everywhere_and_learns(folders, kind):
    """Attention of pictures and of texts, and the camera; untrained it changes nothing, trained it lowers its error."""
    priors = LoadedPriors(CPU)
    recipe = DiffusersModel(str(folders[kind]), RESOLUTION)
    base, tuned = priors(recipe), priors(LoRA(recipe))
    z, noise, t, z_t = _noised(base)
    condition, cameras = base.encode_prompts(PROMPTS), turntable(2, 15.0, 2.0, 40.0, 8)
    before, = base.denoise(z_t, t, [condition], cameras)
    assert torch.equal(tuned.denoise(z_t, t, [condition], cameras)[0], before)
    attentions = [module for module in base.network.modules() if hasattr(module, "to_q")]
    projections = [part for each in attentions for part in each.modules() if isinstance(part, torch.nn.Linear)]
    assert len(tuned.adapter.layers) == len(projections) > 0
    optimizer = torch.optim.Adam(tuned.adapter.parameters(), 2e-2)
    errors = []
    for _ in range(20):
        error = tuned.error(Encoded(z), noise, t, condition, cameras)
        errors.append(error.item())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert errors[-1] < 0.9 * errors[0] and tuned.adapter.camera[-1].weight.grad.abs().sum() > 0
    assert torch.equal(base.denoise(z_t, t, [condition], cameras)[0], before)
    torch.testing.assert_close(tuned.denoise(z_t, t, [condition], cameras)[0], torch.cat(
        [tuned.denoise(z_t[i:i + 1], t[i:i + 1], [condition.take(torch.tensor([i]))],
                       cameras.take(torch.tensor([i])))[0]
         for i in range(2)]), atol=1e-5, rtol=1e-5)


def test_samples_pictures(prior):
    *_, last = sample(prior, ["a red cube"], steps=3, clamp=False)
    assert last.shape == (1, RESOLUTION, RESOLUTION, 3) and last.isfinite().all() and last.std() > 1e-3


def test_the_text_encoders_leave_before_the_transformer_comes(folders):
    prior = load(folders["sd3"])
    condition = prior.encode_prompts(["a red cube"])
    encoder = weakref.ref(prior.text._encoder)
    assert "_transformer" not in vars(prior) and encoder() is not None
    prior.denoise(*_noised(prior)[3:1:-1], [condition.take(torch.tensor([0, 0]))], None)
    gc.collect()
    assert encoder() is None and "_transformer" in vars(prior)
    assert prior.encode_prompts(["a red cube"]).embedding.equal(condition.embedding) and prior.text.loads == 1


def test_stable_diffusion_3_without_t5(folders, tmp_path):
    """Its pipeline then takes zeros for T5's tokens."""
    from diffusers import StableDiffusion3Pipeline

    folder = shutil.copytree(folders["sd3"], tmp_path / "sd3")
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(folder / part)
    pipeline = StableDiffusion3Pipeline.from_pretrained(folders["sd3"], text_encoder_3=None, tokenizer_3=None)
    found = load(folder).encode_prompts(PROMPTS)
    for ours, theirs in zip(found.parts, _encode_prompt(pipeline, "sd3", PROMPTS)):
        assert theirs is None or _is_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_inside(folders, kind, dtype):
    prior = load(folders[kind], precision=str(dtype).split(".")[1])
    z, noise, t, z_t = _noised(prior)
    z0, = prior.denoise(z_t, t, [prior.encode_prompts(PROMPTS)], None)
    assert prior.network.dtype == dtype and z0.dtype == torch.float32 and z0.isfinite().all()
    whole = load(folders[kind])
    expected, = whole.denoise(z_t, t, [whole.encode_prompts(PROMPTS)], None)
    assert (z0 - expected).abs().mean() < 0.1 * expected.abs().mean()
    assert prior.encode_image(torch.rand(1, 20, 20, 3)).clean.dtype == torch.float32


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "output")
    set_host(host)
    yield host
    set_host(None)


def test_node(folders, host):
    shutil.copytree(folders["flux"], host.output_directory / "flux")
    recipe, = DiffusersPriorNode.execute("flux", resolution=RESOLUTION).args
    assert recipe == DiffusersModel(str(host.output_directory / "flux"), RESOLUTION)
    assert recipe.load(LoadedPriors(CPU)).size == RESOLUTION // 8
    with pytest.raises(DistillError, match="resolution 40 is not a multiple of 16"):
        DiffusersPriorNode.execute("flux", resolution=40).args[0].load(LoadedPriors(CPU))


def test_other_folders_are_read_by_their_own_prior(tmp_path, tiny_if):
    from distill3d.nodes.priors.deepfloyd_if import IFPrior
    from distill3d.nodes.priors.latent_prior import LatentPrior
    from tiny_sd import write_folder

    priors = LoadedPriors(CPU)
    assert type(priors(DiffusersModel(str(write_folder(tmp_path / "sd", "sd1"))))) is LatentPrior
    assert type(priors(DiffusersModel(str(tiny_if)))) is IFPrior
    (tmp_path / "sd" / "model_index.json").write_text('{"_class_name": "KolorsPipeline"}')
    with pytest.raises(DistillError, match="names a KolorsPipeline. Known are .*FluxPipeline"):
        DiffusersModel(str(tmp_path / "sd")).load(priors)
    with pytest.raises(DistillError, match="model_index.json"):
        DiffusersModel(str(tmp_path)).load(priors)
