"""Every published model at full size, as our loaders build it on no device: names, shapes and counts, in one table
(pytest -s).

Zero123-XL and Stable-Zero123 have Zero123's layout, Stable Diffusion 2.1 (v) that of its base.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Callable
from unittest.mock import patch

import pytest
import torch

from distill3d.nodes.models.clip_text import read_hugging_face_clip, read_open_clip
from distill3d.nodes.models.clip_vision import read_open_ai_vision
from distill3d.nodes.models.image_resampler import ImageResampler, build_with_pictures, read_resampler
from distill3d.nodes.models.ldm_layout import UNET, VAE, read_unet, read_vae, unet_renaming, vae_renaming
from distill3d.nodes.models.multiview_unet import MultiViewFile
from distill3d.nodes.priors import zero123
from distill3d.nodes.priors.reference_views import reference_views

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from published import ShapesOnly, hugging_face_clip, ldm_unet, ldm_vae, open_clip, parameters, with_prefix
from tiny_mv import picture_shapes, vision_shapes
from tiny_zero123 import open_ai_vision

CONFIGURATION = "counted from the published configuration"
OPEN_CLIP = "open_clip, docs/model_profile.csv"
VIEWS = 4
UNETS = {
    "sd1": dict(),
    "sd2": dict(context=1024, linear=True),
    "sdxl": dict(multipliers=(1, 2, 4), depths=(0, 2, 10), middle=10, context=2048, linear=True, pooled=2816),
    "zero123": dict(inputs=8),
    "mvdream sd1": dict(camera=16),
    "mvdream sd2": dict(context=1024, linear=True, camera=16),
    "albedo": dict(context=1024, linear=True, camera=16, inputs=5),
}
FULL_VAE = with_prefix(VAE, ldm_vae())


@functools.cache
def unet(layout):
    """The UNet of a layout, through the loader of its node."""
    shapes = ldm_unet(**UNETS[layout])
    file = ShapesOnly(with_prefix(UNET, shapes))
    if "camera" not in UNETS[layout]:
        return read_unet(file)
    return multi_view_file(file).read_unet(VIEWS, torch.float32, inputs=UNETS[layout].get("inputs", 4))


def multi_view_file(file):
    with patch("distill3d.nodes.models.multiview_unet.CheckpointFile", lambda path, name: file):
        return MultiViewFile("published.pt", "test")


@functools.cache
def imagedream():
    """ImageDream's UNet and the resampler of its picture."""
    shapes = ldm_unet(**UNETS["mvdream sd2"])
    file = multi_view_file(ShapesOnly(with_prefix(UNET, shapes | picture_shapes(shapes))))
    resampler = read_resampler(file.source, file.prefix, torch.float32)
    build = functools.partial(build_with_pictures, tokens=resampler.latents.shape[1])
    return file.read_unet(VIEWS + 1, torch.float32, build), resampler


@functools.cache
def if_unet(width):
    """The UNet of IF stage I, whose sizes differ in the width of the first level only."""
    from diffusers import UNet2DConditionModel

    levels = tuple(width * factor for factor in (1, 2, 3, 4))
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=64, in_channels=3, out_channels=6, block_out_channels=levels, layers_per_block=3,
            down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
            act_fn="gelu", attention_head_dim=64, cross_attention_dim=levels[-1], cross_attention_norm="group_norm",
            encoder_hid_dim=4096, encoder_hid_dim_type="text_proj", addition_embed_type="text",
            addition_embed_type_num_heads=64, resnet_time_scale_shift="scale_shift", only_cross_attention=False)


@functools.cache
def t5():
    """T5 1.1 XXL, encoder only."""
    from transformers import T5Config, T5EncoderModel

    with torch.device("meta"):
        return T5EncoderModel(T5Config(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
                                       feed_forward_proj="gated-gelu", tie_word_embeddings=False))


@functools.cache
def zero123_model():
    """The whole of 105000.ckpt through the node's own reading, and the file that it was read from."""
    unet, tower = ldm_unet(**UNETS["zero123"]), open_ai_vision()
    shapes = with_prefix(UNET, unet) | FULL_VAE | with_prefix(zero123.VISION, tower) | {
        "model_ema.diffusion_model" + key.replace(".", ""): shape for key, shape in unet.items()}
    shapes |= {"cc_projection.weight": (768, 772), "cc_projection.bias": (768,), "model_ema.decay": ()}
    file = ShapesOnly(shapes, "105000.ckpt")
    recipe = zero123.Zero123("105000.ckpt", reference_views("test", torch.rand(1, 64, 64, 3), None, "5", "20", 1.5),
                             "Zero123")
    with patch("distill3d.nodes.priors.zero123.CheckpointFile", lambda path, name: file):
        return recipe._read_file(Path("105000.ckpt"), torch.float16), file


