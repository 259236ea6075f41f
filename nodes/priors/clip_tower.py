"""CLIP Tower: the network by which CLIP Loss, Feature Loss and CLIP R-Precision compare pictures and texts."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..comfy import TOWER, Node, host, io
from ..comfy.vision import HostTower
from ..core.errors import DistillError
from ..core.prior import LoadedPriors
from ..core.tower import Tower
from ..models.builtin import BUILTIN_CLIP
from ..models.clip_tower import load_tower
from ..models.model_files import BUILT_IN, choices, locate
from ..models.weights_digest import weights_digest

TITLE, KINDS = "CLIP Tower", ("clip_vision", "diffusers")


@dataclass(frozen=True)
class FolderTower:
    """A recipe: the tower of a folder. weights: its `weights_digest`, so that a run is not resumed with another
    tower."""

    folder: str
    weights: str = ""

    def load(self, priors: LoadedPriors) -> Tower:
        return load_tower(self.folder, TITLE, priors.device)


@dataclass(frozen=True, eq=False)
class WiredTower:
    """A recipe: ComfyUI's CLIP_VISION, and a CLIP with its text encoder, or None."""

    vision: Any
    clip: Any

    def load(self, priors: LoadedPriors) -> Tower:
        return HostTower(self.vision, self.clip, priors.device)


class CLIPTowerNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_CLIPTower", display_name=TITLE, category="Distill3D/priors",
            description="A network that compares pictures and texts: the small CLIP that comes with the pack, another "
                        "CLIP, or DINO for pictures alone.",
            search_aliases=["clip", "dino", "vit-b/32", "image text similarity"],
            inputs=[
                io.Combo.Input("model", options=choices(
                    *KINDS, shipped=BUILTIN_CLIP, index="config.json"), default=BUILT_IN, tooltip=(
                    "Folder of a CLIP (openai/clip-vit-base-patch32, -patch16, -large-patch14) or DINO in the format "
                    "of transformers, below the models folders clip_vision or diffusers; or the folder of Train CLIP. "
                    "The built-in CLIP was trained on simple shapes only.")),
                io.ClipVision.Input("clip_vision", optional=True, tooltip="An image network from core's Load CLIP "
                                    "Vision, also DINO. It replaces the model above."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder for clip_vision. It must be that of "
                              "the same CLIP, with its text projection."),
            ],
            outputs=[TOWER.Output("tower", tooltip="For CLIP Loss, Feature Loss and CLIP R-Precision.")])

    @classmethod
    def validate_inputs(cls, model=None) -> bool | str:
        try:
            return model is None or bool(locate(model, TITLE, *KINDS, shipped=BUILTIN_CLIP))
        except DistillError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, model=BUILT_IN, **wires) -> str:
        """A folder that was trained on is another input, though its name is the same."""
        return weights_digest(locate(model, TITLE, *KINDS, shipped=BUILTIN_CLIP))

    @classmethod
    def execute(cls, model=BUILT_IN, clip_vision=None, clip=None) -> io.NodeOutput:
        if clip_vision is not None:
            return io.NodeOutput(WiredTower(clip_vision, clip))
        if clip is not None:
            host().warn(f"{TITLE}: the clip is not used, because no clip_vision is wired.")
        folder = locate(model, TITLE, *KINDS, shipped=BUILTIN_CLIP)
        return io.NodeOutput(FolderTower(str(folder), weights_digest(folder)))
