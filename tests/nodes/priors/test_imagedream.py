"""ImageDream: the published formats, and the two ways in which a picture leads."""

import math

import pytest
import torch
import torch.nn.functional as F

from distill3d.kernels.image.resize import resize_square
from distill3d.nodes import comfy
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.models.multi_view import camera_vectors
from distill3d.nodes.priors.imagedream import ImageDream, ImageDreamPriorNode, _channels_first
from distill3d.nodes.priors.lora_prior import LoRAPrior
from distill3d.nodes.priors.reference_views import reference_views
from distill3d.nodes.priors.sample_prior import sample

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from mv_reference import MultiViewReference
from tiny_mv import (
    HEADS,
    LATENTS,
    PIXELS,
    VISION,
    imagedream_state_dict,
    imagedream_unet_weights,
    write_file,
    write_folder,
)
from tiny_sd import write_tokenizer

CPU = torch.device("cpu")
TEXTS = ["a red re", "red, 3d", "", "b", "c", "d", "e", "f"]


def picture(count=1, seed=9):
    return torch.rand(count, PIXELS, PIXELS, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagedream")
    write_tokenizer(root / "tokenizer")
    torch.save(imagedream_state_dict(), root / "pixel.pt")
    (root / "tiny-local.pt").symlink_to(root / "pixel.pt")
    return root


def load(models, file="pixel.pt", image=None, **more):
    views = reference_views("test", picture() if image is None else image)
    return ImageDream(str(models / file), views, tokenizer=str(models / "tokenizer"), resolution=PIXELS,
                      **more).load(LoadedPriors(CPU))


def noisy():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 4, LATENTS, LATENTS, generator=generator), torch.tensor([500] * 4 + [60] * 4)


def cameras():
    return orbit(torch.arange(8) * (math.pi / 2) + 0.4, 0.1, 2.7, 0.6, 4, 4)


def is_close(ours, theirs, tolerance=1e-5):
    return theirs.std() > 1e-2 and (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


class PictureReference(MultiViewReference):
    """Line by line in float64: CLIP's tower and the resampler as well."""

    def features(self, state, pixels, head=80):
        """Of CLIP's last layer but one."""
        self.state |= {"clip." + key.removeprefix("clip_model.model.visual."): value.double()
                       for key, value in state.items()
                       if key.startswith("clip_model.model.visual.")}
        mean, deviation = (torch.tensor(x, dtype=torch.float64).view(3, 1, 1) for x in
                           ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))
        x = F.conv2d((pixels.double() - mean) / deviation, self.state["clip.conv1.weight"], stride=VISION["patch"])
        x = torch.cat([self.state["clip.class_embedding"].expand(len(x), 1, -1), x.flatten(2).mT], 1)
        x = self.layer_norm("clip.ln_pre", x + self.state["clip.positional_embedding"])
        self.heads = lambda channels: channels // head
        for i in range(VISION["layers"] - 1):
            at = f"clip.transformer.resblocks.{i}"
            h = self.layer_norm(f"{at}.ln_1", x)
            qkv = (h @ self.state[f"{at}.attn.in_proj_weight"].T + self.state[f"{at}.attn.in_proj_bias"]).chunk(3, -1)
            x = x + self.linear(f"{at}.attn.out_proj", self.attend(*qkv))
            h = F.gelu(self.linear(f"{at}.mlp.c_fc", self.layer_norm(f"{at}.ln_2", x)))
            x = x + self.linear(f"{at}.mlp.c_proj", h)
        self.heads = HEADS["sd2"]
        return x

    def resampled(self, features):
        x = self.linear("image_embed.proj_in", features)
        tokens = self.state["image_embed.latents"].expand(len(features), -1, -1)
        for i in range(2):
            at = f"image_embed.layers.{i}"
            queries = self.layer_norm(f"{at}.0.norm2", tokens)
            both = torch.cat([self.layer_norm(f"{at}.0.norm1", x), queries], 1)
            k, v = self.linear(f"{at}.0.to_kv", both).chunk(2, -1)
            tokens = tokens + self.linear(f"{at}.0.to_out", self.attend(self.linear(f"{at}.0.to_q", queries), k, v))
            inner = F.gelu(self.linear(f"{at}.1.1", self.layer_norm(f"{at}.1.0", tokens)))
            tokens = tokens + self.linear(f"{at}.1.3", inner)
        return self.layer_norm("image_embed.norm_out", self.linear("image_embed.proj_out", tokens))


def reference():
    return PictureReference(imagedream_unet_weights(), HEADS["sd2"])


