"""RichDreamer's albedo model: denoises unlit colours of four views jointly, conditioned on their depth (Qiu et al.
2023)."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Sequence

import torch.nn.functional as F
from torch import Tensor

from ..comfy import PRIOR, Node, io
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.picture import ALBEDO_DEPTH
from ..core.prior import Encoded, LoadedPriors, TextCondition
from ..models.model_files import ModelNode, choices, locate, network_dtype
from ..models.multiview_unet import MultiViewFile
from ..models.reading import reading_networks
from .mvdream import read_latent_model, shared_widgets
from .richdreamer import RichDreamerPrior

NAME = "Albedo Prior"


@dataclass(frozen=True)
class AlbedoMV:
    """A recipe.

    path  a .ckpt file as published: albedo_mv_ema

    For views, tokenizer, resolution and precision see MVDream.
    """

    image: ClassVar[str] = ALBEDO_DEPTH

    path: str
    views: int = 4
    tokenizer: str = ""
    resolution: int = 256
    precision: str = "auto"

    def load(self, priors: LoadedPriors) -> "AlbedoPrior":
        device = priors.device
        with reading_networks(NAME):
            file = MultiViewFile(self.path, NAME, "RichDreamer's albedo_mv_ema.ckpt")
            unet = file.read_unet(self.views, network_dtype(self.precision, device), inputs=5)
            return AlbedoPrior(read_latent_model(file, unet, self.tokenizer, self.resolution, device), device,
                               self.views, NAME)


class AlbedoPrior(RichDreamerPrior):
    """The Prior contract over Albedo-MV.

    It denoises the latents of the colours. The depth [B,1,h,w] is concatenated to the network's input as a condition
    ("hybrid" in the published configuration). Depth is in [-1,1] at the size of the latents; each pixel is the corner
    of its block, as in training.
    """

    published = replace(RichDreamerPrior.published, guidance=(10.0, 10.0))

    def encode_image(self, rgb: Tensor) -> Encoded:
        """rgb: nodes.core.picture's "albedo and depth" [B,H,W,4]."""
        if rgb.shape[-1] != 4:
            raise DistillError(f"{NAME}: it received an image of {rgb.shape[-1]} channels, and needs albedo and depth. "
                               f'Set "image" of the loss to "{ALBEDO_DEPTH}".')
        pixels = rgb.permute(0, 3, 1, 2)
        depth = F.interpolate(pixels[:, 3:].detach(), (self.size, self.size), mode="nearest") * 2 - 1
        return Encoded(self.encode_pixels(pixels[:, :3]), depth)

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[TextCondition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        if beside is None:
            raise DistillError(f"{NAME}: it is conditioned on depth, which Sample Prior and Langevin Sample do not "
                               "have. Use it with SDS Loss.")
        return super().denoise(z_t, t, conditions, cameras, beside)


class AlbedoPriorNode(ModelNode, Node):
    advanced = ("views", "precision", "tokenizer")

    @classmethod
    def define_schema(cls):
        _, *widgets = shared_widgets()
        return io.Schema(
            node_id="Distill3D_AlbedoPrior", display_name=NAME, category="Distill3D/priors",
            description="RichDreamer's albedo model as a prior for materials: unlit colours, conditioned on the depth "
                        "of four views.",
            search_aliases=["richdreamer", "albedo-mv", "albedo diffusion", "delight", "pbr"],
            inputs=[io.Combo.Input("model", options=choices("checkpoints"), tooltip="albedo_mv_ema.ckpt in the "
                                   "checkpoints folder."), *widgets],
            outputs=[PRIOR.Output("prior", tooltip=f'For SDS Loss with image "{ALBEDO_DEPTH}": it changes colours, '
                                  'never the shape. RichDreamer: prompt "the albedo of ...", negative prompt "shadow", '
                                  'guidance 10, x0 weighting, rescaling 0.5. Needs Multi-View Orbit; view words '
                                  'none.')])

    @classmethod
    def execute(cls, model, views=4, resolution=256, precision="auto", tokenizer="") -> io.NodeOutput:
        return io.NodeOutput(AlbedoMV(str(locate(model, NAME, "checkpoints")), views,
                                      str(locate(tokenizer, NAME)) if tokenizer else "", resolution, precision))
