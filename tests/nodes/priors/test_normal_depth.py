"""RichDreamer's normal-depth models: the published format, what they are shown, and how they are told of cameras."""

import math

import pytest
import torch
import torch.nn.functional as F

from distill3d.nodes import comfy
from distill3d.nodes.core.cameras import orbit, turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.models.multi_view import relative_camera_vectors
from distill3d.nodes.priors.normal_depth import NormalDepth, NormalDepthPriorNode
from distill3d.nodes.priors.sample_prior import sample
from looks import look_at

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from published import ldm_unet, ldm_vae, random_weights
from tiny_rich import SD1, reference, state_dict, write_file
from tiny_sd import write_tokenizer

CPU = torch.device("cpu")
SIDE, PIXELS = 8, 16  # of what ND-MV denoises, and of ND's pictures
TEXTS = ["a red re", "red, 3d", "", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("richdreamer")
    write_tokenizer(root / "tokenizer")
    for kind in ("nd_mv", "nd"):
        write_file(root / f"{kind}.ckpt", kind)
    return root


def recipe(models, kind="nd_mv", **more):
    more = {"resolution": SIDE if kind == "nd_mv" else PIXELS} | more
    return NormalDepth(str(models / f"{kind}.ckpt"), tokenizer=str(models / "tokenizer"), **more)


@pytest.fixture(scope="module")
def loaded(models):
    return {kind: recipe(models, kind).load(LoadedPriors(CPU)) for kind in ("nd_mv", "nd")}


def cameras(batch=8, size=0.9, side=4):
    azimuth = torch.arange(batch) * (math.pi / 2) + 0.4
    fovy = torch.tensor([0.7] * 4 + [0.76] * 4)[:batch]
    return orbit(azimuth, torch.tensor([0.1] * 4 + [0.5] * 4)[:batch], size / torch.tan(0.5 * fovy), fovy, side, side)


def noisy(batch=8, seed=0):
    z_t = torch.randn(batch, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return z_t, torch.tensor([500] * 4 + [60] * 4)[:batch]


def is_close(ours, theirs, tolerance=1e-5):
    return theirs.std() > 1e-2 and (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize("kind", ["nd_mv", "nd"])
def test_denoises_as_a_line_by_line_reference(loaded, kind):
    prior = loaded[kind]
    assert (prior.channels, prior.size, prior.views, prior.timesteps) == (4, SIDE, 4 if kind == "nd_mv" else 1, 1000)
    z_t, t = noisy()
    conditions = [prior.encode_prompts([""] * 8), prior.encode_prompts(TEXTS)]
    vectors = relative_camera_vectors(cameras()) if kind == "nd_mv" else None
    abar = prior.denoiser.noise.abar[t].double().view(-1, 1, 1, 1)
    for ours, condition in zip(prior.denoise(z_t, t, conditions, cameras()), conditions):
        noise = reference(kind)(z_t, t, condition.embedding, vectors, prior.views)
        predicted = (z_t - abar.sqrt() * ours.double()) / (1 - abar).sqrt()
        assert is_close(predicted, noise)


def test_the_camera_vector_is_that_of_the_published_set():
    """The authors' own pictures come from cameras of a y-up world, counted from +z, at distance 2, whose world is then
    turned z up. The front here, at size 1, is the first of them."""
    elevation = math.radians(15)
    theirs = []
    for azimuth in (0.0, math.pi / 2, math.pi, -math.pi / 2):
        out = torch.tensor([math.cos(elevation) * math.sin(azimuth), math.sin(elevation),
                            math.cos(elevation) * math.cos(azimuth)], dtype=torch.float64)
        right = F.normalize(torch.linalg.cross(-out, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)), dim=0)
        c2w = torch.eye(4, dtype=torch.float64)
        c2w[:3, :3] = torch.stack([right, torch.linalg.cross(right, -out), out], 1)
        c2w[:3, 3] = 2 * out
        theirs.append((torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]).double()
                       @ c2w).flatten())
    fovy = torch.tensor([0.3, 0.7, 0.7, 1.2])
    ours = relative_camera_vectors(orbit(torch.arange(4) * (math.pi / 2), elevation, 1 / torch.tan(0.5 * fovy), fovy, 4,
                                         4))
    assert torch.allclose(ours.double(), torch.stack(theirs), atol=1e-6)
    nearer = relative_camera_vectors(orbit(0.0, elevation, 0.8 / math.tan(0.35), 0.7, 4, 4)).view(4, 4)
    assert float(nearer[:3, 3].norm()) == pytest.approx(1.6)


def test_the_relative_distance_matters_and_the_lens_does_not(loaded):
    prior = loaded["nd_mv"]
    z_t, t = noisy()
    text, eye = [prior.encode_prompts(TEXTS)], cameras()
    base, = prior.denoise(z_t, t, text, eye)
    wide = orbit(eye.azimuth, eye.elevation, 0.9 / math.tan(0.5), 1.0, 4, 4)
    assert is_close(prior.denoise(z_t, t, text, wide)[0], base)
    assert (prior.denoise(z_t, t, text, cameras(size=0.7))[0] - base).abs().max() > 1e-2


