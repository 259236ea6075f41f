"""RichDreamer's Normal-Depth models: diffusion models of normals and depth, without colours (Qiu et al. 2023)."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..comfy import PRIOR, Node, io
from ..core.errors import DistillError
from ..core.picture import NORMAL_DEPTH
from ..core.prior import Encoded, LoadedPriors
from ..models.builtin import BUILTIN_NORMAL_DEPTH
from ..models.checkpoint_file import CheckpointFile
from ..models.ldm_layout import UNET, read_unet, read_vae
from ..models.model_files import ModelNode, choices, locate, network_dtype
from ..models.multi_view import join_views
from ..models.multiview_unet import CAMERA, TEXTS, MultiViewFile, node_of
from ..models.noise import scaled_linear_noise
from ..models.reading import reading_networks
from ..models.trained_on_file import read_trained_on
from .latent_prior import LatentModel, LatentPrior
from .mvdream import read_parts, read_text, shared_widgets
from .richdreamer import RichDreamerPrior

NAME = "Normal-Depth Prior"
CHANNELS = 4


@dataclass(frozen=True)
class NormalDepth:
    """A recipe.

    path        a .ckpt file as published: nd_mv_ema (four views) or nd-laion_ema (one view). If a file has both the
                weights and their average, the average is used. Or a folder like MVDream's without a "vae", for a model
                of several views
    views       views that a model of several views denoises jointly. It was trained with 4
    resolution  side of the model's input, pixels; 0: 32 for the model of several views, which has no autoencoder, and
                512 for that of one

    For tokenizer and precision see MVDream.
    """

    image: ClassVar[str] = NORMAL_DEPTH

    path: str
    views: int = 4
    tokenizer: str = ""
    resolution: int = 0
    precision: str = "auto"

    def load(self, priors: LoadedPriors) -> LatentPrior:
        device = priors.device
        with reading_networks(NAME):
            if Path(self.path).is_dir():
                return self._read_folder(Path(self.path), device)
            source = _checked(CheckpointFile(self.path, NAME))
            dtype = network_dtype(self.precision, device)
            unet = read_unet(source, average=True, dtype=dtype)
            texts = [read_text(source, TEXTS[0], self.tokenizer)]
            if UNET + CAMERA in source:
                # The file also has the autoencoder of the single-view model, which this model does not use.
                model = LatentModel(join_views(unet, self.views), None, texts, scaled_linear_noise(), "epsilon",
                                    self.resolution or 32)
                return MultiViewNormalDepth(model, device, self.views, NAME)
            vae = read_vae(source, dtype=dtype, pictures=CHANNELS)
            factor = 2 ** (len(vae.config.block_out_channels) - 1)
            if self.resolution % factor:
                raise DistillError(f"{NAME}: the resolution {self.resolution} is not a multiple of {factor}, which one "
                                   "latent pixel covers.")
            return SingleViewNormalDepth(LatentModel(unet, vae, texts, scaled_linear_noise(), "epsilon",
                                                     (self.resolution or 512) // factor), device)

    def _read_folder(self, folder: Path, device: torch.device) -> LatentPrior:
        file = MultiViewFile(folder, NAME, "a normal-depth model")
        if file.takes_image or (folder / "vae").exists():
            raise DistillError(f"{NAME}: {folder} is a model of coloured pictures. Use the "
                               f"{'ImageDream' if file.takes_image else 'MVDream'} Prior node for it.")
        unet = file.read_unet(self.views, network_dtype(self.precision, device))
        text, noise, prediction = read_parts(folder, NAME)
        prior = MultiViewNormalDepth(LatentModel(unet, None, [text], noise, prediction, self.resolution or 32), device,
                                     self.views, NAME)
        prior.trained_on = read_trained_on(folder, NAME, prior.trained_on)
        return prior


def _checked(source: CheckpointFile) -> CheckpointFile:
    node = node_of(source)
    if node != NAME:
        raise DistillError(f"{NAME}: {source.path} is not a normal-depth model of RichDreamer. "
                           + (f"Use the {node} node for it." if node else "Choose nd_mv_ema.ckpt or "
                              "nd-laion_ema.ckpt."))
    width = source.shapes.get(UNET + CAMERA, (0, 16))[1]
    if width != 16:
        raise DistillError(f"{NAME}: {source.path} takes {width} numbers per camera; 16 were expected. Choose "
                           "nd_mv_ema.ckpt or nd-laion_ema.ckpt.")
    return source


class MultiViewNormalDepth(RichDreamerPrior):
    """The Prior contract over ND-MV, the model of several views.

    It denoises normals and depth without an autoencoder: z is the image mapped to [-1,1] and averaged down to 32x32.
    """

    def encode_image(self, rgb: Tensor) -> Encoded:
        """rgb: nodes.core.picture's "normal and depth" [B,H,W,4]."""
        return Encoded(F.adaptive_avg_pool2d(_channels_first(rgb) * 2 - 1, self.size))

    def decode_image(self, z: Tensor) -> Tensor:
        """Normals, and depth as grey to the right of them [B,h,2w,3]."""
        return _side_by_side((z.permute(0, 2, 3, 1) * 0.5 + 0.5).clamp(0, 1))


