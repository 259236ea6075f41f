"""Zero123, Zero123-XL and Stable-Zero123 as priors: diffusion models conditioned on a picture and a relative pose."""
from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import torch
from torch import Tensor
from torch.nn import Linear

from ...kernels.image.resize import resize_square
from ...kernels.upload import upload
from ..comfy import PICTURES, PRIOR, Node, host, io
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.pictures import Pictures
from ..core.prior import LoadedPriors, TextCondition
from ..core.trained_on import TrainedOn
from ..models.builtin import BUILTIN_ZERO123
from ..models.checkpoint_file import EXTENSIONS, CheckpointFile, read_module
from ..models.clip_vision import embed_pictures, read_open_ai_vision
from ..models.ldm_layout import UNET, read_unet, read_vae
from ..models.model_files import ModelNode, choices, locate, network_dtype, vae_dtype
from ..models.noise import scaled_linear_noise
from ..models.pipeline_folder import load_network, read_json, read_scheduler, reading
from ..models.reading import reading_networks
from ..models.trained_on_file import read_trained_on
from .latent_prior import LatentModel, LatentPrior
from .reference_views import has_white_border, over_white, picture_poses, picture_weights, reference_views

NAME = "Zero123 Prior"
ZERO123, STABLE = "Zero123", "Stable-Zero123"
KINDS = ("auto", ZERO123, STABLE)
VISION = "cond_stage_model.model.visual."
PROJECTION = "cc_projection."
# The folder of the projection in diffusers folders, and the prefix of its keys.
PROJECTION_FOLDERS = {"clip_camera_projection": "proj.", "cc_projection": "projection."}
SIZE = 32  # of the latents, for pictures of 256x256
POSE = 4   # numbers of a relative pose


@dataclass(frozen=True)
class Zero123:
    """A recipe.

    path       a .ckpt (or .safetensors) in the layout of latent diffusion, or a diffusers folder
    views      the posed pictures of the object
    kind       "Zero123" (also XL), "Stable-Zero123", which has another pose condition, or "auto": by the file's name,
               because their weights have the same names and shapes
    precision  of the UNet: "auto", "float32", "float16" or "bfloat16". The references are read in float32
    """

    path: str
    views: Pictures
    kind: str = "auto"
    precision: str = "auto"

    image = ""

    def load(self, priors: LoadedPriors) -> "Zero123Prior":
        with reading_networks(NAME):
            path, device = Path(self.path), priors.device
            model = (self._read_folder if path.is_dir() else self._read_file)(
                path, network_dtype(self.precision, device))
            _check_widths(model, path)
            prior = Zero123Prior(model, device, self.views, self._is_stable(path),
                                 vae_dtype(self.precision, device, False))
            prior.trained_on = read_trained_on(path, NAME, prior.trained_on)
            return prior

    def _read_file(self, path: Path, dtype: torch.dtype) -> LatentModel:
        source = CheckpointFile(path, NAME)
        if UNET + "out.2.weight" not in source:
            raise DistillError(f'{NAME}: {path} has no UNet below "{UNET}". Choose a Zero123 or Stable-Zero123 '
                               'checkpoint.')
        _check_channels(source.shapes[UNET + "input_blocks.0.0.weight"][1], source.shapes[UNET + "out.2.weight"][0],
                        path)
        if PROJECTION + "weight" not in source:
            raise DistillError(f'{NAME}: {path} has no "{PROJECTION}weight", the projection of the pose condition. '
                               'Choose the whole checkpoint.')
        extra = {"vision": read_open_ai_vision(source, VISION, torch.float32),
                 "projection": _read_projection(source, PROJECTION)}
        return LatentModel(read_unet(source, average=True, dtype=dtype), read_vae(source, dtype=torch.float32), [],
                           scaled_linear_noise(), "epsilon", SIZE, extra)

    def _read_folder(self, folder: Path, dtype: torch.dtype) -> LatentModel:
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPVisionModelWithProjection

        with reading(folder / "unet", NAME):
            config = read_json(folder / "unet" / "config.json", NAME)
            channels = config["in_channels"], config["out_channels"]
        _check_channels(*channels, folder)
        noise, prediction = read_scheduler(folder / "scheduler", NAME)
        extra = {"vision": load_network(CLIPVisionModelWithProjection, folder / "image_encoder", NAME),
                 "projection": _read_projection_folder(folder)}
        return LatentModel(load_network(UNet2DConditionModel, folder / "unet", NAME, dtype),
                           load_network(AutoencoderKL, folder / "vae", NAME), [], noise, prediction,
                           config.get("sample_size") or SIZE, extra)

    def _is_stable(self, path: Path) -> bool:
        if self.kind != "auto":
            return self.kind == STABLE
        if path == BUILTIN_ZERO123:
            return False
        kind = STABLE if "stable" in path.name.lower() else ZERO123
        host().warn(f'{NAME}: "{path.name}" is assumed to be a {kind} model, by its name. Otherwise set "kind": the '
                    'two kinds have different pose conditions.')
        return kind == STABLE


