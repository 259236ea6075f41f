"""Multi-view trainers: small models in the layouts of MVDream and RichDreamer's ND-MV, which denoise all views
together."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..core.cameras import Cameras, orbit
from ..core.errors import DistillError
from ..core.picture import NORMAL_DEPTH
from ..models.builtin import BUILTIN_MVDREAM, BUILTIN_NORMAL_DEPTH
from ..models.folder_writer import fresh_folder
from ..models.ldm_names import ldm_state
from ..models.multi_view import camera_vectors, join_views, relative_camera_vectors
from ..models.silence import silence
from .caption_reading import learn_to_read, shape_facts
from .clip_vocabulary import write_tokenizer
from .denoising_trainer import DenoisingTrainer, Lesson, PriorRecipe
from .latents import (
    FACTOR,
    LATENTS,
    build_autoencoder,
    decode,
    encode,
    get_autoencoder,
    noise_schedule,
    pictures,
    pixels,
    read_autoencoder,
    sample,
)
from .sample_sheet import contact_sheet
from .shape_views import ViewImages

WIDTH, TOKENS = 64, 77  # of the text's hidden states; of a text
LAYERS = 1  # residual blocks per resolution
ALONE = 0.1  # share of groups without a caption
WEIGHTS = "diffusion_pytorch_model.safetensors"
SHEET_CAPTIONS = ("an orange sphere with a blue nose", "a red cube with a green nose", "a purple cylinder with a "
                  "yellow nose",
                  "a cyan cone on top of a pink cube", "a red cube", "a blue sphere on top of a green cylinder")


class MultiViewTrainer(DenoisingTrainer):
    """Groups of views of one object, conditioned on its caption and the cameras. Self-attention spans the views of a
    group, so that they agree (Shi et al. 2023, MVDream). The text encoder is pretrained, as the text-to-image
    prior's."""

    name, index, shipped = "Train MVDream Prior", "model_index.json", BUILTIN_MVDREAM
    channels = 3  # of the pictures
    attention = (True, True, True)  # at each resolution
    needed = "color"

    def __init__(self, data: ViewImages, recipe: PriorRecipe, device="cpu"):
        count, self.views, _, side, channels = data.images.shape
        if not count or channels != self.channels or side % 8:
            raise DistillError(f"{self.name}: pictures of {self.channels} channels are needed, with a width that is a "
                               f"multiple of 8; got {count} shapes with pictures of {side} pixels and {channels} "
                               f'channels. In Shape Views, set picture to "{self.needed}" and cameras to "all around".')
        self.data, self.side = data, side
        super().__init__(recipe, device)
        self.tokenizer = build_tokenizer()

    def networks(self) -> dict[str, nn.Module]:
        return {"unet": build_unet(self.recipe.channels, self.attention, self.views, self.side // FACTOR, self.name),
                "text_encoder": build_text_encoder(), "vae": build_autoencoder()}

    def alphas_cumprod(self) -> Tensor:
        return noise_schedule().alphas_cumprod

    def prepare(self, callback=None) -> None:
        if "vae" in self.model:
            get_autoencoder(self.model["vae"], self.data.images, self.recipe, callback)
        if self.recipe.reading_steps:
            self._learn_to_read(callback)
        self.average.load_state_dict(self.model.state_dict())

    def _learn_to_read(self, callback):
        encoder = self.model["text_encoder"]

        def knowing(texts):
            # A causal encoder represents the whole text only at its end.
            return encode_text(encoder, self.tokenizer, texts)[:, TOKENS // 3:]

        learn_to_read(encoder, knowing, shape_facts(self.data.captions), lambda rng, row: str(self.data.captions[row]),
                      self.recipe.reading_steps, self.recipe.seed, callback)

    def begin_from(self, folder: str) -> None:
        try:
            read_folder(folder, self.model, self.views)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise DistillError(f"{self.name}: the networks in {folder} have other sizes than those to be trained. Use "
                               "the channels that they were made with.") from error
        self.average.load_state_dict(self.model.state_dict())
        self.must_read = False

    def lesson(self, rng: np.random.Generator, generator: torch.Generator) -> Lesson:
        rows = rng.integers(len(self.data.images), size=self.recipe.batch // self.views)
        texts = ["" if rng.random() < ALONE else str(self.data.captions[row]) for row in rows]
        generator.manual_seed(int(rng.integers(2**62)))
        clean = self.to_latents(pixels(self.data.images[rows].reshape(-1, *self.data.images.shape[2:]), self.device))
        vectors = self.vectors(self.cameras(rows)).to(self.device)

        def predict(noisy, t):
            hidden = encode_text(self.model["text_encoder"], self.tokenizer, texts).repeat_interleave(self.views, 0)
            return self.model["unet"](noisy, t, hidden, class_labels=vectors).sample

        return Lesson(clean, predict)

    def cameras(self, rows) -> Cameras:
        """Of the groups at `rows`, one group after another."""
        data = self.data
        return orbit(*(torch.from_numpy(values[rows].reshape(-1)) for values in
                       (data.azimuth, data.elevation, data.distance, data.fovy)), self.side, self.side)

    def vectors(self, cameras: Cameras) -> Tensor:
        """The camera condition of the network [B,16]."""
        return camera_vectors(cameras)

    def to_latents(self, x: Tensor) -> Tensor:
        """Pictures [B,C,H,W] in [-1,1] -> the tensor that is noised."""
        return encode(self.model["vae"], x)

    def from_latents(self, model: nn.ModuleDict, z: Tensor) -> Tensor:
        """Pictures [B,H,W,3] in [0,1] on the CPU."""
        return pictures(decode(model["vae"], z))

    def sample_sheet(self) -> Tensor:
        """One row of views per caption, from the front on."""
        return contact_sheet(paint(self, self.average, SHEET_CAPTIONS), columns=self.views, zoom=3)

    def save_pipeline(self, path: str) -> None:
        write_folder(path, self.average)


class NormalDepthTrainer(MultiViewTrainer):
    """The same for normals and depth, which are noised directly, without an autoencoder (Qiu et al. 2023,
    RichDreamer)."""

    name, shipped = "Train Normal-Depth Prior", BUILTIN_NORMAL_DEPTH
    channels = LATENTS
    attention = (False, True, True)  # the first resolution has four times the pixels of latents
    needed = NORMAL_DEPTH

    def networks(self) -> dict[str, nn.Module]:
        return {"unet": build_unet(self.recipe.channels, self.attention, self.views, self.side, self.name),
                "text_encoder": build_text_encoder()}

    def vectors(self, cameras: Cameras) -> Tensor:
        return relative_camera_vectors(cameras)

    def to_latents(self, x: Tensor) -> Tensor:
        return x

    def from_latents(self, model: nn.ModuleDict, z: Tensor) -> Tensor:
        return pictures(z)[..., :3]


def build_unet(channels: Sequence[int], attention: Sequence[bool], views: int, size: int, name: str) -> nn.Module:
    """A new UNet2DConditionModel with joint attention, with the sizes that loaders of LDM's layout assume: 32 groups,
    heads of 64 channels where the projections around attention are linear. attention: at each resolution."""
    from diffusers import UNet2DConditionModel

    check_channels(channels, name)
    attention = tuple(attention)[-len(channels):]
    return join_views(UNet2DConditionModel(
        sample_size=size,
        in_channels=LATENTS,
        out_channels=LATENTS,
        block_out_channels=tuple(channels),
        layers_per_block=LAYERS,
        down_block_types=tuple("CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention),
        up_block_types=tuple("CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)),
        cross_attention_dim=WIDTH,
        attention_head_dim=tuple(max(width // 64, 1) for width in channels),
        use_linear_projection=True,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    ), views)


def check_channels(channels: Sequence[int], name: str) -> None:
    """Raises DistillError for channels that the layout's groups do not divide."""
    if not 2 <= len(channels) <= 3 or any(width < 32 or width % 32 for width in channels):
        raise DistillError(f"{name}: channels are {tuple(channels)}. Use two or three multiples of 32, e.g. (32, 64, "
                           "96).")


def build_text_encoder() -> nn.Module:
    """A new CLIP text model over the words of `clip_vocabulary`."""
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = build_tokenizer()
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH,
        num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=TOKENS, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def build_tokenizer():
    """The CLIP tokenizer that write_tokenizer writes."""
    import tempfile

    from transformers import CLIPTokenizer

    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(folder)
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def encode_text(text_encoder: nn.Module, tokenizer, texts: Sequence[str]) -> Tensor:
    """Hidden states [B,77,C] of padded texts, as Stable Diffusion reads them. Differentiable in the weights."""
    tokens = tokenizer(list(texts), padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    return text_encoder(tokens.input_ids.to(text_encoder.device)).last_hidden_state


@torch.no_grad()
def paint(trainer: MultiViewTrainer, model: nn.ModuleDict, captions: Sequence[str], elevation: float = 15.0,
          guidance: float = 4.0, steps: int = 50) -> Tensor:
    """Samples [N V,H,W,3]: the views of each caption, evenly spaced from the front on. elevation: degrees."""
    device, views = trainer.device, trainer.views
    turn = torch.arange(views).repeat(len(captions)) * (2 * torch.pi / views)
    distance, fovy = float(trainer.data.distance.mean()), float(trainer.data.fovy.mean())
    cameras = orbit(turn, math.radians(elevation), distance, fovy, 1, 1)
    vectors = trainer.vectors(cameras).to(device).repeat(2, 1)
    hidden = encode_text(model["text_encoder"], trainer.tokenizer, [*captions, *[""] * len(captions)])
    hidden = hidden.repeat_interleave(views, 0)

    def predict(noisy, t):
        return model["unet"](torch.cat([noisy, noisy]), t.repeat(2), hidden, class_labels=vectors).sample.chunk(2)

    size = model["unet"].config.sample_size
    return trainer.from_latents(model, sample(predict, (len(turn), LATENTS, size, size), device, guidance, steps))


def write_folder(path: str, model: nn.ModuleDict) -> None:
    """Write a folder in the form of MVDream's conversion for diffusers (LDM's names for the UNet), in half
    precision."""
    from safetensors.torch import save_file

    model = copy.deepcopy(model).to("cpu", torch.float16, memory_format=torch.contiguous_format)
    with fresh_folder(path) as fresh, silence():
        for part in model.keys() - {"unet"}:
            model[part].save_pretrained(os.path.join(fresh, part), safe_serialization=True)
        write_tokenizer(os.path.join(fresh, "tokenizer"))
        noise_schedule().save_pretrained(os.path.join(fresh, "scheduler"))
        os.makedirs(os.path.join(fresh, "unet"))
        state = {key: value.contiguous() for key, value in ldm_state(model["unet"].state_dict(), LAYERS).items()}
        save_file(state, os.path.join(fresh, "unet", WEIGHTS))
        parts = {"unet": ["mvdream", "MultiViewUNetModel"], "vae": ["diffusers", "AutoencoderKL"],
                 "text_encoder": ["transformers", "CLIPTextModel"]}
        with open(os.path.join(fresh, "model_index.json"), "w", encoding="utf-8") as index:
            json.dump({"_class_name": "MVDreamPipeline", **{part: parts[part] for part in parts if part in model},
                       "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDPMScheduler"]},
                      index, indent=1)


def read_folder(folder: str, model: nn.ModuleDict, views: int) -> None:
    """Fill the networks of `model` from a folder of write_folder. Raises OSError or RuntimeError for other networks."""
    from safetensors.torch import load_file
    from transformers import CLIPTextModel

    if "vae" in model:
        read_autoencoder(folder, model["vae"])
    with silence():
        found = CLIPTextModel.from_pretrained(os.path.join(folder, "text_encoder"), local_files_only=True)
    model["text_encoder"].load_state_dict(found.float().state_dict())
    own = ldm_state({key: key for key in model["unet"].state_dict()}, LAYERS)
    found = load_file(os.path.join(folder, "unet", WEIGHTS))
    model["unet"].load_state_dict({own[key]: value.float() for key, value in found.items()})
