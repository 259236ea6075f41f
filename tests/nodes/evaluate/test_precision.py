"""Prompt precision on results that are known to be right or wrong."""
import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.evaluate.precision import prompt_precision, rank
from distill3d.nodes.evaluate.truth import true_rendering
from distill3d.nodes.evaluate.views import standard_views, take_pictures
from distill3d.nodes.shapes.caption import parse_shape

PROMPTS = ["a red cube", "a blue cube", "a red torus", "a blue sphere on top of a green cylinder",
           "a green sphere on top of a blue cylinder"]
TRUTHS = [take_pictures(lambda cameras, shape=parse_shape(prompt): true_rendering(shape, cameras), standard_views(12))
          for prompt in PROMPTS]


@pytest.mark.parametrize("own", range(len(PROMPTS)))
def test_truth_is_nearest_to_itself(own):
    precision = prompt_precision(TRUTHS[own], TRUTHS, own)
    assert precision.color.is_right and precision.textureless.is_right
    assert precision.color.order[0] == own and sorted(precision.color.order) == list(range(len(PROMPTS)))


def test_wrong_colour_is_a_miss_in_colour_only():
    precision = prompt_precision(TRUTHS[1], TRUTHS, 0)
    assert not precision.color.is_right and precision.color.order[0] == 1 and precision.color.equals == (0,)
    assert precision.textureless.is_right and precision.textureless.equals == (0, 1)


def test_swapped_colours_are_a_miss_in_colour_only():
    precision = prompt_precision(TRUTHS[4], TRUTHS, 3)
    assert not precision.color.is_right and precision.textureless.is_right


def test_wrong_shape_is_a_miss_in_both():
    precision = prompt_precision(TRUTHS[2], TRUTHS, 0)
    assert not precision.color.is_right and not precision.textureless.is_right


def test_rank_by_hand():
    candidates = [torch.full((1, 2, 2, 1), value) for value in (0.0, 0.4, 1.0)]
    ranking = rank(torch.full((1, 2, 2, 1), 0.6), candidates, 2)
    assert ranking.order == (1, 2, 0) and not ranking.is_right and ranking.equals == (2,)
    with pytest.raises(DistillError, match="3 candidates"):
        rank(candidates[0], candidates, 3)
