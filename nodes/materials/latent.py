"""Latent: features without activation, such as latents of a diffusion model."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..comfy import MATERIAL, Node, io
from ..core.errors import DistillError
from ..core.material import OwnColorModule
from ..core.rendering import Light


@dataclass(frozen=True)
class Latent:
    """Recipe of a material without activation. Renderings have `channels` unbounded channels instead of colours.

    channels  4 for Stable Diffusion's latents

    Source: Wang et al. 2023 (SJC) and Metzer et al. 2023 (Latent-NeRF), whose scenes emit latents.
    """

    channels: int = 4

    def __post_init__(self):
        if self.channels < 1:
            raise DistillError(f'Latent: "channels" is {self.channels}. At least 1 is needed; Stable Diffusion has 4.')

    def build(self) -> "LatentModule":
        return LatentModule(self.channels)


class LatentModule(OwnColorModule):
    """Has no parameters and ignores normal, light, mode and direction."""

    is_color = False

    def __init__(self, channels: int):
        super().__init__()
        self.channels = self.channels_out = channels

    def forward(self, features: Tensor, normal: Tensor | None, position: Tensor, light: Light | None,
                mode: str, direction: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return features, features

    def features_of(self, albedo: Tensor) -> Tensor:
        """Zeros, because only the encoder of the model maps colours to latents."""
        return albedo.new_zeros(*albedo.shape[:-1], self.channels)


class LatentNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Latent", display_name="Latent", category="Distill3D/materials",
            description="Features without activation, such as latents of a diffusion model.",
            search_aliases=["latent nerf", "score jacobian chaining", "latent radiance", "channels"],
            inputs=[
                io.Int.Input("channels", default=4, min=1, max=64, tooltip="Channels of the renderings: 4 for the "
                             "latents of Stable Diffusion."),
            ],
            outputs=[MATERIAL.Output("material", tooltip="For a renderer of volumes or meshes. Give the background the "
                                     'same number of values, and set "image" of the loss to "latent".')])

    @classmethod
    def execute(cls, channels=4) -> io.NodeOutput:
        return io.NodeOutput(Latent(channels))
