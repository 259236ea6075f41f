"""Zero123 as a prior: from published formats, to the number what diffusers' classes and the published formulas give."""

import math

import pytest
import torch

from distill3d.nodes import comfy
from distill3d.nodes.cameras.join_pictures import JoinPicturesNode
from distill3d.nodes.cameras.reference_view import ReferenceViewNode
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import INTERPOLATED, Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.priors.reference_views import picture_poses, picture_weights, reference_views
from distill3d.nodes.priors.sample_prior import SamplePriorNode
from distill3d.nodes.priors.zero123 import Zero123, Zero123PriorNode
from looks import look_at

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tiny_zero123 import PIXELS, networks, predict_by_hand, write_checkpoint, write_folder  # noqa: E402

CPU = torch.device("cpu")
T = torch.tensor([40, 760])
ABAR = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2).cumprod(0)
AZIMUTH, ELEVATION, DISTANCE = (70.0, -100.0), (25.0, -10.0), 1.8


def pictures(count=1, size=PIXELS):
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(9))


@pytest.fixture(autouse=True)
def host(tmp_path):
    host = comfy.Host(tmp_path / "output")
    host.model_folders = lambda kind: [tmp_path / kind]
    comfy.set_host(host)
    yield host
    comfy.set_host(None)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "105000.ckpt")


def recipe(path, kind="Zero123", count=1, elevation="5", azimuth="20", **more):
    return Zero123(str(path), reference_views("test", pictures(count), None, elevation, azimuth, 1.5), kind, **more)


@pytest.fixture(scope="module")
def prior(checkpoint):
    with torch.inference_mode():  # as in the host; nothing that stays may be an inference tensor
        return recipe(checkpoint).load(LoadedPriors(CPU))


@pytest.fixture
def z_t():
    return torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def cameras():
    return orbit(torch.tensor(AZIMUTH).deg2rad(), torch.tensor(ELEVATION).deg2rad(), DISTANCE, 0.8, 64, 64)


def by_hand(z_t, is_led, kind="Zero123", elevation=5.0, azimuth=20.0, which=0, count=1):
    """z0 by the published formulas, one view at a time."""
    results = []
    for i in range(len(z_t)):
        turn = math.radians(AZIMUTH[i] - azimuth)
        fourth = DISTANCE - 1.5 if kind == "Zero123" else math.radians(90 - elevation)
        pose = torch.tensor([math.radians((90 - ELEVATION[i]) - (90 - elevation)), math.sin(turn), math.cos(turn),
                             fourth])
        picture = pictures(count)[which].permute(2, 0, 1) * 2 - 1
        noise = predict_by_hand(z_t[i], T[i], pose, picture, is_led)
        abar = ABAR[T[i]].float()
        results.append((z_t[i] - (1 - abar).sqrt() * noise) / abar.sqrt())
    return torch.stack(results)


