"""CLIP Loss: the distance between CLIP embeddings of renderings and of the prompt (Dream Fields, CLIP-Mesh,
Text2Mesh)."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.distill.similarity import MEASURES, embedding_distance
from ..comfy import LOSS, PROMPT, TOWER, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext, Stateless, Term
from ..core.prompt import Prompt
from ..core.schedule import Schedule
from ..core.tower import Tower, TowerRecipe
from .tower_view import BACKGROUNDS, SHOWN, tower_views, wanted_for

TITLE = "CLIP Loss"


@dataclass(frozen=True)
class CLIPSimilarity:
    """The mean distance between the embeddings of renderings and of the prompt (Dream Fields, Jain et al. 2022, eq. 5).

    measure       of the distance, see kernels.distill.similarity
    image         the image of the rendering that the tower receives, one of SHOWN
    crops         random crops of each view; 0: the whole view, once
    least, most   side of a crop, relative to the view's
    background    "scene", or "random textures" behind the object
    weight        of a mean over views and crops; published workflows have no other large loss
    """

    tower: TowerRecipe
    prompt: Prompt
    measure: str = MEASURES[0]
    image: str = SHOWN[0]
    crops: int = 4
    least: float = 0.8
    most: float = 1.0
    background: str = BACKGROUNDS[0]
    weight: Schedule = Schedule.of(1.0)
    name: str = "clip"

    @property
    def wanted(self) -> frozenset[str]:
        return wanted_for(self.image, self.background)

    def prepare(self, context: RunContext) -> "PreparedCLIP":
        tower = context.priors(self.tower)
        if not tower.has_text:
            raise DistillError(f"{TITLE}: this tower ({tower.name}) has no text encoder. Use a CLIP with both towers, "
                               "or Feature Loss.")
        return PreparedCLIP(self, tower)


class PreparedCLIP(Stateless):
    """See CLIPSimilarity. The log has the mean cosine between pictures and texts."""

    def __init__(self, recipe: CLIPSimilarity, tower: Tower):
        self.recipe, self.tower = recipe, tower
        self._texts: dict[str, Tensor] = {}

    def __call__(self, look: Look) -> Term:
        recipe = self.recipe
        views = tower_views(look, recipe.image, recipe.background, recipe.crops, recipe.least, recipe.most, TITLE)
        pictures = self.tower.embed_pictures(views)
        texts = self._embedded(recipe.prompt.of_cameras(look.cameras)).to(pictures)
        texts = texts.repeat(len(pictures) // len(texts), 1)
        distance, weight = embedding_distance(pictures, texts, recipe.measure).mean(), look.at(recipe.weight)
        return Term(weight * distance, {"similarity": (pictures * texts).sum(1).mean().detach(), "weight": weight})

    def _embedded(self, texts: list[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            self._texts.update(zip(new, self.tower.embed_texts(new)))
        return torch.stack([self._texts[text] for text in texts])


def crop_widgets() -> list:
    """Widgets of losses that show crops of a rendering to a tower."""
    return [
        io.Combo.Input("image", options=list(SHOWN), default=SHOWN[0], tooltip="Image of the rendering that the tower "
                       "receives: colours, or normals as colours."),
        io.Int.Input("crops", default=4, min=0, max=64, tooltip="Random crops of each view. 0: the whole view, once. "
                     "Without crops, patterns that do not look like the object can have a high similarity."),
        io.Float.Input("smallest_crop", default=0.8, min=0.05, max=2.0, step=0.05, tooltip="Side of the smallest crop, "
                       "relative to the view's. Above 1, the view is padded with its border pixels."),
        io.Float.Input("largest_crop", default=1.0, min=0.05, max=2.0, step=0.05, tooltip="Side of the largest crop, "
                       "relative to the view's."),
        io.Combo.Input("background", options=list(BACKGROUNDS), default=BACKGROUNDS[0], tooltip="Background: that of "
                       "the scene, or noise, checkerboards and waves, drawn for each picture (Dream Fields). Random "
                       "textures prevent semi-transparent fog."),
    ]


class CLIPLossNode(Node):
    advanced = ("measure", "crops", "smallest_crop", "largest_crop", "background")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_CLIPLoss", display_name=TITLE, category="Distill3D/losses",
            description="Minimises the distance between the CLIP embeddings of renderings and of the prompt.",
            search_aliases=["dream fields", "clip-mesh", "text2mesh", "similarity"],
            inputs=[
                TOWER.Input("tower", tooltip="From CLIP Tower."),
                PROMPT.Input("prompt", tooltip='From View Prompt. Published methods have no view words: set its '
                             '"views" to none.'),
                io.Combo.Input("measure", options=list(MEASURES), default=MEASURES[0], tooltip="cosine: 1 minus the "
                               "cosine. spherical: half the squared angle, with larger gradients at large distances."),
                *crop_widgets(),
                scheduled("weight", 1.0, "Weight of this loss, a mean over views and crops.", min=0.0, max=1e6,
                          step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, tower, prompt, measure=MEASURES[0], image=SHOWN[0], crops=4, smallest_crop=0.8, largest_crop=1.0,
                background=BACKGROUNDS[0], weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        check_crops(TITLE, smallest_crop, largest_crop)
        return io.NodeOutput((*losses, CLIPSimilarity(tower, prompt, measure, image, crops, smallest_crop, largest_crop,
                                                      background, Schedule.of(weight))))


def check_crops(title: str, least: float, most: float) -> None:
    if not 0 < least <= most:
        raise DistillError(f'{title}: "smallest_crop" ({least}) must be above 0 and not above "largest_crop" '
                           f'({most}).')
