"""Join Pictures: concatenates posed pictures of one object."""
from __future__ import annotations

from dataclasses import replace

import torch

from ..comfy import PICTURES, Node, io
from ..core.pictures import Pictures, join


def weighted(pictures: Pictures, factor: float) -> Pictures:
    """The same pictures with their weights multiplied by `factor`."""
    if factor == 1:
        return pictures
    weight = torch.ones(len(pictures)) if pictures.weight is None else pictures.weight
    return replace(pictures, weight=weight * factor)


class JoinPicturesNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_JoinPictures", display_name="Join Pictures", category="Distill3D/cameras",
            description="Concatenates posed pictures of one object.",
            search_aliases=["batch views", "multi-view images", "concatenate references", "posed images"],
            inputs=[
                PICTURES.Input("pictures", tooltip="The first pictures, from Reference View or Join Pictures."),
                PICTURES.Input("more", tooltip="The pictures to append. Smaller ones are enlarged to the size of the "
                                               "largest."),
                io.Float.Input("weight", default=1.0, min=0.0, max=1000.0, step=0.05, tooltip='Weight of the "more" '
                               'pictures, relative to the first ones, when Given Views draws at random.'),
            ],
            outputs=[PICTURES.Output("pictures", tooltip="All pictures, for Given Views and the Reference losses.")])

    @classmethod
    def execute(cls, pictures, more, weight=1.0) -> io.NodeOutput:
        return io.NodeOutput(join([pictures, weighted(more, weight)]))
