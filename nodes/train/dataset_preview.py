"""Dataset Preview: the first pictures of a dataset with their captions."""
from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..comfy import DATASET, VIEW_DATASET, Node, host, io
from .shape_dataset import ShapeDataset
from .shape_views import ShapeViews


def preview_dataset(dataset: ShapeDataset | ShapeViews, count: int, enlarge: int = 1) -> tuple[Tensor, list[str]]:
    """The first `count` pictures [N,H,W,3] in [0,1] and their captions; fewer where the dataset has fewer. Views of one
    shape are side by side. A dataset of normals and depth shows its normals.

    enlarge  each pixel becomes a square of this size
    """
    data = replace(dataset, size=min(count, dataset.size)).render(lambda done, size: host().check(), host().device())
    images = torch.from_numpy(data.images).float()[..., :3] / 255
    if images.ndim == 5:
        images = images.transpose(1, 2).flatten(2, 3)
    return images.repeat_interleave(enlarge, 1).repeat_interleave(enlarge, 2), [
        str(caption) for caption in data.captions]


class DatasetPreviewNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_DatasetPreview", display_name="Dataset Preview", category="Distill3D/train",
            description="The first pictures of a dataset with their captions.",
            search_aliases=["look at training images"],
            inputs=[io.MultiType.Input("dataset", types=[DATASET, VIEW_DATASET], tooltip="From Shape Dataset or Shape "
                                       "Views."),
                    io.Int.Input("count", default=16, min=1, max=1024, tooltip="How many pictures."),
                    io.Int.Input("enlarge", default=4, min=1, max=32, tooltip="Each pixel becomes a square of this "
                                 "size.")],
            outputs=[io.Image.Output("images", tooltip="The pictures."),
                     io.String.Output("captions", tooltip="One line for each picture, in the same order.")])

    @classmethod
    def execute(cls, dataset, count=16, enlarge=4) -> io.NodeOutput:
        images, captions = preview_dataset(dataset, count, enlarge)
        return io.NodeOutput(images, "\n".join(captions))
