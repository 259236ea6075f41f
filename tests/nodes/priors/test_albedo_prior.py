"""RichDreamer's albedo model: five channels, of which the last is a condition."""

import math

import pytest
import torch
import torch.nn.functional as F

from distill3d.nodes import comfy
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.models.multi_view import relative_camera_vectors
from distill3d.nodes.priors.albedo_prior import AlbedoMV, AlbedoPriorNode
from distill3d.nodes.priors.sample_prior import sample
from looks import look_at

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tiny_rich import reference, write_file
from tiny_sd import write_tokenizer

CPU = torch.device("cpu")
PIXELS, LATENTS = 16, 8
TEXTS = ["the albedo of re", "red, 3d", "", "b"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("richdreamer")
    write_tokenizer(root / "tokenizer")
    for kind in ("albedo_mv", "nd_mv", "nd"):
        write_file(root / f"{kind}.ckpt", kind)
    return root


def recipe(models, kind="albedo_mv"):
    return AlbedoMV(str(models / f"{kind}.ckpt"), 4, str(models / "tokenizer"), PIXELS)


def cameras(batch=4):
    return orbit(torch.arange(batch) * (math.pi / 2) + 0.4, 0.2, 0.9 / math.tan(0.36), 0.72, PIXELS, PIXELS)


@pytest.fixture(scope="module")
def prior(models):
    return recipe(models).load(LoadedPriors(CPU))


def picture(batch=4, side=PIXELS):
    return torch.rand(batch, side, side, 4, generator=torch.Generator().manual_seed(2))


def is_close(ours, theirs, tolerance=1e-5):
    return theirs.std() > 1e-2 and (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_denoises_as_a_line_by_line_reference(prior):
    z = prior.encode_image(picture())
    t = torch.full((4,), 400)
    noise = torch.randn(4, 4, LATENTS, LATENTS, generator=torch.Generator().manual_seed(0))
    z_t = prior.add_noise(z.clean, noise, t)
    assert torch.equal(z_t, prior.denoiser.noise.add_noise(z.clean, noise, t))
    conditions = [prior.encode_prompts([""] * 4), prior.encode_prompts(TEXTS)]
    abar = prior.denoiser.noise.abar[t].double().view(-1, 1, 1, 1)
    for ours, condition in zip(prior.denoise(z_t, t, conditions, cameras(), z.beside), conditions):
        expected = reference("albedo_mv")(torch.cat([z_t, z.beside], 1), t, condition.embedding,
                                          relative_camera_vectors(cameras()), 4)
        assert ours.shape == (4, 4, LATENTS, LATENTS)
        assert is_close((z_t - abar.sqrt() * ours.double()) / (1 - abar).sqrt(), expected)
    changed = prior.denoise(z_t, t, conditions, cameras(), z.beside - 0.5)[1]
    assert (changed - prior.denoise(z_t, t, conditions, cameras(), z.beside)[1]).abs().max() > 1e-3


def test_colours_go_through_the_autoencoder_and_depth_beside_it(prior):
    given = picture(side=32)
    z = prior.encode_image(given)
    colours = F.interpolate(given[..., :3].permute(0, 3, 1, 2), (PIXELS, PIXELS), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert is_close(z.clean, prior.vae.encode(colours * 2 - 1).latent_dist.mean * 0.18215)
    assert torch.equal(z.beside[:, 0], given[:, ::4, ::4, 3] * 2 - 1)
    assert prior.decode_image(z.clean).shape == (4, PIXELS, PIXELS, 3)
    with pytest.raises(DistillError, match='image of 3 channels.*"albedo and depth"'):
        prior.encode_image(given[..., :3]).clean


@pytest.mark.parametrize(("weighting", "rescaling"), [("sds", 0.0), ("x0", 0.5)])
def test_distillation_changes_colours_and_never_the_shape(models, prior, weighting, rescaling):
    loss = SDS(recipe(models), Prompt("the albedo of re", "b", "none"), Schedule.of(10.0), weighting,
               image="albedo and depth", rescaling=rescaling)
    assert loss.wanted == {"opacity", "albedo", "depth"}
    given = picture()
    albedo, depth = given[..., :3].clone().requires_grad_(), (2.0 + given[..., 3:]).requires_grad_()
    rendering = Rendering(opacity=torch.full((4, PIXELS, PIXELS, 1), 0.9), albedo=albedo, depth=depth)
    prepared = loss.prepare(RunContext(CPU, 0, lambda recipe: prior))
    prepared(look_at(rendering, cameras())).value.backward()
    assert albedo.grad.isfinite().all() and (albedo.grad.flatten(1).norm(dim=1) > 0).all()
    assert depth.grad is None or not depth.grad.any()


def test_the_gradient_is_that_of_the_published_code(models, prior, monkeypatch):
    """x0 weighting, rescaled over the four latents of the group alone: depth takes no part in the deviation."""
    chosen = recipe(models)
    fixed = Schedule.of(0.4)
    loss = SDS(chosen, Prompt("red", "b", "none"), Schedule.of(10.0), "x0", fixed, fixed, "albedo and "
               "depth", rescaling=0.5)
    prepared = loss.prepare(RunContext(CPU, 0, lambda recipe: prior))
    albedo, depth = picture()[..., :3].requires_grad_(), 2.0 + picture()[..., 3:]
    rendering = Rendering(opacity=torch.ones(4, PIXELS, PIXELS, 1), albedo=albedo, depth=depth)
    kept = []
    own = prior.encode_image
    monkeypatch.setattr(prior, "encode_image", lambda rgb: kept.append(own(rgb)) or kept[0])
    term = prepared(look_at(rendering, cameras(), 0, Streams(1, 3)))
    z, beside = kept[0].clean, kept[0].beside
    found, = torch.autograd.grad(term.value, z)
    t = torch.full((4,), 400)
    noise = torch.randn(4, 4, LATENTS, LATENTS, generator=Streams(1, 3)("noise"))
    z_t = prior.add_noise(z.detach(), noise, t)
    negative, positive = prior.denoise(z_t, t, [prior.encode_prompts([text] * 4) for text in ("b", "red")], cameras(),
                                       beside)
    guided = negative + 10 * (positive - negative)
    guided = guided * (0.5 * positive.std() / guided.std() + 0.5)
    direction = z.detach() - guided
    assert is_close(found, direction / 4)  # of half the squared distance, summed and divided by the batch


def test_there_is_nothing_to_paint_on_in_samplers(prior):
    with pytest.raises(DistillError, match="Albedo Prior: it is conditioned on depth"):
        next(sample(prior, TEXTS, steps=2, cameras=cameras()))


@pytest.mark.parametrize(("kind", "words"), [("nd_mv", "takes 4 channels and gives 4, not 5 and 4. Use the "
                                                       "Normal-Depth Prior"),
                                             ("nd", "takes no cameras. Choose RichDreamer's albedo_mv_ema.ckpt")])
def test_other_models_are_refused(models, kind, words):
    with pytest.raises(DistillError, match=f"Albedo Prior: .*{words}"):
        recipe(models, kind).load(LoadedPriors(CPU))


def test_other_nodes_refuse_this_model(models):
    from distill3d.nodes.priors.mvdream import MVDream

    with pytest.raises(DistillError, match="Use the Albedo Prior node"):
        MVDream(str(models / "albedo_mv.ckpt"), 4, str(models / "tokenizer"), PIXELS).load(LoadedPriors(CPU))


def test_the_node(models, tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.Host, "model_folders", lambda self, kind: [tmp_path / kind])
    (tmp_path / "checkpoints").symlink_to(models)
    schema = AlbedoPriorNode.define_schema()
    assert [one.id for one in schema.inputs] == ["model", "views", "resolution", "precision", "tokenizer"]
    found, = AlbedoPriorNode.execute("albedo_mv.ckpt", resolution=PIXELS, tokenizer="tokenizer").args
    assert found == recipe(tmp_path / "checkpoints") and hash(found) and found.image == "albedo and depth"
    with pytest.raises(DistillError, match="Albedo Prior.*RichDreamer albedo-MV is published at"):
        AlbedoPriorNode.execute("albedo_mv_ema.ckpt")