def flux():
    """FLUX.1-dev's transformer, whose configuration is diffusers' default but for the guidance that it takes."""
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        return FluxTransformer2DModel(guidance_embeds=True)


def clip_h(layers=24):
    return read_open_clip(ShapesOnly(open_clip(layers=layers)), "")


def clip_big_g():
    return read_open_clip(ShapesOnly(open_clip(1280, 32)), "", penultimate=False)


@dataclass
class Row:
    """build  gives the modules; published: parameters, exact or in millions ("M") or gigabytes of half precision ("GB")

    left_out  parameters that the published count has and the network does without
    """

    model: str
    build: Callable[[], object]
    published: str
    entries: int | None = None
    source: str = CONFIGURATION
    left_out: int = 0

    def built(self):
        """State-dict entries and parameters."""
        modules = self.build()
        modules = modules if isinstance(modules, tuple) else (modules,)
        return sum(len(one.state_dict()) for one in modules), sum(
            weight.numel() for one in modules for weight in one.parameters())

    def in_published_form(self, count):
        if self.published.endswith("M"):
            digits = len(self.published.removesuffix(" M").partition(".")[2])
            return f"{count / 1e6:.{digits}f} M"
        return f"{2 * count / 1e9:.1f} GB" if self.published.endswith("GB") else f"{count:,}"


ROWS = (
    Row("Stable Diffusion 1.5, UNet", lambda: unet("sd1"), "859,520,964", 686),
    Row("Stable Diffusion 2.1 base, UNet", lambda: unet("sd2"), "865,910,724", 686),
    Row("Stable Diffusion 2.1 (v), UNet", lambda: unet("sd2"), "865,910,724", 686),
    Row("Stable Diffusion XL, UNet", lambda: unet("sdxl"), "2,567,463,684", 1680),
    Row("Stable Diffusion, VAE", lambda: read_vae(ShapesOnly(FULL_VAE)), "83,653,863", 248),
    Row("CLIP ViT-L/14, text (SD 1.5, XL)", lambda: read_hugging_face_clip(ShapesOnly(hugging_face_clip()), ""),
        "123.65 M", 196, OPEN_CLIP, left_out=768 * 768),  # the projection, which Stable Diffusion does not read
    Row("OpenCLIP ViT-H/14, text (SD 2.1)", clip_h, "354.03 M", 372, OPEN_CLIP,
        # last layer, projection, scale
        left_out=parameters(open_clip()) - parameters(open_clip(layers=23)) + 1024 * 1024 + 1),
    Row("OpenCLIP ViT-bigG/14, text (SD XL)", clip_big_g, "694.66 M", 517, OPEN_CLIP, left_out=1),  # the scale
    Row("DeepFloyd IF-I M, UNet", lambda: if_unet(192), "372 M"),
    Row("DeepFloyd IF-I L, UNet", lambda: if_unet(320), "935 M"),
    Row("DeepFloyd IF-I XL, UNet", lambda: if_unet(704), "4,304,695,110", 775),
    Row("T5 1.1 XXL, encoder (IF)", t5, "9.5 GB", source="half-precision file of IF's text encoder"),
    Row("FLUX.1 dev, transformer", flux, "23.8 GB", 1160, source="half-precision files of the transformer"),
    Row("Zero123, UNet", lambda: zero123_model()[0].unet, "859,532,484", 686),
    Row("Zero123-XL, UNet", lambda: zero123_model()[0].unet, "859,532,484", 686),
    Row("Stable-Zero123, UNet", lambda: unet("zero123"), "859,532,484", 686),
    Row("Zero123, VAE", lambda: zero123_model()[0].vae, "83,653,863", 248),
    Row("Zero123, CLIP ViT-L/14 image tower", lambda: zero123_model()[0].extra["vision"], "303,966,208"),
    Row("CLIP ViT-L/14, image tower", lambda: zero123_model()[0].extra["vision"], "303.97 M", source=OPEN_CLIP),
    Row("Zero123, pose projection", lambda: zero123_model()[0].extra["projection"], "593,664", 2),
    Row("MVDream (SD 2.1), UNet", lambda: unet("mvdream sd2"), "867,572,164", 690),
    Row("MVDream (SD 1.5), UNet", lambda: unet("mvdream sd1"), "861,182,404", 690),
    Row("ImageDream, UNet and resampler", imagedream, "941,672,900", 773),
    Row("ImageDream, OpenCLIP ViT-H/14 image tower", lambda: read_open_ai_vision(
        ShapesOnly(vision_shapes()), "", None, "gelu", 80), "632.08 M", source=OPEN_CLIP),
    Row("RichDreamer ND-MV, UNet", lambda: unet("mvdream sd1"), "861,182,404", 690),
    Row("RichDreamer ND, UNet", lambda: unet("sd1"), "859,520,964", 686),
    Row("RichDreamer ND, VAE", lambda: read_vae(ShapesOnly(with_prefix(VAE, ldm_vae(pictures=4))), pictures=4),
        f"{83_653_863 + 9 * 128 + 9 * 128 + 1:,}", 248),  # one channel more, in and out
    Row("RichDreamer albedo-MV, UNet", lambda: unet("albedo"), f"{867_572_164 + 9 * 320:,}", 690),
)


