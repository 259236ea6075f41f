"""Prior from MODEL with stand-ins for what ComfyUI does; test_model_prior_comfyui.py has the real one."""
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.models.model_file import ModelFile
from distill3d.nodes.priors import model_prior
from distill3d.nodes.priors.model_prior import PriorFromModelNode
from distill3d.nodes.priors.stable_diffusion import StableDiffusion

CPU = torch.device("cpu")
T = torch.tensor([100, 500, 900])
MODEL = SimpleNamespace(model=nn.Identity(),
                        get_model_object=lambda name: SimpleNamespace(latent_channels=4, latent_dimensions=2))


class StandInModel:
    """Answers with x + the first number of each view's embedding."""

    channels, name, signal = 4, "StandIn", 0.8

    def __init__(self, model):
        self.asked, self.closed = [], 0

    def noise_levels(self, count):
        sigmas = (torch.arange(count) + 1) / (count + 1)
        return sigmas, torch.full((count,), self.signal), sigmas

    def denoise(self, x, sigma, conditions, key):
        self.asked.append((sigma, conditions, key))
        return [x + entries[0][0][:, :1, :1, None] for entries in conditions.values()]

    def scale(self, latents):
        return latents * 2 + 1

    def unscale(self, z):
        return (z - 1) / 2

    def close(self):
        self.closed += 1


class StandInVAE:
    factor = 8

    def __init__(self, vae, device): ...

    def encode(self, rgb):
        return torch.cat([rgb, rgb[:, :1]], 1)[:, :, ::8, ::8]

    def decode(self, latents):
        return latents[:, :3].permute(0, 2, 3, 1)


def vae(**facts):
    return SimpleNamespace(**{"first_stage_model": nn.Identity(), "latent_dim": 2, "latent_channels": 4, **facts})


def wired(value):
    return [[torch.full((1, 3, 2), float(value)), {}]]


@pytest.fixture
def host(tmp_path, monkeypatch):
    host = Host(tmp_path)
    host.encoded = []

    def encode_text(clip, text):
        host.encoded.append(text)
        return [[torch.full((1, 6 if "long" in text else 3, 2), float(len(text))), {"pooled_output": torch.ones(1, 2)}]]

    set_host(host)
    monkeypatch.setattr(model_prior, "HostModel", StandInModel)
    monkeypatch.setattr(model_prior, "HostVAE", StandInVAE)
    monkeypatch.setattr(model_prior, "encode_text", encode_text)
    yield host
    set_host(None)


def recipe(clip="clip", **more):
    return PriorFromModelNode.execute(MODEL, vae(), clip, **{"resolution": 64, **more}).args[0]


def test_schema():
    schema = PriorFromModelNode.define_schema()
    assert schema.node_id == "Distill3D_PriorFromModel" and schema.display_name == "Prior from MODEL"
    assert schema.category == "Distill3D/priors"
    assert [(entry.id, entry.get_io_type(), bool(entry.optional)) for entry in schema.inputs] == [
        ("model", "MODEL", False), ("vae", "VAE", False), ("resolution", "INT", False), ("clip", "CLIP", True),
        ("positive", "CONDITIONING", True), ("negative", "CONDITIONING", True)]
    widget = schema.inputs[2]
    assert (widget.default, widget.min, widget.max, widget.step) == (512, 64, 2048, 64)
    assert [output.get_io_type() for output in schema.outputs] == ["DISTILL3D_PRIOR"]
    assert "view words" in schema.inputs[4].tooltip


@pytest.mark.parametrize("given, missing", [({}, '"positive" and "negative"'), ({"positive": wired(1)}, '"negative"'),
                                            ({"negative": wired(1)}, '"positive"')])
def test_a_text_encoder_or_both_conditionings_are_needed(given, missing):
    with pytest.raises(DistillError, match=f'neither "clip" nor {missing} is connected. Connect "clip", or both'):
        PriorFromModelNode.execute(MODEL, vae(), **given)


