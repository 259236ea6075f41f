"""Zero123 trainer: a small model in the layout of Zero123, which denoises a view of an object given another one."""

from __future__ import annotations

import copy
import json
import os

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Linear

from ...kernels.image.clip_pixels import clip_pixels
from ..core.cameras import relative_pose
from ..core.errors import DistillError
from ..models.builtin import BUILTIN_ZERO123
from ..models.folder_writer import fresh_folder
from ..models.silence import silence
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
from .shape_views import ANYWHERE, COLOR, ShapeViews, ViewImages

WIDTH, POSE = 64, 4  # of an image embedding and its token; of a pose
ALONE = 0.1  # share of pairs that are trained without condition
PROJECTION, WEIGHTS = "clip_camera_projection", "diffusion_pytorch_model.safetensors"


class Zero123Trainer(DenoisingTrainer):
    """Pairs of views of one object. The first is the condition: its latents are concatenated to the noised ones, and
    its embedding together with the relative camera is one token (Liu et al. 2023). The image encoder is trained along,
    from nothing."""

    name, index, shipped = "Train Zero123 Prior", "model_index.json", BUILTIN_ZERO123

    def __init__(self, data: ViewImages, recipe: PriorRecipe, device="cpu"):
        count, views, _, side, channels = data.images.shape
        if not count or views < 2 or channels != 3 or side % (4 * FACTOR):
            raise DistillError(f"{self.name}: two or more colour pictures of each shape are needed, with a width that "
                               f"is a multiple of {4 * FACTOR}; got {count} shapes with {views} of {side} pixels and "
                               f'{channels} channels. In Shape Views, set picture to "color" and views to 2 or more.')
        self.data = data
        super().__init__(recipe, device)

    def networks(self) -> dict[str, nn.Module]:
        return {"unet": build_unet(self.recipe.channels, self.data.images.shape[2] // FACTOR),
                "image_encoder": build_image_encoder(self.data.images.shape[2]),
                PROJECTION: Linear(WIDTH + POSE, WIDTH), "vae": build_autoencoder()}

    def alphas_cumprod(self) -> Tensor:
        return noise_schedule().alphas_cumprod

    def prepare(self, callback=None) -> None:
        get_autoencoder(self.model["vae"], self.data.images, self.recipe, callback)
        self.average["vae"].load_state_dict(self.model["vae"].state_dict())

    def begin_from(self, folder: str) -> None:
        try:
            read_folder(folder, self.model)
        except (OSError, RuntimeError, ValueError) as error:
            raise DistillError(f"{self.name}: the networks in {folder} have other sizes than those to be trained. Use "
                               "the channels and the resolution that they were made with.") from error
        self.average.load_state_dict(self.model.state_dict())
        self.must_read = False

    def lesson(self, rng: np.random.Generator, generator: torch.Generator) -> Lesson:
        views = self.data.images.shape[1]
        rows = rng.integers(len(self.data.images), size=self.recipe.batch)
        first = rng.integers(views, size=len(rows))
        second = (first + 1 + rng.integers(views - 1, size=len(rows))) % views
        is_led = torch.as_tensor(rng.random(len(rows)) >= ALONE).to(self.device).float()
        generator.manual_seed(int(rng.integers(2**62)))
        clean = encode(self.model["vae"], pixels(self.data.images[rows, second], self.device))
        pose = poses(self.data, rows, first, second).to(self.device)
        reference = self.data.images[rows, first]

        def predict(noisy, t):
            token, beside = condition(self.model, reference, pose)
            return self.model["unet"](torch.cat([noisy, beside * is_led.view(-1, 1, 1, 1)], 1), t,
                                      token * is_led.view(-1, 1, 1)).sample

        return Lesson(clean, predict)

    def sample_sheet(self) -> Tensor:
        """Rows: the conditioning picture, then three pairs of truth and sample."""
        side = self.data.images.shape[2]
        data = ShapeViews(size=6, views=4, picture=COLOR, cameras=ANYWHERE, resolution=side, seed=2**31).render()
        rows, seconds = np.repeat(np.arange(6), 3), np.tile([1, 2, 3], 6)
        painted = paint(self.average, data, rows, np.zeros_like(rows), seconds)
        truth = torch.from_numpy(data.images).float() / 255.0
        cells = []
        for row in range(6):
            cells.append(truth[row, 0])
            for view in range(3):
                cells += [truth[row, view + 1], painted[3 * row + view]]
        return contact_sheet(torch.stack(cells), columns=7, zoom=3)

    def save_pipeline(self, path: str) -> None:
        write_folder(path, self.average)


def build_unet(channels: tuple[int, ...], size: int) -> nn.Module:
    """A new UNet2DConditionModel of Stable Diffusion's layout: noised and conditioning latents in, velocity out."""
    from diffusers import UNet2DConditionModel

    check_channels(channels)
    return UNet2DConditionModel(
        sample_size=size,
        in_channels=2 * LATENTS,
        out_channels=LATENTS,
        block_out_channels=tuple(channels),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * len(channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(channels),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def check_channels(channels: tuple[int, ...]) -> None:
    """Raises DistillError for channels that the layout's groups and heads do not divide."""
    if not 2 <= len(channels) <= 3 or any(width < 16 or width % 16 for width in channels):
        raise DistillError(f"Train Zero123 Prior: channels are {tuple(channels)}. Use two or three multiples of 16, "
                           "e.g. (64, 96, 128).")


def build_image_encoder(side: int) -> nn.Module:
    """A new CLIP image encoder for pictures of `side` pixels."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH, num_hidden_layers=2,
        num_attention_heads=4, image_size=side, patch_size=side // 4))


def poses(data: ViewImages, rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> Tensor:
    """The relative cameras from the first to the second views: relative_pose [B,4]."""
    def angles(values, views):
        return torch.from_numpy(values[rows, views])

    return relative_pose(angles(data.elevation, first), angles(data.azimuth, first), angles(data.elevation, second),
                         angles(data.azimuth, second), angles(data.distance, second) - angles(data.distance, first))


def condition(model: nn.ModuleDict, reference: np.ndarray, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Token [B,1,C] and latents [B,4,h,w] of conditioning pictures uint8 [B,H,W,3]."""
    rgb = torch.from_numpy(reference).to(pose.device).float() / 255.0
    tower = model["image_encoder"]
    embedding = tower(clip_pixels(rgb, tower.config.image_size)).image_embeds
    token = model[PROJECTION](torch.cat([embedding, pose], -1))[:, None]
    return token, encode(model["vae"], rgb.permute(0, 3, 1, 2) * 2 - 1)


@torch.no_grad()
def paint(model: nn.ModuleDict, data: ViewImages, rows, first, second, guidance: float = 3.0,
          steps: int = 50) -> Tensor:
    """Samples [B,H,W,3] of the second views, conditioned on the first."""
    device = next(model.parameters()).device
    token, beside = condition(model, data.images[rows, first], poses(data, rows, first, second).to(device))

    def predict(noisy, t):
        x = torch.cat([torch.cat([noisy, beside], 1), torch.cat([noisy, torch.zeros_like(beside)], 1)])
        return model["unet"](x, t.repeat(2), torch.cat([token, torch.zeros_like(token)])).sample.chunk(2)

    return pictures(decode(model["vae"], sample(predict, tuple(beside.shape), device, guidance, steps)))


def write_folder(path: str, model: nn.ModuleDict) -> None:
    """Write a folder in the form of Zero123's conversions for diffusers, in half precision, replacing what is at
    `path`."""
    from safetensors.torch import save_file

    model = copy.deepcopy(model).to("cpu", torch.float16, memory_format=torch.contiguous_format)
    with fresh_folder(path) as fresh, silence():
        for part in ("unet", "vae", "image_encoder"):
            model[part].save_pretrained(os.path.join(fresh, part), safe_serialization=True)
        noise_schedule().save_pretrained(os.path.join(fresh, "scheduler"))
        projection = os.path.join(fresh, PROJECTION)
        os.makedirs(projection)
        save_file({f"proj.{key}": value for key, value in model[PROJECTION].state_dict().items()},
                  os.path.join(projection, WEIGHTS))
        with open(os.path.join(fresh, "model_index.json"), "w", encoding="utf-8") as index:
            json.dump({"_class_name": "Zero123Pipeline", "unet": ["diffusers", "UNet2DConditionModel"],
                       "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "DDPMScheduler"],
                       "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
                       PROJECTION: ["clip_camera_projection", "CLIPCameraProjection"]}, index, indent=1)


def read_folder(folder: str, model: nn.ModuleDict) -> None:
    """Fill the networks of `model` from a folder of write_folder. Raises RuntimeError or ValueError for other
    networks."""
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file
    from transformers import CLIPVisionModelWithProjection

    read_autoencoder(folder, model["vae"])
    kinds = {"unet": UNet2DConditionModel, "image_encoder": CLIPVisionModelWithProjection}
    for part, kind in kinds.items():
        with silence():
            found = kind.from_pretrained(os.path.join(folder, part), local_files_only=True)
        model[part].load_state_dict(found.float().state_dict())
    found = load_file(os.path.join(folder, PROJECTION, WEIGHTS))
    model[PROJECTION].load_state_dict({key.removeprefix("proj."): value.float() for key, value in found.items()})
