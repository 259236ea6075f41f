from functools import partial

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.evaluate.clip_precision import clip_ranking, clip_rankings
from distill3d.nodes.evaluate.clip_r_precision import CLIPRPrecisionNode, read_captions
from distill3d.nodes.evaluate.truth import true_rendering
from distill3d.nodes.evaluate.views import standard_views, take_pictures
from distill3d.nodes.shapes.caption import parse_shape
from tiny_clip import ColorTower, Given

CAPTIONS = ["a red cube", "a green cube", "a blue cube"]


class TrueScene:
    def __init__(self, caption):
        self.shape = parse_shape(caption)

    def build(self, device="cpu"):
        return self

    def render(self, cameras, **options):
        return true_rendering(self.shape, cameras)


def pictures(caption):
    return take_pictures(partial(true_rendering, parse_shape(caption)), standard_views(16))


def test_share_counts_the_views_whose_own_caption_is_first():
    tower = ColorTower()
    rgb = torch.tensor([[1.0, 0.1, 0.1], [0.1, 0.1, 1.0], [1.0, 0.2, 0.0]]).view(3, 1, 1, 3).expand(3, 8, 8, 3)
    texts = tower.embed_texts(CAPTIONS)
    found = clip_ranking(tower, rgb, texts, 0)
    assert found.share == pytest.approx(2 / 3) and found.first == 0 and found.is_right and 0.6 < found.cosine < 0.8
    other = clip_ranking(tower, rgb, texts, 1)
    assert other.share == 0 and not other.is_right
    assert clip_ranking(tower, rgb, texts, 1, equals=[2]).share == pytest.approx(1 / 3)
    with pytest.raises(DistillError, match="not among the 3"):
        clip_ranking(tower, rgb, texts, 3)


def test_colour_ranks_true_objects_and_textureless_cannot():
    tower = ColorTower()
    texts = tower.embed_texts(CAPTIONS)
    for own, caption in enumerate(CAPTIONS):
        color, gray = clip_rankings(tower, pictures(caption), texts, own)
        assert color.share == 1 and color.is_right
        assert gray.cosine == pytest.approx(clip_rankings(tower, pictures(CAPTIONS[0]), texts, own)[1].cosine)


def test_node_reports_and_reads_captions(tmp_path):
    host = Host(tmp_path / "output", "cpu")
    set_host(host)
    try:
        with torch.inference_mode():
            color, _, report, sheet = CLIPRPrecisionNode.execute(
                TrueScene("a red cube"), Given(ColorTower()), "a red cube", "\n".join(CAPTIONS[1:]), 4, size=16).args
            assert color == 1 and "among 3 captions" in report and "nearest over all views: a red cube" in report
            assert sheet.shape == (1, 36, 64, 3)
            wrong = CLIPRPrecisionNode.execute(TrueScene("a blue cube"), Given(ColorTower()), "a red cube",
                                               "\n".join(CAPTIONS), 4, size=16).args
            assert wrong[0] == 0 and "a blue cube" in wrong[2]
        assert len(read_captions("")) == 24
        folder = host.input_directory
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "coco.txt").write_text("a cat\n\n# no caption\na dog\n")
        assert read_captions("coco.txt") == ["a cat", "a dog"]
        with pytest.raises(DistillError, match="input folder"):
            read_captions("../coco.txt")
    finally:
        set_host(None)
