import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.train.shape_dataset import ShapeDataset
from distill3d.nodes.train.train_clip import TrainCLIPNode


def test_node_trains_inside_inference_mode_and_goes_on(tmp_path):
    host = Host(tmp_path / "output", "cpu")
    set_host(host)
    try:
        small = dict(batch=4, folder="run", width=32, layers=1, text_layers=1)
        dataset = ShapeDataset(16, resolution=8, supersample=1)
        with torch.inference_mode():
            folder, sheet = TrainCLIPNode.execute(dataset, steps=1, **small).args
            assert folder == "run/builtin" and sheet.ndim == 4
            assert (host.output_directory / folder / "config.json").is_file()
            assert TrainCLIPNode.execute(dataset, steps=2, **small).args[0] == folder
            TrainCLIPNode.execute(dataset, steps=1, **{**small, "folder": "other"}, start=folder)
        with pytest.raises(DistillError, match="Train CLIP.*no such model"):
            TrainCLIPNode.execute(dataset, steps=1, **{**small, "folder": "third"}, start="nothing")
    finally:
        set_host(None)
