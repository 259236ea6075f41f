"""Checkpoints in the layout of the latent diffusion code, tiny and with numbers; full sizes:
test_published_sizes.py."""

import pytest
import torch
from safetensors.torch import save_file

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.checkpoint_file import CheckpointFile
from distill3d.nodes.models.ldm_layout import UNET, read_unet, read_vae
from published import ldm_unet, ldm_vae, random_weights

pytest.importorskip("diffusers")

TINY = {
    "sd1": dict(width=32, multipliers=(1, 2), layers=1, depths=(1, 0), context=24),
    "sd2": dict(width=64, multipliers=(1, 2), layers=2, depths=(1, 0), context=24, linear=True),
    "xl": dict(width=64, multipliers=(1, 2), layers=1, depths=(0, 2), middle=2, context=40, linear=True,
               pooled=6 * 256 + 16),
}


@pytest.mark.parametrize("model", TINY)
def test_a_tiny_unet_gives_what_diffusers_own_conversion_gives(tmp_path, model):
    """diffusers converts the same names by code of its own: an independent account of which weight is which."""
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    state = random_weights(ldm_unet(**TINY[model]), UNET)
    save_file(state, tmp_path / "model.safetensors")
    unet = read_unet(CheckpointFile(tmp_path / "model.safetensors", "test"))
    reference = UNet2DConditionModel(**{key: value for key, value in unet.config.items() if not key.startswith("_")})
    reference.load_state_dict(convert_ldm_unet_checkpoint(dict(state), dict(unet.config)))
    generator = torch.Generator().manual_seed(1)
    x, t = torch.randn(2, 4, 8, 8, generator=generator), torch.tensor([3, 700])
    text = torch.randn(2, 5, unet.config.cross_attention_dim, generator=generator)
    more = {"added_cond_kwargs": {"text_embeds": torch.randn(2, 16, generator=generator), "time_ids": torch.ones(2, 6)}}
    arguments = (x, t, text)
    with torch.no_grad():
        ours, theirs = (net(*arguments, **(more if model == "xl" else {})).sample for net in (unet, reference.eval()))
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    assert theirs.std() > 0.01  # not a comparison of zeros


def test_a_tiny_autoencoder_gives_what_diffusers_own_conversion_gives(tmp_path):
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    state = random_weights(ldm_vae((32, 64), 1), "first_stage_model.")
    torch.save({"state_dict": {**state, "first_stage_model.loss.logvar": torch.zeros(())}}, tmp_path / "model.ckpt")
    vae = read_vae(CheckpointFile(tmp_path / "model.ckpt", "test"))
    reference = AutoencoderKL(**{key: value for key, value in vae.config.items() if not key.startswith("_")})
    reference.load_state_dict(convert_ldm_vae_checkpoint(dict(state), dict(vae.config)))
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        z, expected = vae.encode(x).latent_dist.mode(), reference.eval().encode(x).latent_dist.mode()
        back, expected_back = vae.decode(z).sample, reference.decode(expected).sample
    assert (z - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (back - expected_back).abs().max() <= 1e-5 * expected_back.abs().max()


def test_the_average_is_taken_where_it_is_kept(tmp_path):
    shapes = ldm_unet(**TINY["sd1"])
    trained, average = random_weights(shapes, UNET, seed=0), random_weights(shapes, seed=1)
    kept = {"model_ema." + ("diffusion_model." + key).replace(".", ""): value for key, value in average.items()}
    torch.save({"state_dict": trained | kept | {"model_ema.decay": torch.tensor(0.9)}}, tmp_path / "model.ckpt")
    source = CheckpointFile(tmp_path / "model.ckpt", "test")
    assert torch.equal(read_unet(source, average=True).conv_in.weight, average["input_blocks.0.0.weight"])
    assert torch.equal(read_unet(source).conv_in.weight, trained[UNET + "input_blocks.0.0.weight"])


def test_another_model_is_refused_before_anything_is_read(tmp_path):
    shapes = ldm_unet(**TINY["sd1"])
    del shapes["input_blocks.1.0.out_layers.0.bias"]
    save_file(random_weights(shapes, UNET), tmp_path / "model.safetensors")
    with pytest.raises(DistillError, match="lacks .*norm2.bias"):
        read_unet(CheckpointFile(tmp_path / "model.safetensors", "test"))
    save_file({"lora_unet.weight": torch.zeros(2, 2)}, tmp_path / "lora.safetensors")
    with pytest.raises(DistillError, match="no UNet in the layout"):
        read_unet(CheckpointFile(tmp_path / "lora.safetensors", "test"))