def test_every_model_has_its_published_size():
    wrong, lines = [], [f"{'model':<42}{'entries':>8}{'parameters':>15}{'published':>15}  source"]
    for row in ROWS:
        entries, count = row.built()
        lines.append(f"{row.model:<42}{entries:>8}{count:>15,}{row.published:>15}  {row.source}"
                     + (f", {row.left_out:,} of them not needed" if row.left_out else ""))
        if row.in_published_form(count + row.left_out) != row.published or row.entries not in (None, entries):
            wrong.append(f"{row.model}: {entries} entries, {count + row.left_out:,} parameters, "
                         f"not {row.entries} and {row.published}")
    print("", *lines, sep="\n")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("layout", UNETS)
def test_the_published_names_are_diffusers_names(layout):
    """The loader compares them too, but lets 1x1 convolutions stand for linear layers."""
    network, shapes = unet(layout), ldm_unet(**UNETS[layout])
    rename = unet_renaming(network.config["layers_per_block"])
    assert {rename(key): tuple(shape) for key, shape in shapes.items()} == shapes_of(network)
    assert parameters(shapes) == sum(weight.numel() for weight in network.parameters())


def shapes_of(network):
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("pictures", [3, 4])
def test_the_published_autoencoders_are_diffusers(pictures):
    shapes = ldm_vae(pictures=pictures)
    vae = read_vae(ShapesOnly(with_prefix(VAE, shapes)), pictures=pictures)
    assert {vae_renaming(4)(key) for key in shapes} == set(vae.state_dict())
    assert parameters(shapes) == sum(weight.numel() for weight in vae.parameters())
    assert (vae.config.in_channels, vae.config.out_channels) == (pictures, pictures)


@pytest.mark.parametrize(("layout", "inputs", "heads"),
                         [("sd1", 4, 8), ("mvdream sd1", 4, 8), ("albedo", 5, (5, 10, 20, 20))])
def test_channels_and_heads_of_richdreamers_networks(layout, inputs, heads):
    config = unet(layout).config
    assert (config.in_channels, config.out_channels) == (inputs, 4)
    assert (tuple(config.attention_head_dim) if inputs == 5 else config.attention_head_dim) == heads


@pytest.mark.parametrize("layout", ["mvdream sd1", "mvdream sd2"])
def test_every_self_attention_of_a_multi_view_model_is_joint(layout):
    processors = unet(layout).attn_processors
    joint = [name for name, processor in processors.items() if type(processor).__name__ == "JointAttention"]
    assert len(joint) == 16 and all("attn1" in name for name in joint) and len(processors) == 32


def test_imagedreams_names_are_the_published_ones():
    unet_shapes = ldm_unet(**UNETS["mvdream sd2"])
    full = unet_shapes | picture_shapes(unet_shapes)
    (network, resampler), rename = imagedream(), unet_renaming(2)
    assert (len(full), parameters(full)) == (773, 941_672_900)
    assert shapes_of(network) == {rename(key): shape
                                  for key, shape in full.items() if not key.startswith("image_embed.")}
    with torch.device("meta"):
        by_numbers = ImageResampler(1280, 1024, 1024, 16, 4, 768, 4)
    assert shapes_of(resampler) == shapes_of(by_numbers)
    assert with_prefix("image_embed.", shapes_of(resampler)) == {
        key: shape for key, shape in full.items() if key.startswith("image_embed.")}
    assert parameters(vision_shapes()) == 632_076_800  # OpenCLIP's ViT-H/14, image tower


def test_zero123_is_read_from_its_averages_in_half_precision():
    model, file = zero123_model()
    assert model.unet.dtype == torch.float16 and model.vae.dtype == torch.float32
    assert not [key for key in file.asked if key.startswith(UNET)]
    zero123._check_widths(model, Path("105000.ckpt"))


def test_the_image_tower_of_zero123_is_openais():
    shapes, config = open_ai_vision(), zero123_model()[0].extra["vision"].config
    assert (len(shapes), parameters(shapes)) == (296, 303_966_208)
    assert (config.image_size, config.patch_size, config.hidden_size, config.num_hidden_layers,
            config.num_attention_heads,
            config.intermediate_size, config.projection_dim) == (224, 14, 1024, 24, 16, 4096, 768)


def test_the_text_encoder_is_larger_than_the_network_it_serves():
    """Why DeepFloyd IF Prior lets go of it: 9.5 GB in half precision, the UNet 8.6."""
    sizes = [sum(weight.numel() for weight in network.parameters()) for network in (t5(), if_unet(704))]
    assert sizes[0] > sizes[1]
