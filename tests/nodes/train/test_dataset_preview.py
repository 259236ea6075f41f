import numpy as np
import torch

from distill3d.nodes.train.dataset_preview import DatasetPreviewNode
from distill3d.nodes.train.shape_dataset import ShapeDataset, ShapeDatasetNode


def test_preview_shows_the_first_pictures_of_the_dataset():
    dataset = ShapeDatasetNode.execute(size=5, resolution=8, seed=4, min_elevation=0.0, max_elevation=10.0,
                                       distance=3.0, distance_jitter=0.0, fovy=40.0, scale_jitter=0.0, albedo_share=0.0,
                                       supersample=1).args[0]
    whole = dataset.render()
    with torch.inference_mode():
        images, captions = DatasetPreviewNode.execute(dataset, count=3, enlarge=2).args
    assert images.shape == (3, 16, 16, 3)
    assert np.array_equal((images[:, ::2, ::2] * 255).round().numpy(), whole.images[:3])
    assert torch.equal(images[:, ::2], images[:, 1::2])
    assert captions.split("\n") == list(whole.captions[:3])
    assert len(DatasetPreviewNode.execute(dataset, count=9, enlarge=1).args[0]) == 5


def test_dataset_node_carries_every_number():
    widgets = {widget.id: widget.default for widget in ShapeDatasetNode.define_schema().inputs}
    assert ShapeDatasetNode.execute(**widgets).args[0] == ShapeDataset()