def test_a_vae_of_another_model_is_refused_at_once():
    with pytest.raises(DistillError, match="gives 16 latent channels"):
        PriorFromModelNode.execute(MODEL, vae(latent_channels=16), "clip")


def test_a_resolution_between_latent_pixels_is_refused(host, monkeypatch):
    monkeypatch.setattr(StandInVAE, "factor", 24)
    with pytest.raises(DistillError, match="resolution 64 is not a multiple of 24"):
        recipe().load(LoadedPriors(CPU))


def test_a_model_that_adds_no_noise_is_refused(host, monkeypatch):
    monkeypatch.setattr(StandInModel, "signal", 0.0)
    with pytest.raises(DistillError, match="StandIn does not mix pictures with noise"):
        recipe().load(LoadedPriors(CPU))


def test_sizes_and_noise(host):
    prior = recipe().load(LoadedPriors(CPU))
    assert (prior.channels, prior.size, prior.views, prior.timesteps, prior.device) == (4, 8, 1, 1000, CPU)
    z, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    s = ((T + 1) / 1001).view(-1, 1, 1, 1)
    x = prior.add_noise(z, noise, T)
    assert torch.allclose(x, 0.8 * z + s * noise) and torch.allclose(prior.sigma(T), s.flatten() / 0.8)
    # Samplers bring x = z + sigma noise into the prior's scaling this way.
    assert torch.allclose(prior.add_noise(z + prior.sigma(T).view(-1, 1, 1, 1) * noise, torch.zeros_like(z), T), x,
                          atol=1e-6)


def test_each_view_gets_its_own_text_and_all_go_at_once(host):
    prior, z = recipe().load(LoadedPriors(CPU)), torch.randn(3, 4, 8, 8)
    conditions = [prior.encode_prompts([""] * 3), prior.encode_prompts(["a", "ab", "a"])]
    none, given = prior.denoise(z, T, conditions, None)
    assert torch.equal(none, z) and torch.allclose(given, z + torch.tensor([1.0, 2.0, 1.0]).view(-1, 1, 1, 1))
    prior.denoise(z, T, [prior.encode_prompts([""] * 3), prior.encode_prompts(["a", "ab", "a"])], None)
    (sigma, asked, key), (_, _, again) = prior.model.asked
    assert torch.equal(sigma, (T + 1) / 1001) and len(asked) == 2 and key == again
    assert host.encoded == ["", "a", "ab"]


def test_texts_of_other_lengths_are_asked_apart(host):
    prior, z = recipe().load(LoadedPriors(CPU)), torch.randn(3, 4, 8, 8)
    given, = prior.denoise(z, T, [prior.encode_prompts(["a", "long", "ab"])], None)
    assert torch.allclose(given, z + torch.tensor([1.0, 4.0, 2.0]).view(-1, 1, 1, 1))
    assert [sigma.tolist() for sigma, _, _ in prior.model.asked] == [[pytest.approx(x / 1001) for x in part]
                                                                     for part in ((101, 901), (501,))]


def test_equal_conditions_are_asked_once(host):
    prior, z = recipe().load(LoadedPriors(CPU)), torch.randn(2, 4, 8, 8)
    one, other = prior.encode_prompts(["a", "ab"]), prior.encode_prompts(["abc", "ab"])
    found = prior.denoise(z, T[:2], [one, other, one], None)
    assert len(found) == 3 and torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
    assert len(prior.model.asked[0][1]) == 2


def test_wired_conditions_keep_their_roles_and_warn_once(host):
    prior, z = recipe(None, positive=wired(5), negative=wired(-5)).load(LoadedPriors(CPU)), torch.randn(2, 4, 8, 8)
    rows = [prior.encode_prompts([text] * 2) for text in ("", "a cube, front view", "a cube, side view")]
    none, front, side = prior.denoise(z, T[:2], rows, None)
    assert torch.equal(none, z - 5) and torch.equal(front, z + 5) and torch.equal(side, front)
    asked = prior.model.asked[0][1]
    assert set(asked) == {"negative", "positive"} and len(host.warnings) == 1 and "view" in host.warnings[0]
    assert host.encoded == []