class SingleViewNormalDepth(LatentPrior):
    """The Prior contract over ND, the model of single views, with an autoencoder for pictures of four channels.

    It was trained on depth from MiDaS, which has no scale and stretches the nearness of each picture over the whole
    range. Here it receives the same depth as the model of several views.
    """

    def encode_image(self, rgb: Tensor) -> Encoded:
        """rgb: nodes.core.picture's "normal and depth" [B,H,W,4]."""
        return Encoded(self.encode_pixels(_channels_first(rgb)))

    def decode_image(self, z: Tensor) -> Tensor:
        """Normals, and depth as grey to the right of them [B,H,2W,3]."""
        return _side_by_side(super().decode_image(z))


def _channels_first(picture: Tensor) -> Tensor:
    if picture.shape[-1] != CHANNELS:
        raise DistillError(f'{NAME}: it received an image of {picture.shape[-1]} channels, and needs normals and '
                           f'depth. Set "image" of the loss to "{NORMAL_DEPTH}".')
    return picture.permute(0, 3, 1, 2)


def _side_by_side(picture: Tensor) -> Tensor:
    """[B,H,W,4] -> [B,H,2W,3]."""
    return torch.cat([picture[..., :3], picture[..., 3:].expand(-1, -1, -1, 3)], 2)


class NormalDepthPriorNode(ModelNode, Node):
    advanced = ("views", "precision", "tokenizer")
    shipped = BUILTIN_NORMAL_DEPTH

    @classmethod
    def define_schema(cls):
        _, views, _, precision, tokenizer = shared_widgets()
        return io.Schema(
            node_id="Distill3D_NormalDepthPrior", display_name=NAME, category="Distill3D/priors",
            description="RichDreamer's normal-depth models as a prior for geometry: they denoise normals and depth of "
                        "four views jointly, or of one.",
            search_aliases=["richdreamer", "nd-mv", "normal depth diffusion", "geometry prior"],
            inputs=[
                io.Combo.Input("model", options=choices(shipped=cls.shipped), tooltip="nd_mv_ema.ckpt (four "
                               "views) or nd-laion_ema.ckpt (one view) in the checkpoints folder, a folder of Train "
                               "Normal-Depth Prior, or the small built-in one."),
                views,
                io.Int.Input("resolution", default=0, min=0, max=1024, step=8, tooltip="Side of the model's "
                             "input, pixels. 0: that of its training, 32 for four views (without autoencoder), 512 "
                             "for one."),
                precision, tokenizer,
            ],
            outputs=[PRIOR.Output("prior", tooltip=f'For SDS Loss with image "{NORMAL_DEPTH}", and Sample Prior. Four '
                                  'views need Multi-View Orbit with fields of view of 40 to 45 degrees, elevations of '
                                  '5 to 30, and view words none in View Prompt. RichDreamer: guidance 50, weighting '
                                  'sds.')])

    @classmethod
    def execute(cls, model, views=4, resolution=0, precision="auto", tokenizer="") -> io.NodeOutput:
        return io.NodeOutput(NormalDepth(str(locate(model, NAME, shipped=cls.shipped)), views,
                                         str(locate(tokenizer, NAME)) if tokenizer else "", resolution, precision))
