"""Given Views: the cameras of posed pictures, in order or at random."""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..comfy import PICTURES, VIEWS, Node, io
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.pictures import Pictures
from ..core.rng import Streams

ORDERS = ("in order", "random")


@dataclass(frozen=True)
class GivenViews:
    """The cameras of posed pictures.

    order  "in order": step s takes `batch` pictures round-robin, beginning with picture s * batch. After each full
           round the order shifts by one, so that an objective that is active at every k-th step visits all pictures.
           "random": independent draws in proportion to the pictures' weights, from the stream "cameras"

    The cameras carry the indices of their pictures, by which losses find them. Raises DistillError for another order.
    """

    pictures: Pictures
    order: str = ORDERS[0]

    def __post_init__(self):
        if self.order not in ORDERS:
            raise DistillError(f'Given Views: order must be one of {", ".join(ORDERS)}, got "{self.order}".')

    def draw(self, batch: int, step: int, streams: Streams | None) -> list[int]:
        """The indices of the pictures of a step."""
        count = len(self.pictures)
        if self.order == "in order" or streams is None:
            turn = step * batch + torch.arange(batch)
            return ((turn + turn // count) % count).tolist()
        weight = torch.ones(count) if self.pictures.weight is None else self.pictures.weight
        return torch.multinomial(weight, batch, replacement=True, generator=streams("cameras")).tolist()

    def sample(self, batch: int, height: int, width: int, step: int = 0, total: int = 1,
               streams: Streams | None = None) -> Cameras:
        """The cameras of a step's pictures."""
        return self.pictures.views(self.draw(batch, step, streams), height, width)


@dataclass(frozen=True)
class LearnedViews(GivenViews):
    """Given Views with poses that are trained with the scene, initialised from the pictures. See `PoseLearner`."""

    def learner(self) -> "PoseLearner":
        return PoseLearner(self)


class PoseLearner(nn.Module):
    """Corrections of the poses as parameters of the group "pose": a rotation and a shift per picture, initially 0.

    turn   [V,3] rotation vector around the origin, radians, in the axes of the picture's camera
    shift  [V,3] along these axes, in units of the camera's distance

    A rotation around the origin moves a camera on its orbit, which corrects the most frequent error in poses of object
    pictures. The angles that condition priors stay those of the pictures. With Adam, the learning rate is in radians
    per step.
    """

    groups = ("pose",)

    def __init__(self, recipe: GivenViews):
        super().__init__()
        self.recipe = recipe
        self.turn = nn.Parameter(torch.zeros(len(recipe.pictures), 3))
        self.shift = nn.Parameter(torch.zeros(len(recipe.pictures), 3))

    def sample(self, batch: int, height: int, width: int, step: int = 0, total: int = 1,
               streams: Streams | None = None) -> Cameras:
        """See Views.sample; on the module's device, differentiable in the parameters."""
        index = self.recipe.draw(batch, step, streams)
        cameras = self.recipe.pictures.views(index, height, width).to(self.turn.device)
        return replace(cameras, c2w=moved(cameras, self.turn[index], self.shift[index]))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"pose": [self.turn, self.shift]}


def moved(cameras: Cameras, turn: Tensor, shift: Tensor) -> Tensor:
    """c2w [B,4,4] of the cameras rotated around the origin and shifted. turn, shift [B,3] as in PoseLearner."""
    axes, position = cameras.c2w[:, :3, :3], cameras.position
    rotation = torch.linalg.matrix_exp(_cross_matrices(torch.einsum("bij,bj->bi", axes, turn)))
    along = position + torch.einsum("bij,bj->bi", axes, shift) * cameras.distance[:, None]
    top = torch.cat([rotation @ axes, rotation @ along[..., None]], 2)
    return torch.cat([top, cameras.c2w[:, 3:]], 1)


def _cross_matrices(vectors: Tensor) -> Tensor:
    """Matrices [B,3,3] with matrix @ x = cross(vector, x), of vectors [B,3]."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)


class GivenViewsNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_GivenViews", display_name="Given Views", category="Distill3D/cameras",
            description="The cameras of posed pictures, in order or at random.",
            search_aliases=["posed images", "multi-view reconstruction", "camera poses", "pose refinement", "photos"],
            inputs=[
                PICTURES.Input("pictures", tooltip="From Reference View or Join Pictures."),
                io.Combo.Input("order", options=list(ORDERS), default=ORDERS[0], tooltip="Visit the pictures in order, "
                               "or draw them at random in proportion to their weights."),
                io.Boolean.Input("learn_poses", default=False, tooltip="Train the poses of the pictures with the "
                                 'scene. Optimizer Settings sets their learning rate under the group "pose".'),
            ],
            outputs=[VIEWS.Output("views", tooltip="A sampler of cameras for an Objective with Reference losses.")])

    @classmethod
    def execute(cls, pictures, order=ORDERS[0], learn_poses=False) -> io.NodeOutput:
        return io.NodeOutput((LearnedViews if learn_poses else GivenViews)(pictures, order))