def is_close(ours, theirs, tolerance=1e-5):
    return theirs.std() > 1e-3 and (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def ask(prior, z_t, cameras):
    return prior.denoise(z_t, T, [prior.encode_negatives(["", ""]), prior.encode_prompts(["", ""])], cameras)


def test_facts_come_from_the_file(prior):
    assert (prior.channels, prior.size, prior.pixels, prior.views, prior.timesteps) == (4, 32, PIXELS, 1, 1000)
    kept = [*prior.unet.parameters(), *prior.vae.parameters(), *prior.projection.parameters(), prior.latents,
            prior.embeddings]
    assert (not any(tensor.is_inference() or tensor.requires_grad for tensor in kept)
            and "vision" not in prior.model.extra)


@pytest.mark.parametrize("kind", ["Zero123", "Stable-Zero123"])
def test_denoises_as_the_formulas(checkpoint, prior, z_t, cameras, kind):
    """The average of the weights, the poses of both kinds, CLIP's own preprocessing, and both halves of guidance."""
    prior = prior if kind == "Zero123" else recipe(checkpoint, kind).load(LoadedPriors(CPU))
    unled, led = ask(prior, z_t, cameras)
    assert is_close(unled, by_hand(z_t, False)) and is_close(led, by_hand(z_t, True, kind))
    assert (led - unled).abs().amax((1, 2, 3)).min() > 1e-3


def test_poses_of_both_kinds(checkpoint, prior, cameras):
    stable = recipe(checkpoint, "Stable-Zero123").load(LoadedPriors(CPU))
    expected = torch.tensor([[math.radians(-20), math.sin(math.radians(50)), math.cos(math.radians(50)), 0.3],
                             [math.radians(15), -math.sin(math.radians(120)), math.cos(math.radians(120)), 0.3]])
    torch.testing.assert_close(prior.poses(cameras)[:, 0], expected, atol=1e-6, rtol=0)
    expected[:, 3] = math.radians(85)
    torch.testing.assert_close(stable.poses(cameras)[:, 0], expected, atol=1e-6, rtol=0)


def test_what_the_network_is_given(prior, z_t, cameras):
    """Unscaled latents of the picture beside the noised ones; zeros in both places where nothing leads."""
    seen = []
    hook = prior.unet.register_forward_pre_hook(lambda module, given: seen.append(given))
    try:
        ask(prior, z_t, cameras)
    finally:
        hook.remove()
    (x, t, token), = seen
    _, vae = networks()
    with torch.no_grad():
        mode = vae.encode(pictures().permute(0, 3, 1, 2) * 2 - 1).latent_dist.mode()
    assert x.shape == (4, 8, 32, 32) and token.shape == (4, 1, 24) and torch.equal(t, T.repeat(2))
    assert torch.equal(x[:, :4], z_t.repeat(2, 1, 1, 1))
    assert bool((x[:2, 4:] == 0).all()) and bool((token[:2] == 0).all()) and token[2:].abs().min() > 0
    assert is_close(x[2:, 4:], mode.expand(2, -1, -1, -1))
    # What is noised has the scaling factor.
    assert is_close(prior.encode_image(pictures()).clean, mode * 0.18215)
    # The projection has a bias: zeros before it would not be zeros after it.
    assert prior.projection.bias.abs().max() > 0.01


@pytest.mark.parametrize("projection, extension",
                         [("clip_camera_projection", ".safetensors"), ("cc_projection", ".bin")])
def test_folders_equal_the_file(tmp_path, prior, z_t, cameras, projection, extension):
    loaded = recipe(write_folder(tmp_path / "folder", projection, extension)).load(LoadedPriors(CPU))
    assert loaded.size == 32
    for ours, theirs in zip(ask(loaded, z_t, cameras), ask(prior, z_t, cameras)):
        assert is_close(ours, theirs)
    assert is_close(loaded.sigma(T), ((1 - ABAR) / ABAR).sqrt()[T].float())


def test_several_pictures_are_weighted(checkpoint, z_t, cameras):
    """The prediction is linear in what each picture says; a far picture is not computed at all."""
    prior = recipe(checkpoint, count=3, elevation="5, 0, 25", azimuth="20, -60, 70").load(LoadedPriors(CPU))
    weights = picture_weights(prior.references, cameras)
    assert torch.equal(weights[0], torch.tensor([0.0, 0.0, 1.0])) and bool((weights[1] > 0).sum() == 3)
    rows = []
    hook = prior.unet.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
    unled, led = ask(prior, z_t, cameras)
    hook.remove()
    assert rows == [2 + 1 + 3]
    each = [by_hand(z_t, True, elevation=elevation, azimuth=azimuth, which=which, count=3)
            for which, (elevation, azimuth) in enumerate([(5.0, 20.0), (0.0, -60.0), (25.0, 70.0)])]
    expected = sum(weight.view(-1, 1, 1, 1) * z0 for weight, z0 in zip(weights.T, each))
    assert is_close(led, expected) and is_close(unled, by_hand(z_t, False))


def test_conditions_are_computed_once(prior, z_t, cameras):
    """Perp-Neg asks for four; here they are two, and rows may mix them."""
    rows = []
    hook = prior.unet.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
    negative, positive = prior.encode_negatives(["", ""]), prior.encode_prompts(["a", "b"])
    mixed = positive.join([negative, positive]).take(torch.tensor([0, 2]))
    results = prior.denoise(z_t, T, [negative, positive, positive.lerp(positive, torch.tensor([0.2, 0.4])), positive],
                            cameras)
    hook.remove()
    assert rows == [4] and torch.equal(results[1], results[2])
    found, = prior.denoise(z_t, T, [mixed], cameras)
    assert is_close(found, torch.stack([results[0][0], results[1][1]]))
    with pytest.raises(DistillError, match="cannot be interpolated"):
        negative.lerp(positive, torch.tensor([0.5, 0.5]))


def _loss(prior, prompt, cameras, guidance=3.0):
    context = RunContext(CPU, 0, lambda recipe: prior)
    rgb = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(2)).requires_grad_()
    term = SDS(Zero123("", None), prompt, Schedule.of(guidance)).prepare(context)(look_at(Rendering(rgb=rgb), cameras))
    return torch.autograd.grad(term.value, rgb)[0]


