"""Feature Loss: the distance between CLIP or DINO features of renderings and of pictures (DietNeRF)."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.distill.similarity import embedding_distance
from ...kernels.image.resize import resize
from ..comfy import LOSS, PICTURES, TOWER, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext, Stateless, Term
from ..core.pictures import Pictures
from ..core.schedule import Schedule
from ..core.tower import Tower, TowerRecipe

TITLE = "Feature Loss"
COMPARED = ("embedding", "all tokens")


@dataclass(frozen=True)
class Features:
    """The mean distance between features of renderings and of pictures.

    compared  "embedding": 1 minus the cosine between the embedding of a rendering, from any camera, and the mean
              embedding of the pictures (DietNeRF, Jain et al. 2021, eq. 5). "all tokens": the mean of 1 minus the
              cosine between tokens at the same position in `layer`, for renderings from the pictures' cameras
    layer     of "all tokens"; -1 is the last
    weight    of a mean over views and tokens

    Renderings and pictures are composited over white.
    """

    tower: TowerRecipe
    reference: Pictures
    compared: str = COMPARED[0]
    layer: int = -1
    weight: Schedule = Schedule.of(1.0)
    name: str = "feature"
    wanted: frozenset[str] = frozenset({"rgb", "opacity", "background"})

    def prepare(self, context: RunContext) -> "PreparedFeatures":
        return PreparedFeatures(self, context.priors(self.tower))


class PreparedFeatures(Stateless):
    def __init__(self, recipe: Features, tower: Tower):
        self.recipe, self.tower = recipe, tower
        with torch.no_grad():
            # A copy, because ComfyUI makes inference tensors. The mean embedding is normalised again.
            pictures = resize(recipe.reference.over(1.0).clone(), tower.side, tower.side)
            if recipe.compared == COMPARED[0]:
                self.known = F.normalize(tower.embed_pictures(pictures).mean(0, keepdim=True), dim=-1)
            else:
                self.known = F.normalize(tower.features(pictures, recipe.layer), dim=-1)

    def __call__(self, look: Look) -> Term:
        distance, weight = self._distance(look), look.at(self.recipe.weight)
        return Term(weight * distance, {"similarity": 1 - distance.detach(), "weight": weight})

    def _distance(self, look: Look) -> Tensor:
        rendering = look.rendering
        if rendering.background is None:
            raise DistillError(f"{TITLE}: this scene's renderer does not return its background. Use a renderer of "
                               "this pack, or remove this loss.")
        rgb = rendering.rgb + (1 - rendering.opacity) * (1 - rendering.background)
        if self.recipe.compared == COMPARED[0]:
            found = self.tower.embed_pictures(rgb)
            return embedding_distance(found, self.known.to(found).expand_as(found)).mean()
        index = self.recipe.reference.index_of(look.cameras)
        if index is None:
            raise DistillError(f'{TITLE}: "all tokens" needs renderings from the cameras of the pictures, and its '
                               'Objective has other views. Connect the views of the same Reference View, or set '
                               '"compared" to "embedding".')
        found = F.normalize(self.tower.features(rgb, self.recipe.layer), dim=-1)
        return (1 - (found * self.known[list(index)].to(found)).sum(-1)).mean()


class FeatureLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_FeatureLoss", display_name=TITLE, category="Distill3D/losses",
            description="Minimises the distance between CLIP or DINO features of renderings and of pictures.",
            search_aliases=["dino", "dietnerf", "semantic consistency", "perceptual"],
            inputs=[
                TOWER.Input("tower", tooltip="From CLIP Tower."),
                PICTURES.Input("reference", tooltip="From Reference View or Join Pictures."),
                io.Combo.Input("compared", options=list(COMPARED), default=COMPARED[0], tooltip="embedding: one vector "
                               "for the whole picture, for renderings from any view. all tokens: each position, for an "
                               "Objective with the views of the reference."),
                io.Int.Input("layer", default=-1, min=-1, max=100, tooltip='Layer of "all tokens". -1: the last.'),
                scheduled("weight", 1.0, "Weight of this loss, a mean over views.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, tower, reference, compared=COMPARED[0], layer=-1, weight=1.0,
                losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Features(tower, reference, compared, layer, Schedule.of(weight))))
