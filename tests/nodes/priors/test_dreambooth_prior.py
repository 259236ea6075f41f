"""A prior that is trained on what it makes of renderings: small weights or all of them, its cache, and its state."""
import gc
import weakref

import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import Encoded, LoadedPriors
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF
from distill3d.nodes.priors.dreambooth_prior import COPY, LORA, DreamBooth, DreamBoothPriorNode
from distill3d.nodes.priors.lora_prior import LoRA
from gaussian_prior import GaussianPrior

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

CPU = torch.device("cpu")
CAMERAS = turntable(2, 15, 3, 40, 8)
TEXTS = ["a red cube", "red"]


@pytest.fixture(scope="module")
def base(tiny_if):
    return DeepFloydIF(str(tiny_if))


def reading(prior, calls=None):
    """What a loss gives a prior to read cameras with."""
    negative, positive = prior.encode_prompts(["", ""]), prior.encode_prompts(TEXTS)

    def read(cameras):
        if calls is not None:
            calls.append(cameras)
        return [negative, positive]

    return read


def picture(prior, seed=0):
    return torch.randn(2, prior.channels, prior.size, prior.size,
                       generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)


def learn(prior, steps, total=100, first=0, seed=0):
    read = reading(prior)
    return [prior.learn(lambda: Encoded(picture(prior)), CAMERAS, read, step, total, Streams(seed, step)).item()
            for step in range(first, first + steps)]


def ask(prior, t=300):
    z, times = picture(prior, 9), torch.full((2,), t)
    with torch.no_grad():
        return prior.denoise(z, times, [prior.encode_prompts(TEXTS)], CAMERAS)[0]


def own_error(prior, z, draws=6):
    condition = prior.encode_prompts(TEXTS)
    with torch.no_grad():
        errors = [prior.error(z, picture(prior, 100 + i), torch.tensor([100 + 120 * i, 150 + 120 * i]), condition,
                              CAMERAS)
                  for i in range(draws)]
    return torch.stack(errors).mean().item()


@pytest.mark.parametrize("weights", [LORA, COPY])
def test_untrained_it_is_the_prior_that_came_in_which_stays_as_it_is(base, weights):
    priors = LoadedPriors(CPU)
    prior, ours = priors(base), priors(DreamBooth(base, weights, rate=Schedule.of(0.01), steps=2))
    assert ours.base.network is prior.network
    kept = {name: weight.clone() for name, weight in prior.network.named_parameters()}
    before = ask(prior)
    assert torch.equal(ask(ours), before)
    learn(ours, 3)
    assert torch.equal(ask(prior), before) and not torch.equal(ask(ours), before)
    assert all(torch.equal(weight, kept[name]) for name, weight in prior.network.named_parameters())
    assert not any(weight.requires_grad or weight.grad is not None for weight in prior.network.parameters())


@pytest.mark.parametrize("weights, rate", [(LORA, 0.03), (COPY, 0.001)])
def test_it_lowers_its_own_error_on_what_was_repainted(base, weights, rate):
    prior = DreamBooth(base, weights, rate=Schedule.of(rate), steps=2, refresh=100).load(LoadedPriors(CPU))
    learn(prior, 1)
    z = prior.repainted[0].z
    before = own_error(DreamBooth(base, weights).load(LoadedPriors(CPU)), z)
    learn(prior, 25, first=1)
    assert own_error(prior, z) < 0.95 * before


def test_a_full_copy_of_a_half_precision_network_is_trained_in_float32(tiny_if):
    """Steps that half precision rounds away still add up."""
    prior = DreamBooth(DeepFloydIF(str(tiny_if),
                                   "bfloat16"), COPY, rate=Schedule.of(1e-6), steps=1).load(LoadedPriors(CPU))
    before = {name: weight.detach().clone() for name, weight in prior.adapter.named_parameters()}
    learn(prior, 2)
    changed = [not torch.equal(weight, before[name]) for name, weight in prior.adapter.named_parameters()]
    assert sum(changed) > 0.9 * len(changed)
    assert {weight.dtype for weight in prior.adapter.parameters()} == {torch.float32}
    assert {weight.dtype for weight in prior.base.network.parameters()} == {torch.bfloat16}


