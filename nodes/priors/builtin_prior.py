"""The built-in prior: a small text-to-image model of simple shapes, whose weights come with the pack."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import torch

from ..comfy import PRIOR, Node, host, io
from ..core.errors import DistillError
from ..core.prior import LoadedPriors
from ..core.prompt import INTERPOLATED
from ..core.trained_on import COARSE, TrainedOn
from ..models.builtin import BUILTIN_FOLDER
from ..models.if_folder import read_vocabulary
from ..models.t5_text import KEEP
from ..models.trained_on_file import read_trained_on
from ..models.weights_digest import weights_digest
from ..shapes.caption import KNOWN_WORDS
from .deepfloyd_if import IFPrior


@dataclass(frozen=True)
class BuiltinPrior:
    """A recipe: the shipped weights, or another folder written by Train Prior.

    weights  `weights_digest` of the folder, so that a run is not resumed with other weights
    """

    folder: str = ""
    weights: str = ""

    image = ""

    def load(self, priors: LoadedPriors) -> "ShapePrior":
        return ShapePrior(self.folder or BUILTIN_FOLDER, priors.device)


SHAPE_VIEWS = ("degrees", COARSE, INTERPOLATED)


class ShapePrior(IFPrior):
    """A prior in IF's layout with a closed vocabulary. It warns of each unknown word in a prompt once."""

    name = "Built-in Prior"

    def __init__(self, folder: str | Path, device: torch.device):
        self._known = read_vocabulary(Path(folder), self.name)
        super().__init__(folder, device, "float32", KEEP)
        self.trained_on = read_trained_on(folder, self.name, TrainedOn(view_words=SHAPE_VIEWS))

    def encode_prompts(self, texts: Sequence[str]):
        # Punctuation separates words, as in the tokenizer, except "+" and "-", which are parts of words.
        words = dict.fromkeys(word for text in texts for word in re.findall(r"(?:[^\W_]|[+-])+", text.lower()))
        unknown = [word for word in words if word not in self._known]
        self._known.update(unknown)  # a run encodes its prompt again for every new view
        if unknown:
            host().warn(f'{self.name}: it does not know {", ".join(repr(word) for word in unknown)}. It was trained on '
                        f'simple shapes only: {", ".join(KNOWN_WORDS)}. Use one of the other priors for anything else.')
        return super().encode_prompts(texts)


class BuiltinPriorNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_BuiltinPrior", display_name="Built-in Prior", category="Distill3D/priors",
            description="The small prior that comes with the pack: coloured shapes such as "
                        "\"a blue sphere on top of a green cylinder\", without a download.",
            search_aliases=["tiny prior", "text to 3d"],
            inputs=[io.String.Input("folder", default="", optional=True, tooltip="Folder of a prior that Train Prior "
                                    "wrote, inside the output or models folder. Empty: the one that comes with the "
                                    "pack.")],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss and Sample Prior. 32x32 pixels, front = azimuth 0; "
                                  "cameras at distance 3.2, field of view 40 degrees, elevation -40 to 70.")])

    @classmethod
    def fingerprint_inputs(cls, folder: str = "") -> str:
        """The input changes when training changes the weights in the folder."""
        return weights_digest(_inside(folder) if folder else BUILTIN_FOLDER)

    @classmethod
    def execute(cls, folder: str = "") -> io.NodeOutput:
        chosen = str(_inside(folder)) if folder else ""
        return io.NodeOutput(BuiltinPrior(chosen, weights_digest(chosen or BUILTIN_FOLDER)))


def _inside(folder: str) -> Path:
    """The folder below the output folder or a models folder. Raises DistillError for others."""
    roots = [host().output_directory, *host().model_folders("diffusers")]
    for root in roots:
        path = (root / folder).resolve()
        if root.resolve() in path.parents and path.is_dir():
            return path
    raise DistillError(f'Built-in Prior: "{folder}" is not a folder below {" or ".join(str(root) for root in roots)}.')