def tokens(of):
    """Without and with the picture: zeros go through the resampler, too."""
    side = VISION["patch"] * VISION["side"]
    features = of.features(imagedream_state_dict(),
                           resize_square(_channels_first(picture()), side, True, "bicubic").clamp(0, 1))
    return of.resampled(torch.cat([torch.zeros_like(features), features]))


def test_the_picture_becomes_tokens_as_line_by_line(models):
    assert is_close(load(models).tokens.double(), tokens(reference()))


@pytest.mark.parametrize("file", ["pixel.pt", "tiny-local.pt"])
def test_denoises_as_a_line_by_line_reference(models, file):
    """Both halves of guidance in one batch: with the picture as fifth view and tokens, and with zeros in both
    places."""
    prior, of, beside = load(models, file), reference(), file == "pixel.pt"
    z_t, t = noisy()
    conditions = [prior.encode_negatives([""] * 8), prior.encode_prompts(TEXTS)]
    found = prior.denoise(z_t, t, conditions, cameras())
    abar = prior.denoiser.noise.abar[t].double().view(-1, 1, 1, 1)
    with torch.no_grad():
        latents = prior.vae.encode(picture().permute(0, 3, 1, 2) * 2 - 1).latent_dist.mode() * 0.18215
    vectors, led = camera_vectors(cameras()), tokens(of)
    for half, (ours, condition) in enumerate(zip(found, conditions)):
        groups = []
        for first in (0, 4):
            rows = [0, 1, 2, 3, 3] if beside else [0, 1, 2, 3]
            z, text, camera = (x[first:first + 4][rows].clone() for x in (z_t, condition.embedding, vectors))
            if beside:
                z[4], camera[4] = half * latents[0], 0
            noise = of(z, t[first].expand(len(z)), text, camera, len(z), led[half].expand(len(z), -1, -1))
            groups.append(noise[:4])
        predicted = (z_t - abar.sqrt() * ours.double()) / (1 - abar).sqrt()
        assert is_close(predicted, torch.cat(groups))


def test_another_picture_changes_only_what_is_led(models):
    first, second = load(models), load(models, image=picture(seed=10))
    z_t, t = noisy()
    for prompts, is_same in ((False, True), (True, False)):
        found = [prior.denoise(z_t, t, [prior.encode_prompts(TEXTS) if prompts else prior.encode_negatives(TEXTS)],
                               cameras())[0]
                 for prior in (first, second)]
        assert torch.equal(*found) == is_same


def test_the_control_goes_by_the_name(models):
    assert load(models).is_beside and not load(models, "tiny-local.pt").is_beside
    assert load(models, "tiny-local.pt", control="pixel").is_beside and not load(models, control="local").is_beside


def test_pictures_are_resized_as_by_pil():
    """Up to its rounding to bytes after each direction; contrasts are mild, since it also cuts overshoots off in
    between."""
    import numpy
    from PIL import Image

    image = ((0.25 + 0.5 * picture(seed=4).repeat_interleave(3, 1).repeat_interleave(3, 2)) * 255).round() / 255
    pil = Image.fromarray((image[0] * 255).round().byte().numpy())
    for side, mode, kind in ((20, "bicubic", Image.Resampling.BICUBIC), (70, "bilinear", Image.Resampling.BILINEAR)):
        theirs = torch.from_numpy(numpy.array(pil.resize((side, side), kind))).permute(2, 0, 1) / 255
        assert (resize_square(_channels_first(image), side, True, mode)[0] - theirs).abs().max() < 1.6 / 255


def test_the_folder_equals_the_file(models, tmp_path):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    file = ImageDream(str(models / "pixel.pt"), reference_views("test", picture()), tokenizer=str(models / "tokenizer"),
                      resolution=PIXELS)
    loaded = file.load(LoadedPriors(CPU))
    folder = write_folder(tmp_path / "folder", loaded, imagedream_unet_weights(), ip_dim=4)
    side = VISION["patch"] * VISION["side"]
    tower = CLIPVisionModel(CLIPVisionConfig(hidden_size=80, intermediate_size=320, num_hidden_layers=3,
                                             num_attention_heads=1,
                                             image_size=side, patch_size=VISION["patch"], hidden_act="gelu"))
    from distill3d.nodes.models.checkpoint_file import CheckpointFile
    from distill3d.nodes.models.clip_vision import read_open_ai_vision

    whole = read_open_ai_vision(CheckpointFile(models / "pixel.pt", "test"), "clip_model.model.visual.", None, "gelu",
                                80)
    weights = {key.removeprefix("vision_model."): value
               for key, value in whole.state_dict().items() if "projection" not in key}
    own = "vision_model." if any(key.startswith("vision_model.") for key in tower.state_dict()) else ""
    tower.load_state_dict({own + key: value for key, value in weights.items()})
    tower.save_pretrained(folder / "image_encoder")
    prior = ImageDream(str(folder), reference_views("test", picture()), resolution=PIXELS).load(LoadedPriors(CPU))
    z_t, t = noisy()
    ours, theirs = (one.denoise(z_t, t, [one.encode_prompts(TEXTS)], cameras())[0] for one in (prior, loaded))
    assert is_close(ours, theirs)