def test_guidance_leads_away_from_nothing_whatever_the_prompt_says(prior, cameras):
    plain = _loss(prior, Prompt("", ""), cameras)
    assert plain.norm() > 0
    assert torch.equal(plain, _loss(prior, Prompt("a cube", "ugly"), cameras))
    assert is_close(_loss(prior, Prompt("a cube", "", INTERPOLATED), cameras), plain)
    assert not is_close(_loss(prior, Prompt("", ""), cameras, 1.0), plain, 1e-2)


def test_sample_prior_knows_where_it_looks_from(checkpoint, monkeypatch):
    seen = []
    monkeypatch.setattr("distill3d.nodes.priors.zero123.Zero123Prior.poses",
                        lambda self, cameras: seen.append(cameras) or picture_poses(self.references, cameras))
    images = SamplePriorNode.execute(recipe(checkpoint), Prompt(""), images=2, azimuth=170.0, azimuth_step=90.0,
                                     elevation=30.0, enlarge=1, steps=1, distance=1.5).args[0]
    assert images.shape == (2, PIXELS, PIXELS, 3)
    torch.testing.assert_close(seen[0].azimuth.rad2deg(), torch.tensor([170.0, -100.0]))
    torch.testing.assert_close(seen[0].elevation.rad2deg(), torch.tensor([30.0, 30.0]))
    assert seen[0].distance.tolist() == [1.5, 1.5]


def test_cameras_are_needed(prior, z_t):
    with pytest.raises(DistillError, match="there are no cameras for 2 views"):
        ask(prior, z_t, None)
    with pytest.raises(DistillError, match="1 cameras for 2 views"):
        ask(prior, z_t, orbit(0.0, 0.0, 1.5, 0.8, 8, 8))


def test_half_precision_stays_inside(checkpoint, prior, z_t, cameras):
    half = recipe(checkpoint, precision="bfloat16").load(LoadedPriors(CPU))
    assert half.unet.dtype == half.vae.dtype == torch.bfloat16 and half.latents.dtype == torch.float32
    assert is_close(half.latents, prior.latents) and is_close(half.embeddings, prior.embeddings)
    for ours, theirs in zip(ask(half, z_t, cameras), ask(prior, z_t, cameras)):
        assert ours.dtype == torch.float32 and 0 < (ours - theirs).norm() < 0.05 * theirs.norm()


@pytest.mark.parametrize("file, kind", [("105000.ckpt", "Zero123"), ("stable_zero123_c.ckpt", "Stable-Zero123")])
def test_the_kind_is_guessed_by_the_name_and_said(tmp_path, host, checkpoint, file, kind):
    path = tmp_path / "stable" / file
    path.parent.mkdir()
    path.symlink_to(checkpoint)
    assert recipe(path, "auto").load(LoadedPriors(CPU)).is_stable == (kind == "Stable-Zero123")
    assert f'"{file}" is assumed to be a {kind} model' in host.warnings[0]
    assert not recipe(path, "Zero123").load(LoadedPriors(CPU)).is_stable and len(host.warnings) == 1


def test_models_of_another_kind_are_refused(tmp_path):
    with pytest.raises(DistillError, match="takes 4 channels, not the 8 .*use the Stable Diffusion Prior"):
        recipe(write_checkpoint(tmp_path / "sd.ckpt", inputs=4)).load(LoadedPriors(CPU))
    with pytest.raises(DistillError, match="takes 9 channels, not the 8 .*Choose a Zero123 model"):
        recipe(write_checkpoint(tmp_path / "inpaint.ckpt", inputs=9)).load(LoadedPriors(CPU))
    with pytest.raises(DistillError, match='has no "cc_projection.weight"'):
        recipe(write_checkpoint(tmp_path / "a.ckpt", without=("cc_projection",))).load(LoadedPriors(CPU))
    with pytest.raises(DistillError, match="holds no CLIP image tower"):
        recipe(write_checkpoint(tmp_path / "b.ckpt",
                                without=("cond_stage_model.model.visual",))).load(LoadedPriors(CPU))
    with pytest.raises(DistillError, match='no UNet below "model.diffusion_model."'):
        recipe(write_checkpoint(tmp_path / "c.ckpt", without=("model.",))).load(LoadedPriors(CPU))
    folder = tmp_path / "folder"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "config.json").write_text('{"in_channels": 4, "out_channels": 4}')
    with pytest.raises(DistillError, match="use the Stable Diffusion Prior"):
        recipe(folder).load(LoadedPriors(CPU))
    (folder / "unet" / "config.json").write_text('{"sample_size": 4}')
    with pytest.raises(DistillError, match="Zero123 Prior: .*unet cannot be read"):
        recipe(folder).load(LoadedPriors(CPU))