def test_the_network_has_its_own_weights_again_also_after_a_failure(base):
    prior = DreamBooth(base, COPY).load(LoadedPriors(CPU))
    kept = dict(prior.base.network.named_parameters())
    with pytest.raises(RuntimeError):
        prior.denoise(torch.zeros(2, 2, 8, 8), torch.tensor([1, 1]), [prior.encode_prompts(TEXTS)], CAMERAS)
    assert all(weight is kept[name] for name, weight in prior.base.network.named_parameters())


def test_batches_are_repainted_on_time_and_the_latest_are_kept(base):
    prior = DreamBooth(base, rate=Schedule.of(0.0), steps=1, refresh=3, kept=2).load(LoadedPriors(CPU))
    steps = []
    for step in (0, 1, 2, 3, 4, 6, 20, 21):
        learn(prior, 1, first=step)
        steps.append([batch.step for batch in prior.repainted])
    assert steps == [[0], [0], [0], [0, 3], [0, 3], [3, 6], [6, 20], [6, 20]]


def test_pictures_are_encoded_only_where_they_are_repainted(base):
    prior = DreamBooth(base, rate=Schedule.of(0.0), steps=1, refresh=3).load(LoadedPriors(CPU))
    read, encoded = reading(prior), []

    def encode():
        encoded.append(step)
        return Encoded(picture(prior))

    for step in range(8):
        prior.learn(encode, CAMERAS, read, step, 100, Streams(0, step))
    assert encoded == [0, 3, 6]


def test_what_is_repainted_follows_the_schedule_of_noise(base):
    """The more noise, the farther from the rendering."""
    recipe = DreamBooth(base, noise=Schedule(((0, 0.8), (20, 0.05))), guidance=1.0, rate=Schedule.of(0.0), steps=4,
                        refresh=10)
    prior = recipe.load(LoadedPriors(CPU))
    for step in (0, 10, 20):
        learn(prior, 1, first=step)
    first, second, third = ((batch.z.clean - picture(prior)).abs().mean().item() for batch in prior.repainted)
    assert first > 1.2 * second and second > 1.2 * third > 0


def test_some_pictures_are_learned_without_their_text(base):
    """But with the negative one."""
    prior, shown = DreamBooth(base, rate=Schedule.of(0.0), steps=1).load(LoadedPriors(CPU)), []
    negative, positive = prior.encode_prompts([""]).embedding, prior.encode_prompts(TEXTS).embedding
    error, prior.error = prior.error, lambda z, noise, t, condition, cameras: (
        shown.append(condition.embedding), error(z, noise, t, condition, cameras))[1]
    learn(prior, 60)
    rows = torch.cat(shown)
    untexted = (rows == negative).flatten(1).all(1)
    assert 0.03 < untexted.float().mean() < 0.2
    told = (rows.view(60, 2, *rows.shape[1:]) == positive).flatten(2).all(2).flatten()
    assert torch.equal(told, ~untexted)


@pytest.mark.parametrize("weights", [LORA, COPY])
def test_from_its_state_it_goes_on_as_if_it_had_not_stopped(base, weights):
    recipe = DreamBooth(base, weights, rate=Schedule.of(0.01), steps=2, refresh=2, kept=2)
    whole, cut, again = (recipe.load(LoadedPriors(CPU)) for _ in range(3))
    errors = learn(whole, 6)
    learn(cut, 3)
    again.load_state_dict(cut.state_dict())
    learn(cut, 1, first=3)  # what went on elsewhere changes nothing here
    assert learn(again, 3, first=3) == errors[3:]
    assert torch.equal(ask(again), ask(whole))
    again.load_state_dict(recipe.load(LoadedPriors(CPU)).state_dict())
    assert again.repainted == [] and torch.equal(ask(again), ask(recipe.load(LoadedPriors(CPU))))