def test_without_cameras_a_group_is_the_published_set(loaded):
    """At distance 2, 15 degrees above the horizon."""
    z_t, t = noisy()
    text = [loaded["nd_mv"].encode_prompts(TEXTS)]
    eye = orbit(torch.arange(8) % 4 * (math.pi / 2), math.radians(15), 1 / math.tan(0.35), 0.7, 4, 4)
    assert is_close(loaded["nd_mv"].denoise(z_t, t, text, None)[0], loaded["nd_mv"].denoise(z_t, t, text, eye)[0])


def test_it_is_shown_what_stands_in_each_block(loaded):
    """ND-MV: the mean over blocks, in [-1,1], without an autoencoder, and back."""
    prior = loaded["nd_mv"]
    assert prior.vae is None
    picture = torch.rand(4, 2 * SIDE, 2 * SIDE, 4, generator=torch.Generator().manual_seed(1))
    z = prior.encode_image(picture).clean
    assert torch.allclose(z[1, 3, 2, 5], picture[1, 4:6, 10:12, 3].mean() * 2 - 1, atol=1e-6)
    assert torch.equal(prior.encode_image(torch.full((1, 4, 4, 4), 0.75)).clean, torch.full((1, 4, SIDE, SIDE), 0.5))
    shown = prior.decode_image(z)
    assert shown.shape == (4, SIDE, 2 * SIDE, 3)
    assert torch.allclose(shown[:, :, :SIDE] * 2 - 1, z[:, :3].permute(0, 2, 3, 1), atol=1e-6)
    assert torch.allclose(shown[:, :, SIDE:] * 2 - 1, z[:, 3:].permute(0, 2, 3, 1).expand(-1, -1, -1, 3), atol=1e-6)


