"""Score Views on scenes that are the truth itself, or the truth of another caption."""
from dataclasses import dataclass, replace

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.evaluate.score_views import ScoreViewsNode
from distill3d.nodes.evaluate.truth import true_rendering
from distill3d.nodes.evaluate.views import VIEWS_AT_ONCE
from distill3d.nodes.shapes.caption import parse_shape


@dataclass(frozen=True)
class TrueScene:
    """Stands for a SCENE: its pictures are those of a caption's true shape."""

    caption: str

    def build(self, device="cpu"):
        return self

    def render(self, cameras, light=None, wanted=("rgb", "opacity"), *, step=0, streams=None, shading=None):
        assert streams is None and shading == "albedo" and len(cameras) <= VIEWS_AT_ONCE
        rendering = true_rendering(parse_shape(self.caption), cameras)
        return replace(rendering, **{name: None for name in vars(rendering) if name not in wanted})


def test_truth_scores_best():
    iou, psnr, image = ScoreViewsNode.execute(TrueScene("a red cube"), "a red cube, front view", 16).args
    assert (iou, psnr) == (1.0, 100.0)
    assert image.shape == (1, 3 * 16 + 2 * 4, 16 * 16, 3) and 0 <= float(image.min()) and float(image.max()) <= 1
    assert torch.equal(image[0, :16], image[0, 20:36]), "truth above, result below"


def test_another_shape_and_another_colour_score_less():
    iou, psnr, _ = ScoreViewsNode.execute(TrueScene("a red sphere"), "a red cube", 16).args
    assert iou < 0.95 and psnr < 25
    iou, psnr, _ = ScoreViewsNode.execute(TrueScene("a blue cube"), "a red cube", 16).args
    assert iou == 1.0 and psnr < 14


def test_works_in_inference_mode():
    with torch.inference_mode():
        assert ScoreViewsNode.execute(TrueScene("a red cube"), "a red cube", 16).args[0] == 1.0


def test_unknown_captions_are_refused():
    with pytest.raises(DistillError, match="teapot"):
        ScoreViewsNode.execute(TrueScene("a red cube"), "a red teapot", 16)
