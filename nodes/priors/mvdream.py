"""MVDream: a text-to-image model that denoises several views of one object jointly (Shi et al. 2023)."""
from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import torch
from torch import Tensor

from ..comfy import PRIOR, Node, host, io
from ..core.cameras import Cameras, turntable
from ..core.errors import DistillError
from ..core.prior import LoadedPriors, TextCondition
from ..core.trained_on import NONE, TrainedOn
from ..models.builtin import BUILTIN_MVDREAM
from ..models.checkpoint_file import CheckpointFile
from ..models.clip_text import (
    HUGGING_FACE,
    OPEN_CLIP,
    ClipText,
    read_hugging_face_clip,
    read_open_clip,
    read_tokenizer,
    tokenizer_folder,
)
from ..models.denoiser import each_view
from ..models.model_files import BUILT_IN, BUILT_IN_RESOLUTION, ModelNode, choices, locate, network_dtype
from ..models.multi_view import camera_vectors
from ..models.multiview_unet import MultiViewFile
from ..models.noise import DiscreteNoise, scaled_linear_noise
from ..models.pipeline_folder import load_network, read_scheduler
from ..models.reading import reading_networks
from ..models.trained_on_file import read_trained_on
from .latent_prior import LatentModel, LatentPrior

NAME = "MVDream Prior"


@dataclass(frozen=True)
class MVDream:
    """A recipe.

    path        a .pt file as published, or the folder of its conversion for diffusers
    views       views that are denoised jointly. The model was trained with 4; its weights work with any number
    tokenizer   folder with CLIP's vocab.json and merges.txt, for single files; "": that of ComfyUI
    resolution  side of the model's input pictures, pixels; it was trained at 256
    precision   of the networks: "auto", "float32", "float16" or "bfloat16"
    """

    path: str
    views: int = 4
    tokenizer: str = ""
    resolution: int = 256
    precision: str = "auto"

    image = ""

    def load(self, priors: LoadedPriors) -> "MVDreamPrior":
        device = priors.device
        with reading_networks(NAME):
            file = MultiViewFile(self.path, NAME)
            if file.takes_image:
                raise DistillError(f"{NAME}: {self.path} is an ImageDream model, which is conditioned on a picture. "
                                   "Use the ImageDream Prior node.")
            unet = file.read_unet(self.views, network_dtype(self.precision, device))
            model = read_latent_model(file, unet, self.tokenizer, self.resolution, device)
            prior = MVDreamPrior(model, device, self.views, NAME)
            prior.trained_on = read_trained_on(self.path, NAME, prior.trained_on)
            return prior