def test_the_single_view_has_an_autoencoder_of_four_channels(loaded):
    prior = loaded["nd"]
    picture = torch.rand(2, 24, 24, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    z = prior.encode_image(picture).clean
    resized = F.interpolate(picture.detach().permute(0, 3, 1, 2), (PIXELS, PIXELS), mode="bilinear",
                            align_corners=False)
    with torch.no_grad():
        expected = prior.vae.encode(resized * 2 - 1).latent_dist.mean * 0.18215
    assert z.shape == (2, 4, SIDE, SIDE) and is_close(z, expected)
    z.square().sum().backward()
    assert (picture.grad.abs().amax((0, 1, 2)) > 0).all()
    assert prior.decode_image(z.detach()).shape == (2, PIXELS, 2 * PIXELS, 3)


def sphere(side, eye):
    """A translucent ball of radius 0.6, whose normals and depth are what is optimised."""
    origins, directions = eye.rays()
    along = -(origins * directions).sum(-1, keepdim=True)
    square = 0.36 - (origins.square().sum(-1, keepdim=True) - along**2)
    opacity = 0.8 * (square > 0).float()
    depth = (along - square.clamp(min=0).sqrt()) * opacity
    normal = (origins + along * directions) * opacity + 0.3 * opacity
    return Rendering(rgb=torch.zeros(len(eye), side, side, 3), opacity=opacity, depth=depth.requires_grad_(),
                     normal=normal.requires_grad_())


@pytest.mark.parametrize("kind", ["nd_mv", "nd"])
@pytest.mark.parametrize(("weighting", "rescaling"), [("sds", 0.0), ("x0", 0.5)])
def test_distillation_pulls_on_normals_and_depth(models, loaded, kind, weighting, rescaling):
    chosen = recipe(models, kind)
    loss = SDS(chosen, Prompt("a red re", "b", "none"), Schedule.of(50.0), weighting, image="normal and depth",
               rescaling=rescaling)
    assert loss.wanted == {"opacity", "normal", "depth"}
    eye = cameras(8, side=PIXELS)
    rendering, streams = sphere(PIXELS, eye), Streams(0, 0)
    prepared = loss.prepare(RunContext(CPU, 0, lambda recipe: loaded[kind]))
    prepared(look_at(rendering, eye, 0, streams)).value.backward()
    for grad in (rendering.normal.grad, rendering.depth.grad):
        assert grad.isfinite().all() and (grad.flatten(1).norm(dim=1) > 0).all()


def test_a_picture_of_colours_is_refused(models, loaded):
    with pytest.raises(DistillError, match='accepts the image "normal and depth"'):
        SDS(recipe(models), Prompt("red"))
    for prior in loaded.values():
        with pytest.raises(DistillError, match='image of 3 channels.*"normal and depth"'):
            prior.encode_image(torch.rand(4, 8, 8, 3)).clean


def test_sizes_of_views_that_the_model_does_not_know_are_warned_of_once(models):
    host = comfy.Host()
    comfy.set_host(host)
    try:
        prior = recipe(models).load(LoadedPriors(CPU))
        z_t, t = noisy(4)
        text = [prior.encode_prompts(TEXTS[:4])]
        prior.denoise(z_t, t, text, cameras(4, 1.0))
        prior.denoise(z_t, t, text, None)
        assert not host.warnings
        prior = recipe(models).load(LoadedPriors(CPU))
        for _ in range(2):
            prior.denoise(z_t, t, text, turntable(4, 15.0, 1.5, 40.0, 4))
        assert len(host.warnings) == 1 and "cover 0.55 to 0.55 world units" in host.warnings[0]
        with pytest.raises(DistillError, match="groups of 4 views"):
            prior.denoise(z_t[:3], t[:3], text, None)
    finally:
        comfy.set_host(None)


def test_samples_show_normals_beside_depth(loaded):
    prior = loaded["nd_mv"]
    pictures = list(sample(prior, TEXTS[:4], steps=2, cameras=turntable(4, 15.0, 2.6, 40.0, SIDE)))
    assert pictures[-1].shape == (4, SIDE, 2 * SIDE, 3) and pictures[-1].std() > 1e-2


def test_the_average_of_the_weights_is_taken(models, loaded, tmp_path):
    """A file from training keeps both: the weights, and their average under names without dots."""
    state = state_dict("nd")
    for key in [key for key in state if key.startswith("model.diffusion_model.")]:
        state["model_ema." + key.removeprefix("model.").replace(".", "")] = state[key]
        state[key] = torch.zeros_like(state[key])
    torch.save({"state_dict": state, "global_step": 3}, tmp_path / "nd-laion.ckpt")
    found = NormalDepth(str(tmp_path / "nd-laion.ckpt"), tokenizer=str(models / "tokenizer"),
                        resolution=PIXELS).load(LoadedPriors(CPU))
    assert all(torch.equal(a, b) for a, b in zip(found.unet.parameters(), loaded["nd"].unet.parameters(), strict=True))


@pytest.mark.parametrize(("unet", "pictures", "words"), [
    (dict(SD1), 3, "Use the Stable Diffusion Prior node"), (SD1 | dict(camera=16), 3, "Use the MVDream Prior node"),
    (SD1 | dict(camera=16, inputs=5), 3, "Use the Albedo Prior node"), (SD1 | dict(inputs=8), 3, "Use the Zero123 "
                                                                        "Prior node"),
    (SD1 | dict(camera=12), 4, "12 numbers per camera"), (SD1 | dict(inputs=9), 3, "Choose nd_mv_ema.ckpt")])
def test_other_models_are_refused(tmp_path, unet, pictures, words):
    weights = random_weights(ldm_unet(**unet), "model.diffusion_model.")
    torch.save({"state_dict": weights | random_weights(ldm_vae((32, 32), 1, pictures=pictures), "first_stage_model.")},
               tmp_path / "model.ckpt")
    with pytest.raises(DistillError, match=f"Normal-Depth Prior: .*{words}"):
        NormalDepth(str(tmp_path / "model.ckpt")).load(LoadedPriors(CPU))


def test_other_nodes_refuse_these_models(models):
    from distill3d.nodes.priors.mvdream import MVDream
    from distill3d.nodes.priors.stable_diffusion import StableDiffusion

    tokenizer = str(models / "tokenizer")
    for other in (MVDream(str(models / "nd_mv.ckpt"), 4, tokenizer, PIXELS),
                  StableDiffusion(str(models / "nd.ckpt"), tokenizer)):
        with pytest.raises(DistillError, match="4 channels, not 3. It is one for normals and depth: use the "
                                               "Normal-Depth Prior"):
            other.load(LoadedPriors(CPU))


def test_a_resolution_must_fit_the_autoencoder(models):
    with pytest.raises(DistillError, match="not a multiple of 2"):
        recipe(models, "nd", resolution=15).load(LoadedPriors(CPU))


def test_the_node(models, tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.Host, "model_folders", lambda self, kind: [tmp_path / kind])
    (tmp_path / "checkpoints").symlink_to(models)
    schema = NormalDepthPriorNode.define_schema()
    assert [one.id for one in schema.inputs] == ["model", "views", "resolution", "precision", "tokenizer"]
    assert "nd_mv.ckpt" in schema.inputs[0].options["options"]
    found, = NormalDepthPriorNode.execute("nd_mv.ckpt", resolution=SIDE, tokenizer="tokenizer").args
    assert found == recipe(tmp_path / "checkpoints") and hash(found) and found.image == "normal and depth"
    with pytest.raises(DistillError, match="Normal-Depth Prior.*RichDreamer ND-MV is published at"):
        NormalDepthPriorNode.execute("nd_mv_ema.ckpt")
