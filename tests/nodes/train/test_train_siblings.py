import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.train import multi_view_trainer, zero123_trainer
from distill3d.nodes.train.shape_views import ShapeViews
from distill3d.nodes.train.train_multi_view import TrainMVDreamPriorNode, TrainNormalDepthPriorNode
from distill3d.nodes.train.train_zero123 import TrainZero123PriorNode

SMALL = dict(size=8, views=2, resolution=16, supersample=1)
KINDS = {"zero123": (TrainZero123PriorNode, dict(cameras="anywhere"), dict(channels="16, 32", autoencoder="built-in")),
         "mvdream": (TrainMVDreamPriorNode, {}, dict(channels="32, 64", autoencoder="built-in", reading_steps=2)),
         "normal_depth": (TrainNormalDepthPriorNode, dict(picture="normal and depth"), dict(channels="32, "
                                                                                            "64", reading_steps=2))}


@pytest.fixture(autouse=True)
def host(tmp_path, monkeypatch):
    for module in (multi_view_trainer, zero123_trainer):
        monkeypatch.setattr(module, "paint", lambda *args, paint=module.paint: paint(*args, steps=1))
    host = Host(tmp_path / "output", "cpu")
    set_host(host)
    yield host
    set_host(None)


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_train_inside_inference_mode_and_go_on(kind, host):
    node, recipe, widgets = KINDS[kind]
    dataset = ShapeViews(**SMALL, **recipe)
    with torch.inference_mode():
        folder, sheet = node.execute(dataset, steps=1, batch=4, folder="run", **widgets).args
        assert folder == "run/builtin" and sheet.ndim == 4 and float(sheet.min()) >= 0 and float(sheet.max()) <= 1
        assert (host.output_directory / folder / "model_index.json").is_file()
        assert node.execute(dataset, steps=2, batch=4, folder="run", **widgets).args[0] == folder
        node.execute(dataset, steps=1, batch=4, folder="other", start=folder, **widgets)
    with pytest.raises(DistillError, match=f"{node.define_schema().display_name}.*channels"):
        node.execute(dataset, steps=1, folder="third", **{**widgets, "channels": "7, x"})
    with pytest.raises(DistillError, match="contains a run already"):
        node.execute(dataset, steps=3, batch=4, folder="run", resume=False, **widgets)
