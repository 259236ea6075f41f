"""The adapter beside networks that stay as they are: pixel and latent models of noise and of velocity."""
import copy
import json
import shutil

import pytest
import torch

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prior import Encoded, LoadedPriors
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.vsd import VSD
from distill3d.nodes.models.adapter import LowRank, projections
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF
from distill3d.nodes.priors.lora_prior import LoRA, LoRAPriorNode
from distill3d.nodes.priors.stable_diffusion import StableDiffusion
from gaussian_prior import GaussianPrior
from image_scene import picture_recipe
from loop_parts import Around, StopAt

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

CPU = torch.device("cpu")
TEXTS = ["a red cube", "red"]
CAMERAS = turntable(2, 15, 3, 40, 8)
T = torch.tensor([35, 620])


@pytest.fixture(scope="module")
def recipes(tiny_if, tmp_path_factory):
    """Models by name: pixels or latents, noise or velocity."""
    from tiny_sd import write_folder, write_tokenizer

    root = tmp_path_factory.mktemp("models")
    write_tokenizer(root / "tokenizer")
    write_folder(root / "sd1", "sd1")
    velocity = shutil.copytree(tiny_if, root / "velocity")
    path = velocity / "scheduler/scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "v_prediction"}))
    return {"if": DeepFloydIF(str(tiny_if)), "if velocity": DeepFloydIF(str(velocity)),
            "sd": StableDiffusion(str(root / "sd1")),
            "sd velocity": StableDiffusion(str(root / "sd1"), prediction="v_prediction"),
            "half": DeepFloydIF(str(tiny_if), "bfloat16")}


@pytest.fixture(params=["if", "if velocity", "sd", "sd velocity", "half"])
def pair(recipes, request):
    """A prior and a LoRA Prior on its network."""
    priors = LoadedPriors(CPU)
    recipe = recipes[request.param]
    return priors(recipe), priors(LoRA(recipe))


def draw(prior, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(2, prior.channels, prior.size, prior.size, generator=generator) for _ in range(2))


def ask(prior, z_t, cameras=CAMERAS):
    with torch.no_grad():
        return prior.denoise(z_t, T, [prior.encode_prompts(TEXTS), prior.encode_prompts(["", ""])], cameras)


def fill(adapter, scale=0.3):
    """Weights that are felt, in place of the zeros before training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


def train(lora, steps, rate=0.03):
    z, _ = draw(lora)
    optimizer = torch.optim.Adam(lora.adapter.parameters(), lr=rate)
    for step in range(steps):
        optimizer.zero_grad()
        _, noise = draw(lora, step + 1)
        lora.error(Encoded(z), noise, T, lora.encode_prompts(TEXTS), CAMERAS).backward()
        optimizer.step()


def own_error(lora, draws=8):
    """On the pictures of `train`, with noise that it has not seen."""
    z, _ = draw(lora)
    with torch.no_grad():
        return sum(lora.error(Encoded(z), list(draw(lora, 1000 + i))[1], T, lora.encode_prompts(TEXTS), CAMERAS).item()
                   for i in range(draws)) / draws


def test_both_share_one_network_and_untrained_they_agree_exactly(pair):
    prior, lora = pair
    assert lora.base is prior and lora.base.network is prior.network
    z_t, _ = draw(prior)
    for ours, theirs in zip(ask(lora, z_t), ask(prior, z_t)):
        assert torch.equal(ours, theirs)
    assert {parameter.dtype for parameter in lora.adapter.parameters()} == {torch.float32}


def test_trained_on_pictures_it_lowers_its_own_error_and_the_prior_stays(pair):
    prior, lora = pair
    z_t, _ = draw(prior)
    answer, weights = ask(prior, z_t), copy.deepcopy(prior.network.state_dict())
    before = own_error(lora)
    train(lora, 15)
    assert own_error(lora) < 0.97 * before
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(ask(prior, z_t), answer))
    assert all(torch.equal(tensor, weights[name]) for name, tensor in prior.network.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in prior.network.parameters())
    assert not any(module._forward_hooks for module in prior.network.modules())


def test_it_is_the_network_with_the_products_added_to_its_weights(recipes):
    """Without cameras' say: the output of their network is emptied."""
    prior, lora = LoadedPriors(CPU)(recipes["if"]), LoRA(recipes["if"], rank=3).load(LoadedPriors(CPU))
    fill(lora.adapter)
    with torch.no_grad():
        lora.adapter.camera[-1].weight.zero_(), lora.adapter.camera[-1].bias.zero_()
        for name, layer in projections(prior.network):
            low_rank = lora.adapter.layers[name.replace(".", "/")]
            layer.weight += low_rank.up @ low_rank.down
    z_t, _ = draw(prior)
    found, expected = ask(lora, z_t), ask(prior, z_t)
    plain = ask(lora.base, z_t)
    for ours, theirs, without in zip(found, expected, plain):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        assert (theirs - without).abs().max() > 0.05 * without.abs().max()