def test_parts_of_different_models_are_refused(tmp_path):
    from safetensors.torch import save_file

    folder = write_folder(tmp_path / "folder")
    weights = folder / "clip_camera_projection" / "diffusion_pytorch_model.safetensors"
    save_file({"proj.weight": torch.zeros(24, 20), "proj.bias": torch.zeros(24)}, weights)
    with pytest.raises(DistillError, match=r"the shape \[24, 20\]; its image tower and UNet need \[24, 28\]"):
        recipe(folder).load(LoadedPriors(CPU))
    weights.unlink()
    with pytest.raises(DistillError, match="has no weights in clip_camera_projection or cc_projection"):
        recipe(folder).load(LoadedPriors(CPU))


def test_the_node(tmp_path, host, checkpoint):
    (tmp_path / "checkpoints").symlink_to(checkpoint.parent)
    assert checkpoint.name in Zero123PriorNode.define_schema().inputs[0].options["options"]
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:48, 16:48] = 1
    found = Zero123PriorNode.execute(checkpoint.name, pictures(), elevation="10", mask=mask).args[0]
    assert math.degrees(found.views.cameras.elevation) == pytest.approx(10) and float(found.views.cameras.azimuth) == 0
    assert not host.warnings
    assert LoadedPriors(CPU)(found).size == 32
    Zero123PriorNode.execute(checkpoint.name, pictures() * 0.5)
    assert "border of the reference image is not white" in host.warnings[-1]
    with pytest.raises(DistillError, match='Zero123 Prior: there is no "../secret.ckpt"'):
        Zero123PriorNode.execute("../secret.ckpt", pictures())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_adapter_gets_the_camera_of_each_row(checkpoint, count):
    """Views are evaluated once per picture of weight above 0, in rows sorted by view: all at once give what each gives
    alone."""
    from distill3d.nodes.core.prior import Encoded
    from distill3d.nodes.priors.lora_prior import LoRAPrior

    azimuths = ",".join(str(20 + 100 * i) for i in range(count))
    lora = LoRAPrior(recipe(checkpoint, count=count, elevation="5", azimuth=azimuths).load(LoadedPriors(CPU)), 3, 0)
    around = orbit(torch.deg2rad(torch.tensor([60.0, -100.0, 10.0, 190.0])),
                   torch.deg2rad(torch.tensor([25.0, -10.0, 5.0, 40.0])), 1.8, 0.8, 8, 8)
    generator = torch.Generator().manual_seed(3)
    z_t, t = torch.randn(4, lora.channels, lora.size, lora.size, generator=generator), torch.tensor([40, 300, 560, 760])
    with torch.no_grad():
        for parameter in lora.adapter.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        conditions = [lora.encode_negatives([""] * 4), lora.encode_prompts([""] * 4)]
        together = lora.denoise(z_t, t, conditions, around)
        assert (together[1] - lora.base.denoise(z_t, t, conditions, around)[1]).abs().max() > 1e-3
        for view in range(4):
            one = torch.tensor([view])
            alone = lora.denoise(z_t[one], t[one], [condition.take(one) for condition in conditions], around.take(one))
            for whole, part in zip(together, alone):
                assert is_close(whole[one], part)  # by 1e-5 of the largest value
    noise = torch.randn(z_t.shape, generator=generator)
    lora.error(Encoded(z_t), noise, t, conditions[1], around).backward()
    assert all(parameter.grad.isfinite().all() for parameter in lora.adapter.parameters())


def test_posed_pictures_replace_the_image(tmp_path, checkpoint):
    (tmp_path / "checkpoints").symlink_to(checkpoint.parent)
    first, second = (ReferenceViewNode.execute(pictures(), elevation=5.0, azimuth=angle, distance=1.5).args[1]
                     for angle in (20.0, 90.0))
    given = JoinPicturesNode.execute(first, second).args[0]
    made = Zero123PriorNode.execute(checkpoint.name, pictures(), kind="Zero123", pictures=given).args[0]
    assert made.views is given
    posed, named = (one.load(LoadedPriors(CPU)) for one in (made, recipe(checkpoint, count=1)))
    cameras = orbit(0.3, 0.2, DISTANCE, 0.8, 64, 64)
    torch.testing.assert_close(posed.poses(cameras)[:, :1], named.poses(cameras))
    torch.testing.assert_close(posed.latents[:1], named.latents)
