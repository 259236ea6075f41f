"""MVDream: the published formats, the attention over views, and the cameras."""

import math

import pytest
import torch

from distill3d.nodes import comfy
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.models.multi_view import camera_vectors
from distill3d.nodes.priors.mvdream import MVDream, MVDreamPriorNode
from distill3d.nodes.priors.sample_prior import sample

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from published import ldm_unet
from tiny_mv import LATENTS, PIXELS, reference, shapes, unet_weights, write_file, write_folder
from tiny_sd import write_tokenizer

CPU = torch.device("cpu")
TEXTS = ["a red re", "red, 3d", "", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("mvdream")
    write_tokenizer(root / "tokenizer")
    for kind in ("sd1", "sd2"):
        write_file(root / f"{kind}.pt", kind)
    return root


def load(models, kind="sd2", views=4, **more):
    return MVDream(str(models / f"{kind}.pt"), views, str(models / "tokenizer"), PIXELS, **more).load(LoadedPriors(CPU))


def noisy(batch=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z_t = torch.randn(batch, 4, LATENTS, LATENTS, generator=generator)
    return z_t, torch.tensor([500] * 4 + [60] * 4)[:batch]


def cameras(batch=8):
    azimuth = torch.arange(batch) * (math.pi / 2) + 0.4
    elevation = torch.tensor([0.1] * 4 + [0.5] * 4)[:batch]
    return orbit(azimuth, elevation, 2.7, 0.6, 4, 4)


def is_close(ours, theirs, tolerance=1e-5):
    return theirs.std() > 1e-2 and (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_denoises_as_a_line_by_line_reference(models, kind):
    """Both halves of guidance in one batch, two groups, against plain softmax attention over the joined tokens in
    float64."""
    prior = load(models, kind)
    z_t, t = noisy()
    conditions = [prior.encode_prompts([""] * 8), prior.encode_prompts(TEXTS)]
    found = prior.denoise(z_t, t, conditions, cameras())
    abar = prior.denoiser.noise.abar[t].double().view(-1, 1, 1, 1)
    for ours, condition in zip(found, conditions):
        noise = reference(kind)(z_t, t, condition.embedding, camera_vectors(cameras()), 4)
        # The noise itself: in z0 it would drown in z_t at small timesteps.
        predicted = (z_t - abar.sqrt() * ours.double()) / (1 - abar).sqrt()
        assert is_close(predicted, noise)
        assert is_close(ours.double(), (z_t - (1 - abar).sqrt() * noise) / abar.sqrt())
    assert (found[0] - found[1]).abs().max() > 1e-2


def test_any_number_of_views(models):
    z_t, t = noisy(6)
    t[:] = 300
    prior = load(models, views=3)
    text = prior.encode_prompts(TEXTS[:6])
    predicted = prior.predict_rows(z_t, t, [text], camera_vectors(cameras(6)))[0]
    assert is_close(predicted.double(), reference("sd2")(z_t, t, text.embedding, camera_vectors(cameras(6)), 3))


def test_one_view_is_the_plain_network_of_diffusers(models):
    from diffusers import UNet2DConditionModel

    prior = load(models, views=1)
    z_t, t = noisy()
    text, vectors = prior.encode_prompts(TEXTS), camera_vectors(cameras())
    plain = UNet2DConditionModel(**{key: value for key, value in prior.unet.config.items() if not key.startswith("_")})
    plain.load_state_dict(prior.unet.state_dict())
    with torch.no_grad():
        ours = prior.predict_rows(z_t, t, [text], vectors)[0]
        assert is_close(ours, plain.eval()(z_t, t, text.embedding, class_labels=vectors).sample)
        joined = load(models, views=4).predict_rows(z_t, t, [text], vectors)[0]
    assert (joined - ours).abs().max() > 1e-2 * ours.abs().max()


def test_groups_do_not_see_one_another_and_views_have_no_order(models):
    prior = load(models)
    z_t, t = noisy()
    text, all_cameras = prior.encode_prompts(TEXTS), cameras()

    def ask(order):
        order = torch.tensor(order)
        return prior.denoise(z_t[order], t[order], [text.take(order)], all_cameras.take(order))[0]

    base = ask([0, 1, 2, 3, 4, 5, 6, 7])
    assert is_close(ask([4, 5, 6, 7, 0, 1, 2, 3]), base[[4, 5, 6, 7, 0, 1, 2, 3]])
    assert is_close(ask([0, 1, 2, 3]), base[:4])
    assert is_close(ask([2, 0, 3, 1]), base[[2, 0, 3, 1]])
    assert (ask([0, 1, 4, 5])[:2] - base[:2]).abs().max() > 1e-2  # another company changes a view


def test_cameras_matter_and_their_distance_does_not(models):
    prior = load(models)
    z_t, t = noisy()
    text = [prior.encode_prompts(TEXTS)]
    base, = prior.denoise(z_t, t, text, cameras())
    turned, = prior.denoise(z_t, t, text, orbit(cameras().azimuth + 0.5, cameras().elevation, 2.7, 0.6, 4, 4))
    farther, = prior.denoise(z_t, t, text, orbit(cameras().azimuth, cameras().elevation, 5.0, 1.2, 8, 8))
    assert (turned - base).abs().max() > 1e-2 and is_close(farther, base)


def test_the_camera_vector_is_that_of_the_published_code():
    """By hand: the front camera at 30 degrees stands at (cos 30, 0, sin 30), sees +y to its right and looks down."""
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    front = [0, -s, c, c, 1, 0, 0, 0, 0, c, s, s, 0, 0, 0, 1]
    left = [-1, 0, 0, 0, 0, -s, c, c, 0, c, s, s, 0, 0, 0, 1]
    found = camera_vectors(orbit(torch.tensor([0.0, math.pi / 2]), math.radians(30), 7.0, 0.5, 4, 4))
    assert torch.allclose(found, torch.tensor([front, left]), atol=1e-6)


@pytest.mark.parametrize(("azimuth", "theirs"), [(0.0, 90.0), (90.0, 180.0), (-90.0, 0.0), (25.0, 115.0)])
def test_the_front_is_the_second_view_of_the_published_set(azimuth, theirs):
    """MVDream counts azimuth in a y-up world from +z and turns that world: its 90 degrees are the front here."""
    a, e = math.radians(theirs), math.radians(15)
    position = torch.tensor([math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a)], dtype=torch.float64)
    forward = -position
    right = torch.linalg.cross(forward, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    right = right / right.norm()
    y_up = torch.eye(4, dtype=torch.float64)
    y_up[:3] = torch.stack([right, torch.linalg.cross(right, forward), -forward, position], 1)
    turn = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
    ours = camera_vectors(orbit(math.radians(azimuth), e, 3.0, 0.5, 4, 4))
    assert torch.allclose(ours.double(), (turn @ y_up).flatten()[None], atol=1e-6)


def test_without_cameras_a_group_is_the_published_set(models):
    prior = load(models)
    z_t, t = noisy()
    text = [prior.encode_prompts(TEXTS)]
    around = orbit(torch.arange(8) % 4 * (math.pi / 2), math.radians(15), 1.0, 0.7, 4, 4)
    assert torch.equal(prior.denoise(z_t, t, text, None)[0], prior.denoise(z_t, t, text, around)[0])
    pictures = list(sample(prior, TEXTS[:4], steps=2, clamp=False))[-1]
    assert pictures.shape == (4, PIXELS, PIXELS, 3) and pictures.isfinite().all() and pictures.std() > 1e-3


def test_batches_that_are_no_groups_are_refused(models):
    prior = load(models)
    z_t, t = noisy(6)
    text = [prior.encode_prompts(TEXTS[:6])]
    with pytest.raises(DistillError, match="6 pictures cannot be divided into groups of 4 views"):
        prior.denoise(z_t, t, text, cameras(6))
    with pytest.raises(DistillError, match="4 pictures have 8 cameras"):
        prior.denoise(z_t[:4], t[:4], [text[0].take(torch.arange(4))], cameras())


@pytest.mark.parametrize(("azimuth", "elevation"), [
    ([0.0, 90.0, 180.0, 270.0], [0.0, 10.0, 20.0, 30.0]), ([0.0] * 4, [10.0] * 4),
    ([0.0, 90.0, 180.0, 200.0], [10.0] * 4)])
def test_cameras_that_are_not_around_the_object_are_warned_of_once(models, azimuth, elevation):
    host = comfy.Host()
    comfy.set_host(host)
    try:
        prior = load(models)
        z_t, t = noisy(4)
        text = [prior.encode_prompts(TEXTS[:4])]
        prior.denoise(z_t, t, text, cameras(4))
        assert not host.warnings
        prior = load(models)
        for _ in range(2):
            prior.denoise(z_t, t, text, orbit(*(torch.deg2rad(torch.tensor(a)) for a in (azimuth, elevation)), 2.0, 0.6,
                                              4, 4))
        assert len(host.warnings) == 1 and "Multi-View Orbit with 4 views" in host.warnings[0]
    finally:
        comfy.set_host(None)


def test_the_folder_equals_the_file(models, tmp_path):
    file = load(models)
    folder = write_folder(tmp_path / "folder", file, unet_weights("sd2"))
    prior = MVDream(str(folder), resolution=PIXELS).load(LoadedPriors(CPU))
    z_t, t = noisy()
    texts = [one.encode_prompts(TEXTS) for one in (file, prior)]
    assert is_close(texts[1].embedding, texts[0].embedding)
    picture = torch.rand(4, 20, 20, 3, generator=torch.Generator().manual_seed(3))
    for ours, theirs in ((prior.denoise(z_t, t, [texts[1]], cameras()), file.denoise(z_t, t, [texts[0]], cameras())),
                         ([prior.encode_image(picture).clean], [file.encode_image(picture).clean])):
        assert is_close(ours[0], theirs[0])
    assert (prior.channels, prior.size, prior.views, prior.timesteps) == (4, LATENTS, 4, 1000)


def test_noise_levels_are_stable_diffusion_s(models):
    prior = load(models)
    assert prior.denoiser.noise.abar[[0, 500, 999]].tolist() == pytest.approx([0.99915, 0.2763, 0.00466], rel=2e-3)


def test_half_precision_stays_close(models):
    z_t, t = noisy()
    full, half = load(models), load(models, precision="bfloat16")
    a, b = (prior.denoise(z_t, t, [prior.encode_prompts(TEXTS)], cameras())[0] for prior in (full, half))
    assert half.unet.dtype == torch.bfloat16 and b.dtype == torch.float32 and (a - b).norm() < 0.05 * a.norm()


def test_distillation_draws_one_timestep_per_group_and_rescales(models):
    """A step of SDS Loss as MVDream's configuration has it: x0 weighting, guidance 50, rescaling 0.5."""
    from distill3d.nodes.cameras.multi_view_orbit import MultiViewOrbit
    from distill3d.nodes.core.loss import RunContext
    from distill3d.nodes.core.prompt import Prompt
    from distill3d.nodes.core.rendering import Rendering
    from distill3d.nodes.core.rng import Streams
    from distill3d.nodes.core.schedule import Schedule
    from distill3d.nodes.losses.sds import SDS
    from looks import look_at

    recipe = MVDream(str(models / "sd2.pt"), 4, str(models / "tokenizer"), PIXELS)
    priors = LoadedPriors(CPU)
    seen = []
    prior = priors(recipe)
    own = prior.denoise
    prior.denoise = lambda z_t, t, *rest: seen.append(t) or own(z_t, t, *rest)
    loss = SDS(recipe, Prompt("a red re", "b", "none"), Schedule.of(50.0), "x0", rescaling=0.5)
    prepared = loss.prepare(RunContext(CPU, 0, priors))
    rgb = torch.rand(8, PIXELS, PIXELS, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    streams = Streams(0, 0)
    term = prepared(look_at(Rendering(rgb=rgb, opacity=torch.ones(8, PIXELS, PIXELS, 1)),
                            MultiViewOrbit().sample(8, PIXELS, PIXELS, 0, 10, streams), 0, streams))
    term.value.backward()
    assert seen[0].view(2, 4).eq(seen[0][::4, None]).all() and seen[0][0] != seen[0][4]
    assert rgb.grad.isfinite().all() and (rgb.grad.flatten(1).norm(dim=1) > 0).all()


def test_other_models_are_refused(models, tmp_path):
    from safetensors.torch import save_file

    from published import random_weights

    tokenizer = str(models / "tokenizer")

    def refused(weights, words, prefix="model.diffusion_model."):
        save_file(random_weights(weights, prefix), tmp_path / "model.safetensors")
        with pytest.raises(DistillError, match=words):
            MVDream(str(tmp_path / "model.safetensors"), 4, tokenizer, PIXELS).load(LoadedPriors(CPU))

    plain = dict(width=32, multipliers=(1, 2), layers=1, depths=(1, 0), context=24)
    refused(ldm_unet(**plain), "takes no cameras")
    refused(ldm_unet(**plain, camera=12), "12 numbers per camera")
    refused(ldm_unet(**plain, camera=16, inputs=5), "takes 5 channels")
    refused(shapes("sd2") | {"image_embed.proj_in.weight": (8, 8)}, "ImageDream Prior node")
    with pytest.raises(DistillError, match="not a multiple of 2"):
        MVDream(str(models / "sd2.pt"), 4, tokenizer, 15).load(LoadedPriors(CPU))
    (tmp_path / "folder" / "unet").mkdir(parents=True)
    with pytest.raises(DistillError, match="holds no .safetensors file"):
        MVDream(str(tmp_path / "folder")).load(LoadedPriors(CPU))


def test_the_node_finds_the_model_and_the_tokenizer(models, tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.Host, "model_folders", lambda self, kind: [tmp_path / kind])
    monkeypatch.setattr(comfy.Host, "clip_tokenizer", lambda self: None)
    (tmp_path / "checkpoints").symlink_to(models)
    schema = MVDreamPriorNode.define_schema()
    assert "sd2.pt" in schema.inputs[0].options["options"] and "Set the view words" in schema.outputs[0].tooltip
    recipe, = MVDreamPriorNode.execute("sd2.pt", resolution=PIXELS, tokenizer="tokenizer").args
    here = tmp_path / "checkpoints"
    assert recipe == MVDream(str(here / "sd2.pt"), 4, str(here / "tokenizer"), PIXELS) and hash(recipe)
    assert recipe.load(LoadedPriors(CPU)).views == 4
    recipe, = MVDreamPriorNode.execute("sd2.pt", resolution=PIXELS).args
    with pytest.raises(DistillError, match="holds no tokenizer"):
        recipe.load(LoadedPriors(CPU))
    with pytest.raises(DistillError, match="MVDream Prior"):
        MVDreamPriorNode.execute("sd-v2.1-base-4view.pt")