def test_texts_with_and_without_the_picture(models):
    prior = load(models)
    first = prior.encode_negatives(["b", "b", ""])
    given = prior.encode_prompts(["b", "", "c"])
    assert torch.equal(given.embedding[:2], first.embedding[1:])
    assert given.is_conditioned.all() and not first.is_conditioned.any()
    with pytest.raises(DistillError, match="cannot be interpolated"):
        given.lerp(first, torch.zeros(3))
    half = given.lerp(given.take(torch.tensor([1, 2, 0])), torch.full((3,), 0.5))
    assert torch.allclose(half.embedding[0], (given.embedding[0] + given.embedding[1]) / 2, atol=1e-6)
    assert half.is_conditioned.all()


@pytest.mark.parametrize("file", ["pixel.pt", "tiny-local.pt"])
def test_an_adapter_gets_the_camera_of_each_row(models, file):
    """The row of the picture itself belongs to no camera: two groups at once give what each gives alone."""
    lora = LoRAPrior(load(models, file), 3, 0)
    with torch.no_grad():
        for parameter in lora.adapter.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape,
                                              generator=torch.Generator().manual_seed(parameter.numel())))
        z_t, t = noisy()
        conditions = [lora.encode_negatives([""] * 8), lora.encode_prompts(TEXTS)]
        both = lora.denoise(z_t, t, conditions, cameras())
        assert (both[1] - lora.base.denoise(z_t, t, conditions, cameras())[1]).abs().max() > 1e-3
        for group in (torch.arange(4), torch.arange(4, 8)):
            alone = lora.denoise(z_t[group], t[group], [one.take(group) for one in conditions], cameras().take(group))
            for whole, part in zip(both, alone):
                torch.testing.assert_close(whole[group], part, atol=1e-5, rtol=1e-5)


def test_samples_a_set(models):
    prior = load(models)
    pictures = list(sample(prior, TEXTS[:4], steps=2, clamp=False))[-1]
    assert pictures.shape == (4, PIXELS, PIXELS, 3) and pictures.isfinite().all()
    assert (prior.channels, prior.size, prior.views, prior.elevation) == (4, LATENTS, 4, 5.0)


def test_other_models_and_pictures_are_refused(models, tmp_path):
    with pytest.raises(DistillError, match="MVDream Prior node"):
        load(tmp_path, write_file(tmp_path / "mvdream.pt", "sd2").name)
    with pytest.raises(DistillError, match="conditioned on one picture, and 2 are connected"):
        load(models, image=picture(2))
    with pytest.raises(DistillError, match='got "global"'):
        load(models, control="global")
    state = imagedream_state_dict()
    broken = {key: value for key, value in state.items() if "visual" not in key}
    torch.save(broken, tmp_path / "blind.pt")
    (tmp_path / "tokenizer").symlink_to(models / "tokenizer")
    with pytest.raises(DistillError, match="holds no CLIP image tower"):
        load(tmp_path, "blind.pt")
    torch.save({key: value for key, value in state.items() if not key.endswith("image_embed.latents")},
               tmp_path / "global.pt")
    with pytest.raises(DistillError, match="no resampler of pictures"):
        load(tmp_path, "global.pt")


def test_the_node_composes_the_picture_over_white(models, tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.Host, "model_folders", lambda self, kind: [tmp_path / kind])
    (tmp_path / "checkpoints").symlink_to(models)
    schema = ImageDreamPriorNode.define_schema()
    assert [widget.id for widget in schema.inputs] == ["model", "image", "views", "resolution", "precision", "control",
                                                       "tokenizer", "mask"]
    mask = torch.zeros(1, PIXELS, PIXELS)
    mask[:, 4:12, 4:12] = 1
    recipe, = ImageDreamPriorNode.execute("pixel.pt", picture(), resolution=PIXELS, tokenizer="tokenizer",
                                          mask=mask).args
    assert (recipe.picture.over(1.0)[0, :4] == 1).all() and torch.allclose(recipe.picture.over(1.0)[0, 5, 5],
                                                                           picture()[0, 5, 5])
    assert hash(recipe) and recipe.load(LoadedPriors(CPU)).views == 4
    with pytest.raises(DistillError, match="ImageDream is published"):
        ImageDreamPriorNode.execute("sd-v2.1-base-4view-ipmv.pt", picture())