def test_perp_neg_of_an_overhead_view_mixes_the_roles(host):
    """Its negatives are the empty text, those of the other views are not."""
    prior, z = recipe(None, positive=wired(5), negative=wired(-5)).load(LoadedPriors(CPU)), torch.randn(2, 4, 8, 8)
    rows = [prior.encode_prompts(texts) for texts in (["", ""], ["top", "side"], ["", "front"])]
    found = prior.denoise(z, T[:2], rows, None)
    assert torch.equal(found[2], z + torch.tensor([-5.0, 5.0]).view(-1, 1, 1, 1)) and len(prior.model.asked[0][1]) == 3


def test_a_negative_text_needs_a_text_encoder(host):
    prior = recipe(None, positive=wired(5), negative=wired(-5)).load(LoadedPriors(CPU))
    rows = [prior.encode_prompts([text]) for text in ("ugly", "a cube")]
    with pytest.raises(DistillError, match='"negative" of View Prompt empty'):
        prior.denoise(torch.zeros(1, 4, 8, 8), T[:1], rows, None)


def test_a_text_encoder_goes_before_wired_conditions(host):
    prior = recipe(positive=wired(5), negative=wired(-5)).load(LoadedPriors(CPU))
    prior.denoise(torch.zeros(1, 4, 8, 8), T[:1], [prior.encode_prompts([text]) for text in ("ugly", "a cube")], None)
    assert host.encoded == ["ugly", "a cube"] and not host.warnings


@pytest.mark.parametrize("side", [16, 64, 128])
def test_pictures_of_any_size_become_scaled_latents_with_gradients(host, side):
    rgb = torch.full((2, side, side, 3), 0.25, requires_grad=True)
    z = recipe().load(LoadedPriors(CPU)).encode_image(rgb).clean
    assert z.shape == (2, 4, 8, 8) and torch.allclose(z, torch.tensor(1.5))
    z.sum().backward()
    assert rgb.grad.abs().sum() > 0


def test_latents_pass_as_they_are(host):
    prior, z = recipe().load(LoadedPriors(CPU)), torch.randn(2, 8, 8, 4)
    assert torch.equal(prior.encode_image(z).clean, z.permute(0, 3, 1, 2))
    assert prior.encode_image(torch.randn(1, 16, 16, 4)).clean.shape == (1, 4, 8, 8)


def test_decoding_undoes_the_scaling(host):
    prior = recipe().load(LoadedPriors(CPU))
    assert torch.allclose(prior.decode_image(torch.full((1, 4, 8, 8), 1.5)), torch.tensor(0.25))


def test_the_end_of_a_run_takes_back_what_was_set_on_the_model(host):
    priors, one = LoadedPriors(CPU), recipe()
    prior = priors(one)
    assert priors(one) is prior and priors(recipe()) is not prior
    priors.release()
    assert prior.model.closed == 1


A, B = ModelFile("models/a.safetensors"), ModelFile("models/b.safetensors")


def test_outside_comfyui_a_checkpoint_is_read_as_stable_diffusion():
    found = PriorFromModelNode.execute(A, A, A, resolution=64).args[0]
    assert found == StableDiffusion("models/a.safetensors", resolution=64)


@pytest.mark.parametrize("vae, clip, message", [
    (A, B, '"model" comes from a.safetensors and "clip" from b.safetensors. Without ComfyUI both must come from the '
           'same'),
    (B, A, '"model" comes from a.safetensors and "vae" from b.safetensors'), (B, B, '"vae" from b.safetensors')])
def test_outside_comfyui_two_checkpoints_do_not_mix(vae, clip, message):
    with pytest.raises(DistillError, match=message):
        PriorFromModelNode.execute(A, vae, clip)


def test_outside_comfyui_the_text_encoder_is_the_checkpoint_s():
    with pytest.raises(DistillError, match='Connect "clip"'):
        PriorFromModelNode.execute(A, A, None, wired(1), wired(-1))
