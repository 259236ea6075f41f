"""Stable Diffusion as a prior: from files and folders, to the number what diffusers' own pipelines compute."""

import pytest
import torch

from distill3d.nodes import comfy
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.priors.stable_diffusion import StableDiffusion, StableDiffusionPriorNode

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

KINDS = ("sd1", "sd2", "xl")
CPU = torch.device("cpu")
PROMPTS = ["a red cube", "red, red"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from tiny_sd import write_file, write_folder, write_tokenizer

    root = tmp_path_factory.mktemp("models")
    write_tokenizer(root / "tokenizer")
    for kind in KINDS:
        write_file(root / f"{kind}.safetensors", kind)
        write_folder(root / kind, kind)
    return root


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder_prior(models, kind):
    return StableDiffusion(str(models / kind)).load(LoadedPriors(CPU))


@pytest.fixture(scope="module")
def pipeline(models, kind):
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    return (StableDiffusionXLPipeline if kind == "xl" else StableDiffusionPipeline).from_pretrained(models / kind)


def _noisy(prior, seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    z, noise = (torch.randn(batch, 4, prior.size, prior.size, generator=generator) for _ in range(2))
    t = torch.tensor([40, 760])[:batch]
    return z, noise, t, prior.add_noise(z, noise, t)


def _is_close(ours, theirs, tolerance=1e-5):
    return theirs.std() > 1e-3 and (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_texts_are_those_of_the_pipeline(folder_prior, pipeline, kind):
    found = folder_prior.encode_prompts(PROMPTS)
    if kind == "xl":
        embedding, _, pooled, _ = pipeline.encode_prompt(PROMPTS, device=CPU, do_classifier_free_guidance=False)
        assert _is_close(found.pooled, pooled)
    else:
        embedding, _ = pipeline.encode_prompt(PROMPTS, CPU, 1, False)
    assert _is_close(found.embedding, embedding)


def test_denoises_as_the_pipeline_s_network_and_scheduler(folder_prior, pipeline, kind):
    """z0 of diffusers' UNet and its scheduler's own step, both halves of guidance one by one."""
    z, noise, t, z_t = _noisy(folder_prior)
    assert _is_close(z_t, pipeline.scheduler.add_noise(z, noise, t), 1e-6)
    conditions = [folder_prior.encode_prompts(["", ""]), folder_prior.encode_prompts(PROMPTS)]
    ours = folder_prior.denoise(z_t, t, conditions, None)
    pipeline.scheduler.set_timesteps(1000)
    for half, condition in enumerate(conditions):
        for i in range(2):
            more = {}
            if kind == "xl":
                side = float(folder_prior.pixels)
                ids = torch.tensor([[side, side, 0, 0, side, side]])
                more = {"added_cond_kwargs": {"text_embeds": condition.pooled[i:i + 1], "time_ids": ids}}
            with torch.no_grad():
                predicted = pipeline.unet(z_t[i:i + 1], t[i], condition.embedding[i:i + 1], **more).sample
            expected = pipeline.scheduler.step(predicted, t[i], z_t[i:i + 1]).pred_original_sample
            assert _is_close(ours[half][i], expected[0])


def test_a_single_file_equals_its_folder(models, kind, folder_prior):
    file_prior = StableDiffusion(str(models / f"{kind}.safetensors"), str(models / "tokenizer"),
                                 resolution=8 * folder_prior.size if kind != "xl" else 8 * 16,
                                 prediction="epsilon").load(LoadedPriors(CPU))
    assert file_prior.size == folder_prior.size
    z, noise, t, z_t = _noisy(folder_prior)
    results = []
    for prior in (folder_prior, file_prior):
        texts = prior.encode_prompts(PROMPTS)
        z0, = prior.denoise(z_t, t, [texts], None)
        picture = torch.rand(1, 40, 40, 3, generator=torch.Generator().manual_seed(3))
        results.append((texts.embedding, z0, prior.encode_image(picture).clean, prior.decode_image(z[:1]),
                        prior.sigma(t)))
    for ours, theirs in zip(*results):
        assert _is_close(ours, theirs)


def test_pictures_are_encoded_as_by_the_pipeline(folder_prior, pipeline):
    generator = torch.Generator().manual_seed(5)
    picture = torch.rand(2, folder_prior.pixels, folder_prior.pixels, 3, generator=generator)
    latents = folder_prior.encode_image(picture).clean
    with torch.no_grad():
        expected = pipeline.vae.encode(picture.permute(0, 3, 1,
                                                       2) * 2 - 1).latent_dist.mean * pipeline.vae.config.scaling_factor
        back = pipeline.vae.decode(expected / pipeline.vae.config.scaling_factor).sample
    assert latents.shape == (2, 4, folder_prior.size, folder_prior.size) and _is_close(latents, expected)
    assert _is_close(folder_prior.decode_image(latents), (back.permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1), 2e-5)


def test_encoding_has_a_gradient_and_it_is_right(models):
    """A directional derivative against differences, in float64, through the resize, the encoder and the checkpoint."""
    prior = StableDiffusion(str(models / "sd1")).load(LoadedPriors(CPU))
    prior.vae.double()
    prior._encode = lambda picture: prior.vae.encode(picture).latent_dist.mode() * prior.vae.config.scaling_factor
    generator = torch.Generator().manual_seed(7)
    picture, direction = (torch.rand(1, 24, 24, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    weights = torch.randn(1, 4, prior.size, prior.size, generator=generator, dtype=torch.float64)

    def value(image):
        return (prior.encode_image(image).clean * weights).sum()

    gradient, = torch.autograd.grad(value(picture.requires_grad_()), picture)
    step = 1e-5
    with torch.no_grad():
        slope = (value(picture + step * direction) - value(picture - step * direction)) / (2 * step)
    assert torch.isclose((gradient * direction).sum(), slope, rtol=1e-6)


def test_latents_pass_as_they_are(folder_prior):
    latents = torch.randn(1, folder_prior.size, folder_prior.size, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(folder_prior.encode_image(latents).clean, latents.permute(0, 3, 1, 2))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_residual_is_the_error_of_the_noise(models, prediction):
    """(z - z0) / sigma = eps_hat - noise, with eps_hat = sqrt(abar) v + sqrt(1 - abar) z_t for v models."""
    prior = StableDiffusion(str(models / "sd2"), prediction=prediction).load(LoadedPriors(CPU))
    z, noise, t, z_t = _noisy(prior)
    text = prior.encode_prompts(PROMPTS)
    z0, = prior.denoise(z_t, t, [text], None)
    with torch.no_grad():
        predicted = prior.unet(z_t, t, text.embedding).sample
    abar = prior.denoiser.noise.abar[t].view(-1, 1, 1, 1)
    eps = abar.sqrt() * predicted + (1 - abar).sqrt() * z_t if prediction == "v_prediction" else predicted
    residual = (z - z0) / prior.sigma(t).view(-1, 1, 1, 1)
    assert _is_close(residual, eps - noise, 1e-5)


def test_the_folder_says_what_is_predicted(tmp_path):
    from tiny_sd import write_folder

    prior = StableDiffusion(str(write_folder(tmp_path / "v", "sd2", "v_prediction"))).load(LoadedPriors(CPU))
    assert prior.model.prediction == "v_prediction"


def test_half_precision_stays_finite_and_close(models):
    full = StableDiffusion(str(models / "sd1")).load(LoadedPriors(CPU))
    half = StableDiffusion(str(models / "sd1"), precision="bfloat16").load(LoadedPriors(CPU))
    z, noise, t, z_t = _noisy(full)
    a, b = (prior.denoise(z_t, t, [prior.encode_prompts(PROMPTS)], None)[0] for prior in (full, half))
    assert half.unet.dtype == torch.bfloat16 and b.dtype == torch.float32
    assert (a - b).norm() < 0.05 * a.norm()


def test_float16_resolves_the_difference_of_two_conditions(models):
    """Guidance takes it a hundred times, so that its error is what counts."""
    differences = {}
    for precision in ("float32", "float16", "bfloat16"):
        prior = StableDiffusion(str(models / "sd1"), precision=precision).load(LoadedPriors(CPU))
        z, noise, t, z_t = _noisy(prior)
        conditions = [prior.encode_prompts([text] * 2) for text in ("a red cube", "a red cub")]
        one, two = prior.denoise(z_t, t, conditions, None)
        differences[precision] = one - two
    exact = differences.pop("float32")
    error = {name: float((found - exact).norm() / exact.norm()) for name, found in differences.items()}
    print(error)
    assert error["float16"] < 0.3 * error["bfloat16"]


def test_a_tiny_autoencoder_takes_the_place_of_the_own_one(models, tmp_path):
    from diffusers import AutoencoderTiny

    tiny = AutoencoderTiny(encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
                           num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 1))
    tiny.save_pretrained(tmp_path / "taesd")
    prior = StableDiffusion(str(models / "sd1"), vae=str(tmp_path / "taesd")).load(LoadedPriors(CPU))
    picture = torch.rand(1, prior.pixels, prior.pixels, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = tiny.eval().encode(picture.permute(0, 3, 1, 2) * 2 - 1).latents
    assert _is_close(prior.encode_image(picture).clean, expected)
    assert prior.decode_image(expected).shape == picture.shape


class _Host(comfy.Host):
    def __init__(self, root):
        super().__init__(root / "output")
        self.root = root

    def model_folders(self, kind):
        return [self.root / kind]


@pytest.fixture
def host(tmp_path):
    host = _Host(tmp_path)
    comfy.set_host(host)
    yield host
    comfy.set_host(None)


def test_the_node_finds_files_and_folders(host, models, tmp_path):
    (tmp_path / "checkpoints").symlink_to(models)
    (tmp_path / "diffusers").symlink_to(models)
    schema = StableDiffusionPriorNode.define_schema()
    assert {"sd1.safetensors", "sd1"} <= set(schema.inputs[0].options["options"])
    recipe, = StableDiffusionPriorNode.execute("sd1.safetensors", tokenizer="").args
    with pytest.raises(DistillError, match="a single file holds no tokenizer"):
        recipe.load(LoadedPriors(CPU))
    (tmp_path / "text_encoders").mkdir()
    (tmp_path / "text_encoders" / "clip_tokenizer").symlink_to(models / "tokenizer")
    assert recipe.load(LoadedPriors(CPU)).size == 64
    with pytest.raises(DistillError, match='there is no "other.safetensors" below'):
        StableDiffusionPriorNode.execute("other.safetensors")
    with pytest.raises(DistillError, match="there is no"):
        StableDiffusionPriorNode.execute("../secret.safetensors")


def test_a_missing_model_is_named_before_anything_runs(host, models, tmp_path):
    """The host asks before it runs, and leaves out its own check of the list where a node has this method."""
    (tmp_path / "checkpoints").symlink_to(models)
    assert StableDiffusionPriorNode.validate_inputs("sd1.safetensors") is True
    answer = StableDiffusionPriorNode.validate_inputs("v1-5-pruned-emaonly.safetensors")
    assert "there is no" in answer and 'the models folder "checkpoints"' in answer


def test_models_may_be_links_but_names_may_not_climb(host, models, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "linked.safetensors").symlink_to(models / "sd1.safetensors")
    (tmp_path / "secret.safetensors").write_bytes(b"")
    prior, = StableDiffusionPriorNode.execute("linked.safetensors").args
    assert prior.path.endswith("checkpoints/linked.safetensors")
    for name in ("../secret.safetensors", str(tmp_path / "secret.safetensors"), "."):
        with pytest.raises(DistillError, match="there is no"):
            StableDiffusionPriorNode.execute(name)


def test_files_of_version_2_are_guessed_and_said(host, models, tmp_path):
    recipe = StableDiffusion(str(models / "sd2.safetensors"), str(models / "tokenizer"))
    assert recipe.load(LoadedPriors(CPU)).model.prediction in ("epsilon", "v_prediction")
    assert "does not state its prediction" in host.warnings[0]


def test_models_of_another_kind_are_refused(models, tmp_path):
    from safetensors.torch import save_file

    from tiny_sd import write_file

    tokenizer = str(models / "tokenizer")
    with pytest.raises(DistillError, match="made for inpainting"):
        StableDiffusion(str(write_file(tmp_path / "inpaint.ckpt", "sd1", inputs=9)), tokenizer).load(LoadedPriors(CPU))
    save_file({"lora.up": torch.zeros(2)}, tmp_path / "lora.safetensors")
    with pytest.raises(DistillError, match="not a Stable Diffusion checkpoint"):
        StableDiffusion(str(tmp_path / "lora.safetensors"), tokenizer).load(LoadedPriors(CPU))
    with pytest.raises(DistillError, match="not a multiple of 8"):
        StableDiffusion(str(models / "sd1"), resolution=100).load(LoadedPriors(CPU))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DistillError, match="cannot be read"):
        StableDiffusion(str(tmp_path / "empty")).load(LoadedPriors(CPU))


def _latents(path, models, **options):
    prior = StableDiffusion(str(path), tokenizer=str(models / "tokenizer"), **options).load(LoadedPriors(CPU))
    return prior, prior.encode_image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))).clean


@pytest.mark.parametrize("names", ["LDM", "diffusers", "old diffusers", "whole checkpoint"])
@pytest.mark.parametrize("base", ["file", "folder"])
def test_a_separate_autoencoder_has_the_model_s_own_latent_scale(models, tmp_path, names, base):
    from safetensors.torch import load_file, save_file

    state = load_file(models / "xl.safetensors")
    vae = {key: value for key, value in state.items() if key.startswith("first_stage_model.")}
    if names == "LDM":
        vae = {key.removeprefix("first_stage_model."): value for key, value in vae.items()}
    elif names.endswith("diffusers"):
        vae = load_file(models / "xl" / "vae" / "diffusion_pytorch_model.safetensors")
        if names.startswith("old"):
            for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
                vae = {key.replace(new, old): value for key, value in vae.items()}
    save_file(vae, tmp_path / "vae.safetensors")
    path = models / "xl.safetensors" if base == "file" else models / "xl"
    _, own = _latents(path, models)
    _, other = _latents(path, models, vae=str(tmp_path / "vae.safetensors"))
    torch.testing.assert_close(other, own)


@pytest.mark.parametrize("marks", [("v_pred",), ("v_pred", "ztsnr")])
def test_an_xl_file_says_that_it_predicts_v(models, tmp_path, marks):
    from safetensors.torch import load_file, save_file

    state = load_file(models / "xl.safetensors") | {mark: torch.zeros(0) for mark in marks}
    save_file(state, tmp_path / "v.safetensors")
    prior, _ = _latents(tmp_path / "v.safetensors", models)
    assert prior.model.prediction == "v_prediction"
    last = float(prior.sigma(torch.tensor([999])))
    assert last == pytest.approx(4096, rel=1e-3) if "ztsnr" in marks else last == pytest.approx(14.6, rel=0.01)
    save_file(state | {"edm_mean": torch.zeros(4)}, tmp_path / "edm.safetensors")
    with pytest.raises(DistillError, match="noise of EDM"):
        _latents(tmp_path / "edm.safetensors", models)


def test_a_file_all_in_float8(models, tmp_path):
    from safetensors.torch import load_file, save_file

    state = {key: value.to(torch.float8_e4m3fn) for key, value in load_file(models / "sd1.safetensors").items()}
    save_file(state, tmp_path / "small.safetensors")
    prior, latents = _latents(tmp_path / "small.safetensors", models)
    assert latents.isfinite().all() and prior.encode_prompts(PROMPTS).embedding.isfinite().all()


def test_a_lora_changes_the_network_of_a_file(models, tmp_path):
    from safetensors.torch import save_file

    place = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    plain, _ = _latents(models / "sd1.safetensors", models)
    weight = plain.network.get_submodule(place).weight
    down, up = torch.ones(1, weight.shape[1]), torch.ones(weight.shape[0], 1)
    save_file({f"unet.{place}.lora_A.weight": down, f"unet.{place}.lora_B.weight": up}, tmp_path / "lora.safetensors")
    changed, _ = _latents(models / "sd1.safetensors", models, lora=str(tmp_path / "lora.safetensors"),
                          lora_strength=0.25)
    torch.testing.assert_close(changed.network.get_submodule(place).weight, weight + 0.25)


def test_view_words_survive_a_long_prompt(folder_prior):
    long = "red " * 100
    front, back = (folder_prior.encode_prompts([f"{long}, {view} view"]) for view in ("front", "back"))
    assert front.embedding.shape[1] == 2 * 77 and not torch.equal(front.embedding, back.embedding)


def test_long_and_short_prompts_are_denoised_together_as_alone(folder_prior):
    z, noise, t, z_t = _noisy(folder_prior)
    long, short = (folder_prior.encode_prompts([text] * 2) for text in ("red " * 100, ""))
    together = folder_prior.denoise(z_t, t, [long, short], None)
    for found, condition in zip(together, (long, short)):
        assert _is_close(found, folder_prior.denoise(z_t, t, [condition], None)[0])
    mixed = folder_prior.encode_prompts(["red " * 100, ""])
    assert _is_close(folder_prior.denoise(z_t, t, [mixed], None)[0], torch.stack([together[0][0], together[1][1]]))


def test_weights_scale_the_difference_from_the_empty_text(folder_prior):
    plain, nothing, twice, none = (folder_prior.encode_prompts([text]).embedding
                                   for text in ("red", "", "(red:2)", "(red:1)"))
    assert torch.equal(plain, none)
    place = 1  # of the word, behind the start
    torch.testing.assert_close(twice[:, place] - nothing[:, place], 2 * (plain[:, place] - nothing[:, place]))
    assert torch.equal(twice[:, 2:], plain[:, 2:])