def test_what_does_not_fit_is_explained(base):
    with pytest.raises(DistillError, match="^DreamBooth Prior: a LoadedGaussian.*Stable Diffusion"):
        DreamBooth(GaussianPrior()).load(LoadedPriors(CPU)).adapter
    state = DreamBooth(base, rank=2).load(LoadedPriors(CPU)).state_dict()
    with pytest.raises(DistillError, match="^DreamBooth Prior: the saved model does not fit"):
        DreamBooth(base, rank=4).load(LoadedPriors(CPU)).load_state_dict(state)
    with pytest.raises(DistillError, match="^LoRA Prior"):
        LoRA(GaussianPrior()).load(LoadedPriors(CPU)).adapter


@pytest.mark.parametrize("weights", [LORA, COPY])
def test_nothing_outlives_its_run(base, weights):
    """No reference cycle keeps a network or its optimiser in memory until a garbage collection."""
    priors = LoadedPriors(CPU)
    prior = priors(DreamBooth(base, weights, rate=Schedule.of(0.01), steps=1))
    learn(prior, 1)
    gc.collect()
    gc.disable()
    try:
        kept = [weakref.ref(thing) for thing in (prior, prior.base, prior.base.network, prior.adapter, prior.tuner)]
        del prior
        priors.release()
        assert [one() for one in kept] == [None] * len(kept)
    finally:
        gc.enable()


@pytest.mark.slow
def test_the_built_in_prior_lowers_its_error_on_its_own_repainted_views():
    """Of views of a striped cube, in 80 steps: on the true views, with noise that it was not trained with."""
    from distill3d.kernels.shapes.render import render_shapes
    from distill3d.nodes.core.prompt import Prompt
    from distill3d.nodes.shapes.caption import parse_shape, shape_parts

    cameras, prompt = turntable(8, 20, 3, 40, 32), Prompt("a striped red cube")
    parts = shape_parts([parse_shape(prompt.text)] * 8)
    rgb = render_shapes(parts, cameras.c2w, cameras.fovy, 32)["rgb"]
    prior = DreamBooth(BuiltinPrior(), noise=Schedule.of(0.4), guidance=2.0, steps=10, refresh=15,
                       rate=Schedule.of(1e-3)).load(LoadedPriors(CPU))
    z = prior.encode_image(rgb)

    def read(cameras):
        return [prior.encode_prompts([""] * len(cameras)), prior.encode_prompts(prompt.of_cameras(cameras))]

    def error():
        with torch.no_grad():
            errors = [prior.error(z, torch.randn(z.clean.shape, generator=Streams(7, i)("noise")),
                                  torch.full((8,), 60 * i + 30), read(cameras)[1], cameras) for i in range(10)]
        return torch.stack(errors).mean().item()

    before = error()
    for step in range(80):
        take = torch.randperm(8, generator=Streams(0, step)("views"))[:4]
        prior.learn(lambda take=take: Encoded(z.clean[take]), cameras.take(take), read, step, 80, Streams(0, step))
    after = error()
    print(f"error of the built-in prior on true views: {before:.5f} before, {after:.5f} after")
    assert after < 0.97 * before


def test_node(base):
    recipe, = DreamBoothPriorNode.execute(base).args
    assert recipe == DreamBooth(base) and hash(recipe) == hash(DreamBooth(base)) and recipe.image == ""
    other, = DreamBoothPriorNode.execute(base, COPY, noise=Schedule(((0, 0.5), (5000, 0.2))), rate=1e-5, seed=3).args
    assert (other.weights, other.noise.at(5000, 1), other.rate.at(0, 1), other.seed) == (COPY, 0.2, 1e-5, 3)
