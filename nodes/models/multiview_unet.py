"""The network of MVDream and its descendants: a Stable Diffusion UNet whose self-attention spans the views of a
group."""
from __future__ import annotations

from pathlib import Path

import torch

from ..core.errors import DistillError
from .checkpoint_file import CheckpointFile
from .ldm_layout import UNET, read_unet, read_vae
from .multi_view import join_views

TEXTS = ("cond_stage_model.", "clip_model.")  # MVDream's, ImageDream's
VAES = ("first_stage_model.", "vae_model.")
CAMERA = "camera_embed.0.weight"
IMAGE = "image_embed.proj_in.weight"  # ImageDream only


class MultiViewFile:
    """The locations of the networks in a published model: a single file, or a folder of pipeline parts.

    The folders ("MVDreamPipeline") are diffusers' for everything but the UNet, whose weights keep LDM's names. Raises
    DistillError, beginning with `name`, for a model that takes no cameras.
    """

    def __init__(self, path: str | Path, name: str, kind: str = "an MVDream or ImageDream model"):
        """kind: what the node `name` needs, for its errors."""
        path, self.kind = Path(path), kind
        self.folder = path if path.is_dir() else None
        self.source = CheckpointFile(_weights(path / "unet", name) if self.folder else path, name)
        self.prefix = "" if self.folder else UNET
        shapes = self.source.shapes_below(self.prefix)
        if CAMERA not in shapes:
            raise DistillError(f'{name}: {self.source.path} has no weights "{self.prefix}{CAMERA}", so it takes no '
                               f'cameras. Choose {kind}.')
        if shapes[CAMERA][1] != 16:
            raise DistillError(f"{name}: {self.source.path} takes {shapes[CAMERA][1]} numbers per camera; 16 were "
                               f"expected. Choose {kind}.")
        self.takes_image = IMAGE in shapes

    def read_unet(self, views: int, dtype: torch.dtype, build=None, inputs: int = 4) -> torch.nn.Module:
        """inputs: how many channels it must take."""
        unet = read_unet(self.source, self.prefix, average=True, build=build, dtype=dtype)
        if (unet.config.in_channels, unet.config.out_channels) != (inputs, 4):
            node = node_of(self.source, self.prefix)
            raise DistillError(f"{self.source.name}: the UNet in {self.source.path} takes {unet.config.in_channels} "
                               f"channels and gives {unet.config.out_channels}, not {inputs} and 4. "
                               + (f"Use the {node} node." if node else f"Choose {self.kind}."))
        return join_views(unet, views)

    def read_vae(self, dtype: torch.dtype):
        """Of a single file."""
        return read_vae(self.source, _found(self.source, VAES), dtype=dtype)

    @property
    def text_prefix(self) -> str:
        """Of a single file."""
        return _found(self.source, TEXTS)


def node_of(source: CheckpointFile, prefix: str = UNET) -> str:
    """Display name of the node that loads a model of Stable Diffusion's family, by the shapes of its weights; "" for
    others.

    The channels of its pictures are known from the autoencoder, which folders of pipeline parts keep elsewhere.
    """
    shapes = source.shapes_below(prefix)
    channels = shapes.get("input_blocks.0.0.weight", (0, 0))[1]
    pictures = source.shapes.get(_found(source, VAES) + "encoder.conv_in.weight", (0, 3))[1]
    if IMAGE in shapes:
        return "ImageDream Prior"
    if channels != 4:
        return {5: "Albedo Prior" if CAMERA in shapes else "", 8: "Zero123 Prior"}.get(channels, "")
    if pictures == 4:
        return "Normal-Depth Prior"
    return "MVDream Prior" if CAMERA in shapes else "Stable Diffusion Prior"


def _found(source: CheckpointFile, prefixes: tuple[str, ...]) -> str:
    return next((prefix for prefix in prefixes if source.below(prefix)), prefixes[0])


def _weights(folder: Path, name: str) -> Path:
    for pattern in ("*.safetensors", "*.bin"):
        for path in sorted(folder.glob(pattern)):
            return path
    raise DistillError(f"{name}: {folder} holds no .safetensors file. Choose the folder of an MVDream or ImageDream "
                       "model, with unet, vae, text_encoder and tokenizer.")