def test_every_attention_has_its_four_or_six_projections(recipes):
    for name, count in (("if", 6), ("sd", 4)):
        lora = LoRA(recipes[name]).load(LoadedPriors(CPU))
        attentions = [module for module in lora.base.network.modules() if hasattr(module, "to_q")]
        assert len(lora.adapter.layers) == count * len(attentions) > 0


def test_cameras_are_added_to_the_embedding_of_the_timestep(recipes):
    """As diffusers adds its class embedding: shifting the last bias of the timestep's network does the same."""
    lora = LoRA(recipes["sd"]).load(LoadedPriors(CPU))
    fill(lora.adapter.camera)
    z_t, _ = draw(lora)
    with torch.no_grad():
        condition = [lora.encode_prompts(TEXTS)]
        shifts = lora.adapter.camera(CAMERAS.c2w.flatten(1))
        told, = lora.denoise(z_t, T, condition, CAMERAS)
        blind = lora.adapter.camera(torch.zeros(1, 16))
        bias = lora.base.network.time_embedding.linear_2.bias
        for i, shift in enumerate(shifts):
            bias += shift
            one, = lora.base.denoise(z_t, T, condition, None)
            bias -= shift
            torch.testing.assert_close(told[i], one[i], atol=1e-4, rtol=1e-4)
        bias += blind[0]
        nowhere, = lora.base.denoise(z_t, T, condition, None)
        bias -= blind[0]
    torch.testing.assert_close(lora.denoise(z_t, T, condition, None)[0], nowhere, atol=1e-4, rtol=1e-4)
    assert (told - nowhere).abs().max() > 1e-2
    z, noise = draw(lora)
    errors = [lora.error(Encoded(z), noise, T, condition[0], *cameras).item()
              for cameras in ((CAMERAS,), (CAMERAS, True), (None,))]
    assert errors[1] == errors[2] != errors[0]


def test_half_precision_networks_give_whole_gradients(recipes):
    lora = LoRA(recipes["half"]).load(LoadedPriors(CPU))
    fill(lora.adapter, 0.1)
    z, noise = draw(lora)
    lora.error(Encoded(z), noise, T, lora.encode_prompts(TEXTS), CAMERAS).backward()
    for name, parameter in lora.adapter.named_parameters():
        assert parameter.grad.dtype == torch.float32 and parameter.grad.abs().max() > 0, name


def test_no_activation_is_widened():
    """No float32 copy of what comes into a half-precision layer; what is kept for gradients has `rank` columns."""
    layer, kept = LowRank(64, 48, rank=4), []
    x = torch.randn(100, 64).half().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        layer(x).sum().backward()
    widths = {tuple(tensor.shape) for tensor in kept if tensor.dtype == torch.float32 and len(tensor) == 100}
    assert widths == {(100, 4)} and x.grad.dtype == torch.float16


def test_nothing_stays_on_the_network_when_it_fails(recipes):
    lora = LoRA(recipes["if"]).load(LoadedPriors(CPU))
    z_t, _ = draw(lora)
    with pytest.raises(RuntimeError):
        lora.denoise(z_t[:, :2], T, [lora.encode_prompts(TEXTS)], CAMERAS)
    assert not any(module._forward_hooks for module in lora.base.network.modules())


def test_the_seed_names_the_weights_and_the_host_may_be_in_inference_mode(recipes):
    with torch.inference_mode():
        one = LoRA(recipes["if"]).load(LoadedPriors(CPU)).adapter
    same, other = (LoRA(recipes["if"]).load(LoadedPriors(CPU)).adapter,
                   LoRA(recipes["if"], seed=1).load(LoadedPriors(CPU)).adapter)
    assert not any(parameter.is_inference() for parameter in one.parameters())
    first = [next(adapter.layers.values().__iter__()).down for adapter in (one, same, other)]
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])


def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(recipes, tmp_path):
    loss = VSD(recipes["if velocity"], LoRA(recipes["if velocity"]), Prompt("a red cube"), lora_rate=Schedule.of(0.01))
    chain = (Objective(Around(), (loss,), batch=Schedule.of(2), resolution=Schedule.of(8)),)

    def run(name, host=None, **settings):
        folder = tmp_path / name
        return Run(picture_recipe(), chain, OptimizerSettings(learning_rate=0.02), RunSettings(8, **settings),
                   host or Host(folder), "7").run().scene.state["pixels"]

    whole = run("whole")
    with pytest.raises(Cancelled):
        run("cut", StopAt(tmp_path / "cut", 5), save_every=1e-9)
    assert torch.equal(run("cut", resume=True, save_every=1e-9), whole)


def test_priors_without_a_network_are_explained():
    with pytest.raises(DistillError, match="^LoRA Prior: a LoadedGaussian.*Stable Diffusion"):
        LoRA(GaussianPrior()).load(LoadedPriors(CPU)).adapter


def test_node(recipes):
    recipe, = LoRAPriorNode.execute(recipes["sd"]).args
    assert (recipe == LoRA(recipes["sd"], rank=4, seed=0) and hash(recipe) == hash(LoRA(recipes["sd"]))
            and recipe.image == "")