def read_latent_model(file: MultiViewFile, unet: torch.nn.Module, tokenizer: str, resolution: int,
                      device: torch.device) -> LatentModel:
    """The UNet with its autoencoder and text encoder."""
    from diffusers import AutoencoderKL

    name = file.source.name
    noise, prediction = scaled_linear_noise(), "epsilon"
    if file.folder:
        text, noise, prediction = read_parts(file.folder, name)
        vae = load_network(AutoencoderKL, file.folder / "vae", name, unet.dtype)
    else:
        vae, text = file.read_vae(unet.dtype), read_text(file.source, file.text_prefix, tokenizer)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    if resolution <= 0 or resolution % factor:
        raise DistillError(f"{name}: the resolution {resolution} is not a multiple of {factor}, which one latent pixel "
                           "covers.")
    return LatentModel(unet, vae, [text], noise, prediction, resolution // factor)


def read_parts(folder: Path, name: str) -> tuple[ClipText, DiscreteNoise, str]:
    """Text encoder, noise levels and parametrisation of a folder; those of Stable Diffusion if it has no scheduler."""
    from transformers import CLIPTextModel

    text = ClipText(load_network(CLIPTextModel, folder / "text_encoder", name),
                    read_tokenizer(folder / "tokenizer", name))
    if not (folder / "scheduler").is_dir():
        return text, scaled_linear_noise(), "epsilon"
    return text, *read_scheduler(folder / "scheduler", name)


def read_text(source: CheckpointFile, prefix: str, tokenizer: str) -> ClipText:
    """The text encoder below `prefix` of a single file. tokenizer: see MVDream."""
    folder = tokenizer_folder(tokenizer, source.name)
    if source.below(prefix + HUGGING_FACE):  # on Stable Diffusion 1.5
        return ClipText(read_hugging_face_clip(source, prefix + HUGGING_FACE), read_tokenizer(folder, source.name))
    return ClipText(read_open_clip(source, prefix + OPEN_CLIP), read_tokenizer(folder, source.name, pad="!"))


class MVDreamPrior(LatentPrior):
    """The Prior contract over a multi-view model. Batches are consecutive groups of `views` pictures.

    All pictures of a group must have the same timestep. Every condition is evaluated with the same cameras, also the
    unconditional input (MVDream-threestudio, multiview_diffusion_guidance.py). Without cameras, each group has the
    cameras of the published demo: evenly around the object, beginning at the front, at an elevation of 15 degrees.
    """

    elevation = 15.0
    # Shi et al. 2023, sec. 4.1; guidance as in MVDream-threestudio.
    published = TrainedOn(256, fovy=(15.0, 60.0), view_size=(0.8, 1.0), elevation=(0.0, 30.0), centred=True,
                          view_words=(NONE,), guidance=(50.0, 50.0))

    def __init__(self, model: LatentModel, device: torch.device, views: int, name: str = NAME):
        super().__init__(model, device)
        self.views, self.name, self.trained_on = views, name, self.published
        self._canonical = turntable(views, self.elevation, 1.0, 90.0, 1)  # at size 1: see Multi-View Orbit
        self._has_seen_cameras = False

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[TextCondition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        if len(z_t) % self.views:
            raise DistillError(f"{self.name}: {len(z_t)} pictures cannot be divided into groups of {self.views} views. "
                               "Set the batch of the Objective (the images of Sample Prior) to a multiple of "
                               f"{self.views}.")
        vectors = self.camera_vectors(self._checked(cameras, len(z_t))).to(z_t)
        shown = z_t if beside is None else torch.cat([z_t, beside], 1)
        predicted = self.denoiser.call(lambda: self.predict_rows(shown, t, conditions, vectors),
                                       self.row_views(len(z_t), len(conditions)))
        return [self.denoiser.clean(z_t, t, part) for part in predicted]

    def row_views(self, batch: int, conditions: int) -> Tensor:
        """The view of each row of the network's batch, see Denoiser.call."""
        return each_view(batch, conditions)

    def camera_vectors(self, cameras: Cameras) -> Tensor:
        """The camera input of the network [B,16]."""
        return camera_vectors(cameras)

    def predict_rows(self, z_t: Tensor, t: Tensor, conditions: Sequence[TextCondition], vectors: Tensor) -> Tensor:
        """The network's predictions [R,B,C,h,w] for z_t [B,C,h,w] under R conditions, in one batch. vectors [B,16]."""
        rows = len(conditions)
        predicted = self.predict(z_t.repeat(rows, 1, 1, 1), t.repeat(rows), conditions[0].join(conditions),
                                 class_labels=vectors.repeat(rows, 1).to(self.unet.dtype))
        return predicted.unflatten(0, (rows, -1))

    def _checked(self, cameras: Cameras | None, batch: int) -> Cameras:
        if cameras is None:
            return self._canonical.take(torch.arange(batch) % self.views)
        if len(cameras) != batch:
            raise DistillError(f"{self.name}: {batch} pictures have {len(cameras)} cameras.")
        if not self._has_seen_cameras and batch:  # once per run: it waits for the device
            self._has_seen_cameras = True
            self.check_cameras(cameras)
        return cameras

    def check_cameras(self, cameras: Cameras) -> None:
        """Warns of cameras that do not occur in the model's training."""
        if not _are_around(cameras, self.views):
            host().warn(f"{self.name}: the cameras of a group are not evenly spaced around the object at one "
                        f"elevation, as in the model's training. Use Multi-View Orbit with {self.views} views (in "
                        f"Sample Prior, set azimuth_step to {360 / self.views:g}).")


def _are_around(cameras: Cameras, views: int) -> bool:
    """Whether every group of `views` cameras has one elevation and evenly spaced azimuths, within a degree."""
    elevation, azimuth = (angles.cpu().view(-1, views) for angles in (cameras.elevation, cameras.azimuth))
    around = (azimuth % (2 * math.pi)).sort(1).values
    gaps = torch.diff(around, append=around[:, :1] + 2 * math.pi)
    return bool((elevation.amax(1) - elevation.amin(1)).max() < 0.02
                and (gaps - 2 * math.pi / views).abs().max() < 0.02)


def shared_widgets(shipped: Path | None = None) -> list:
    """Widgets of every multi-view prior: the model first, the optional tokenizer last."""
    return [
        io.Combo.Input("model", options=choices(shipped=shipped), tooltip="A file of the checkpoints folder, a folder "
                       "of the diffusers "
                       "folder" + (", a trained one, or the built-in one, whose input always has 32 pixels." if shipped
                                             else ", or a trained one.")),
        io.Int.Input("views", default=4, min=1, max=64, tooltip="Number of views that are denoised jointly. The model "
                     "was trained with 4. Use the same number in Multi-View Orbit; the Objective's batch must be a "
                     "multiple of it."),
        io.Int.Input("resolution", default=256, min=8, max=1024, step=8, tooltip="Side of the pictures that the model "
                     "is shown, pixels. It was trained at 256."),
        io.Combo.Input("precision", options=["auto", "float32", "float16", "bfloat16"], default="auto",
                       tooltip="Of the networks: auto is half precision on a GPU, float32 on the CPU. Latents stay "
                               "float32."),
        io.String.Input("tokenizer", default="", optional=True, tooltip="Folder below the models folder with CLIP's "
                        "vocab.json and merges.txt. Only needed for single files outside ComfyUI."),
    ]


class MVDreamPriorNode(ModelNode, Node):
    advanced = ("views", "precision", "tokenizer")
    shipped = BUILTIN_MVDREAM

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_MVDreamPrior", display_name=NAME, category="Distill3D/priors",
            description="MVDream as a prior: denoises four views of one object jointly, which prevents objects with a "
                        "second face.",
            search_aliases=["multi-view diffusion", "mvdream", "text to 3d", "janus"],
            inputs=shared_widgets(cls.shipped),
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss and Sample Prior. Set the view words of View Prompt "
                                  "to none, because the model is conditioned on the cameras. Needs Multi-View "
                                  "Orbit.")])

    @classmethod
    def execute(cls, model, views=4, resolution=256, precision="auto", tokenizer="") -> io.NodeOutput:
        if model == BUILT_IN:
            resolution = BUILT_IN_RESOLUTION
        return io.NodeOutput(MVDream(str(locate(model, NAME, shipped=cls.shipped)), views,
                                     str(locate(tokenizer, NAME)) if tokenizer else "", resolution, precision))
