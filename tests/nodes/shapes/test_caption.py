from collections import Counter

import numpy as np
import pytest
import torch

from distill3d.kernels.shapes.sdf import HALF_HEIGHT, PRIMITIVES, Parts, shape_sdf
from distill3d.nodes.shapes.caption import KNOWN_WORDS, nosed, parse_shape, sample_shape, shape_parts, single, stack


def test_captions_round_trip():
    rng = np.random.default_rng(0)
    for _ in range(500):
        shape = sample_shape(rng)
        assert parse_shape(shape.caption) == shape
        assert set(shape.caption.split()) <= set(KNOWN_WORDS)


def test_shares_of_the_kinds():
    rng = np.random.default_rng(1)
    captions = [sample_shape(rng).caption for _ in range(4000)]
    share = {word: sum(word in caption for caption in captions) / 4000 for word in ("top", "nose", "striped", "dotted")}
    assert share["top"] == pytest.approx(0.60, abs=0.03)
    assert share["nose"] == pytest.approx(0.06, abs=0.015)
    assert share["striped"] == pytest.approx(0.035, abs=0.015)
    assert share["dotted"] == pytest.approx(0.035, abs=0.015)


def test_two_parts_have_two_colours():
    rng = np.random.default_rng(2)
    for _ in range(200):
        colors = Counter(part.color for part in sample_shape(rng).parts)
        assert max(colors.values()) == 1


@pytest.mark.parametrize(
    "caption, wanted",
    [
        ("an orange cone", "an orange cone"),
        ("A red cube.", "a red cube"),
        ("a orange cone, az30 el-15", "an orange cone"),
        ("a blue sphere on top of a green cylinder, front view", "a blue sphere on top of a green cylinder"),
        ("a striped red cube", "a striped red cube"),
        ("an orange sphere with a blue nose", "an orange sphere with a blue nose"),
    ],
)
def test_parse(caption, wanted):
    assert parse_shape(caption).caption == wanted


def test_parse_names_unknown_words():
    with pytest.raises(ValueError, match="unknown 'crimson', 'pyramid'"):
        parse_shape("a crimson pyramid")


@pytest.mark.parametrize("caption", ["", "red", "a red cube on top of a blue cone", "a red torus with a blue nose"])
def test_parse_refuses_other_sentences(caption):
    with pytest.raises(ValueError, match="not a sentence"):
        parse_shape(caption)


@pytest.mark.parametrize("top", PRIMITIVES)
def test_stacked_parts_touch_and_are_centred(top):
    above, below = stack("red", top, "blue", "cube").parts
    assert above.center[2] - HALF_HEIGHT[top] * above.scale == pytest.approx(below.center[2] + 0.8 * below.scale)
    highest = above.center[2] + HALF_HEIGHT[top] * above.scale
    assert highest == pytest.approx(-(below.center[2] - 0.8 * below.scale))


def test_nose_points_along_x_and_stands_well_out():
    parts = Parts(*(value[0] for value in shape_parts([nosed("red", "sphere", "blue")])))
    x = torch.linspace(-1.2, 1.2, 241)
    along = shape_sdf(parts, torch.stack([x, torch.zeros(241), torch.zeros(241)], -1))
    tip = float(x[along < 0].max())
    body_front = float(parts.center[0, 0] + parts.scale[0])
    assert 0.45 < tip - body_front < 0.65
    assert tip < 1.0
    assert float(shape_sdf(parts, torch.tensor([[tip, 0.0, 0.4]]))) > 0.2


def test_tensors_are_padded_with_absent_parts_and_scaled():
    parts = shape_parts([single("red", "cube"), stack("red", "cube", "blue", "torus")], scale=[1.0, 0.5])
    assert parts.kind.tolist() == [[1, -1], [1, 4]]
    assert parts.center.shape == (2, 2, 3) and parts.rotation.shape == (2, 2, 3, 3)
    assert parts.scale[1].tolist() == pytest.approx([0.23, 0.23])
    assert float(parts.center[1, 0, 2]) == pytest.approx(0.5 * 0.3 * 0.46)