class ImageCondition:
    """Rows [B]: True for the pictures, False for the unconditional input."""

    def __init__(self, is_conditioned: Tensor):
        self.is_conditioned = is_conditioned

    def take(self, index: Tensor) -> "ImageCondition":
        return ImageCondition(self.is_conditioned[index.cpu()])

    def join(self, rows: Sequence["ImageCondition"]) -> "ImageCondition":
        return ImageCondition(torch.cat([row.is_conditioned for row in rows]))

    def lerp(self, other: "ImageCondition", weight: Tensor) -> "ImageCondition":
        """Texts are ignored, so the rows of two texts are equal."""
        if not torch.equal(self.is_conditioned, other.is_conditioned):
            raise DistillError(f"{NAME}: the pictures and the unconditional input cannot be interpolated. Use the "
                               "guidance scale instead.")
        return self


class Zero123Prior(LatentPrior):
    """The Prior contract over a Zero123 model.

    Texts are ignored. The condition is a picture and the pose of the camera relative to it (Liu et al. 2023): one token
    for cross-attention, projection([CLIP embedding of the picture | pose]), and the latents of the picture, which are
    concatenated to the noisy latents. They are the mode of the autoencoder without its scaling factor; the noisy
    latents have it. Both are zero in the unconditional input. With several pictures, the prediction of each view is
    the mean over pictures, weighted by reference_views.picture_weights.
    """

    name = NAME
    # Guidance: threestudio. Its recipes take other cameras (20 degrees at distance 3.8) than the training (49.1 degrees
    # at 1.5 to 2.2): the object is as large as in the picture, and only their ratio counts.
    trained_on = TrainedOn(256, guidance=(3.0, 5.0))

    def __init__(self, model: LatentModel, device: torch.device, references: Pictures, is_stable: bool,
                 vae_dtype: torch.dtype = torch.float32):
        super().__init__(model, device)
        self.references, self.is_stable = references, is_stable
        self.projection = model.extra["projection"].to(device)
        tower = model.extra.pop("vision").to(device)  # used once
        with torch.no_grad():
            # a copy: ComfyUI's are inference tensors
            picture = over_white(references).clone().to(device).permute(0, 3, 1, 2)
            picture = resize_square(picture, self.pixels, antialias=True)
            self.embeddings = embed_pictures(tower, picture.permute(0, 2, 3, 1))
            self.latents = self.vae.encode(picture * 2 - 1).latent_dist.mode()
        self.vae.to(vae_dtype)

    has_text_negatives = False

    def encode_prompts(self, texts: Sequence[str]) -> ImageCondition:
        return ImageCondition(torch.ones(len(texts), dtype=torch.bool))

    def encode_negatives(self, texts: Sequence[str]) -> ImageCondition:
        return ImageCondition(torch.zeros(len(texts), dtype=torch.bool))

    def poses(self, cameras: Cameras) -> Tensor:
        """[B,R,4], the pose condition: see reference_views.picture_poses. For Stable-Zero123, the fourth number is the
        polar angle of the picture."""
        found = picture_poses(self.references, cameras)
        if self.is_stable:
            found[..., 3] = 0.5 * math.pi - self.references.cameras.elevation.to(found.device)
        return found

    def tokens(self, pose: Tensor, picture: Tensor) -> Tensor:
        """Tokens [N,1,C] for poses [N,4] relative to pictures [N] (their indices)."""
        return self.projection(torch.cat([self.embeddings[picture], pose], -1))[:, None]

    def _rows(self, is_conditioned: Tensor, cameras: Cameras) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The rows that the network computes, determined on the CPU: views [N] for the unconditional input, and view,
        picture and weight [M] of each pair with a weight above 0. Only rows that one of the conditions [K,B] needs."""
        weights = picture_weights(self.references, cameras) * is_conditioned.any(0)[:, None]
        view, picture = weights.nonzero(as_tuple=True)
        return (~is_conditioned).any(0).nonzero()[:, 0], view, picture, weights[view, picture]

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[ImageCondition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        if cameras is None or len(cameras) != len(z_t):
            count = "no cameras" if cameras is None else f"{len(cameras)} cameras"
            raise DistillError(f"{NAME}: there are {count} for {len(z_t)} views. It is conditioned on cameras: "
                               "use it with nodes that provide them.")
        cameras = cameras.to(z_t.device)
        is_conditioned = torch.stack([condition.is_conditioned for condition in conditions])
        alone, view, picture, weights = (upload(each, z_t.device) for each in self._rows(is_conditioned, cameras))
        is_conditioned = upload(is_conditioned, z_t.device)
        token = _after_zeros(len(alone), self.tokens(self.poses(cameras)[view, picture], picture))
        latents = _after_zeros(len(alone), self.latents[picture])
        rows = torch.cat([alone, view])
        predicted = self.denoiser.call(
            lambda: self.predict(torch.cat([z_t[rows], latents], 1), t[rows], TextCondition(token)), rows)
        unconditional, conditional = torch.zeros_like(z_t), torch.zeros_like(z_t)
        unconditional = unconditional.index_copy(0, alone, predicted[:len(alone)])
        conditional = conditional.index_add(0, view, predicted[len(alone):] * weights.view(-1, 1, 1, 1))
        return [self.denoiser.clean(z_t, t, torch.where(row.view(-1, 1, 1, 1), conditional, unconditional))
                for row in is_conditioned]


def _after_zeros(count: int, rows: Tensor) -> Tensor:
    return torch.cat([rows.new_zeros(count, *rows.shape[1:]), rows])


def _check_channels(inputs: int, outputs: int, path: Path) -> None:
    if inputs == 2 * outputs:
        return
    advice = ("It is a text-to-image model: use the Stable Diffusion Prior."
              if inputs == outputs else "Choose a Zero123 model.")
    raise DistillError(f"{NAME}: the UNet in {path} takes {inputs} channels, not the {2 * outputs} of noised latents "
                       f"and a picture's. {advice}")


def _check_widths(model: LatentModel, path: Path) -> None:
    projection, tower = model.extra["projection"], model.extra["vision"]
    wanted = (model.unet.config.cross_attention_dim, tower.config.projection_dim + POSE)
    found = (projection.out_features, projection.in_features)
    if found != wanted:
        raise DistillError(f"{NAME}: the projection in {path} has the shape {list(found)}; its image tower and UNet "
                           f"need {list(wanted)}. Its parts belong to different models.")


def _read_projection(source: CheckpointFile, prefix: str) -> Linear:
    shape = source.shapes.get(prefix + "weight", ())
    if len(shape) != 2:
        raise DistillError(f'{NAME}: {source.path} has no matrix "{prefix}weight". It belongs to another model.')
    return read_module(lambda: Linear(shape[1], shape[0]), source.below(prefix), source, lambda key: key, torch.float32)


def _read_projection_folder(folder: Path) -> Linear:
    for part, prefix in PROJECTION_FOLDERS.items():
        for extension in EXTENSIONS:
            for path in sorted((folder / part).glob(f"*{extension}")):
                return _read_projection(CheckpointFile(path, NAME), prefix)
    raise DistillError(f"{NAME}: {folder} has no weights in {' or '.join(PROJECTION_FOLDERS)}. Choose the folder of a "
                       "Zero123 model in the diffusers layout (unet, vae, image_encoder, scheduler, "
                       "clip_camera_projection).")


class Zero123PriorNode(ModelNode, Node):
    advanced = ("kind", "distance", "precision")
    shipped = BUILTIN_ZERO123

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Zero123Prior", display_name=NAME, category="Distill3D/priors",
            description="Zero123, Zero123-XL or Stable-Zero123 as a prior, conditioned on one or several pictures of "
                        "the object.",
            search_aliases=["zero123", "zero-1-to-3", "stable zero123", "image to 3d", "novel view"],
            inputs=[
                io.Combo.Input("model", options=choices(shipped=cls.shipped), tooltip="A file of the checkpoints "
                               "folder, a folder of the diffusers folder, a trained one, or the built-in one."),
                io.Image.Input("image", tooltip="The object on white, or with a mask. One picture or several in a "
                                                "batch."),
                io.Combo.Input("kind", options=list(KINDS), default="auto", tooltip="The kinds have different pose "
                               "conditions, and weights of the same shapes. auto: by the name of the file or "
                               "folder."),
                io.String.Input("elevation", default="5", tooltip="Elevation of the picture's camera, degrees. For "
                                "several pictures: numbers separated by commas."),
                io.String.Input("azimuth", default="0", tooltip="Azimuth of the picture's camera, degrees; 0 is the "
                                "front. For several pictures: numbers separated by commas. Each view is conditioned on "
                                "the nearest picture."),
                io.Float.Input("distance", default=0.0, min=0.0, max=100.0, step=0.1, tooltip="Of the picture's "
                               "camera, world units; a larger distance gives a smaller object. 0: the distance of each "
                               "view. Ignored by Stable-Zero123."),
                io.Combo.Input("precision", options=["auto", "float32", "float16", "bfloat16"], default="auto",
                               tooltip="Of the networks: auto is half precision on a GPU, float32 on the CPU. Latents "
                               "stay float32."),
                io.Mask.Input("mask", optional=True, tooltip="1 on the object; the background becomes white. Put "
                              "Invert Mask after the mask of Load Image."),
                PICTURES.Input("pictures", optional=True, tooltip="Posed pictures, from Reference View or Join "
                               "Pictures. They replace image, mask, elevation, azimuth and distance."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss, with guidance 3 to 5. It ignores the prompt.")])

    @classmethod
    def execute(cls, model, image, kind="auto", elevation="5", azimuth="0", distance=0.0, precision="auto",
                mask=None, pictures=None) -> io.NodeOutput:
        views = pictures or reference_views(NAME, image, mask, elevation, azimuth, distance)
        if not has_white_border(views):
            advice = ("the mask that is connected keeps the border: it is inverted, or empty. Put Invert Mask, or a "
                      "background remover, before it" if views.is_masked else
                      'connect "mask", 1 on the object, from a background remover')
            host().warn(f"{NAME}: the border of the reference image is not white, and the model knows objects on white "
                        f"only: {advice}.")
        return io.NodeOutput(Zero123(str(locate(model, NAME, shipped=cls.shipped)), views, kind, precision))
