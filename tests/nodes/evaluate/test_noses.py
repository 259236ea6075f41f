from dataclasses import replace
from functools import partial

import pytest
import torch

from distill3d.nodes.evaluate.noses import connected, count_noses, has_nose
from distill3d.nodes.evaluate.truth import true_rendering
from distill3d.nodes.shapes.caption import NOSED, Shape, nosed, single


def count(shape, parts):
    return count_noses(partial(true_rendering, Shape(tuple(parts), shape.caption)), shape)


@pytest.mark.parametrize("body", NOSED)
def test_true_shapes_have_one_nose_and_others_what_they_have(body):
    shape = nosed("orange", body, "blue")
    trunk, nose = shape.parts
    x, y, z = nose.center
    shift = trunk.center[0]
    # The other cone shows its base, not its tip.
    behind = replace(nose, center=(2 * shift - x, y, z))
    assert has_nose(shape)
    assert count(shape, shape.parts) == 1
    assert count(shape, (trunk, nose, behind)) == 2
    assert count(shape, (trunk,)) == 0
    assert count(shape, (replace(trunk, color="blue"),)) == 0  # a plain object in the colour of the nose
    assert count(shape, (trunk, replace(nose, color="orange"))) == 0


def test_a_patch_that_does_not_stick_out_is_no_nose():
    shape = nosed("orange", "sphere", "blue")
    trunk, nose = shape.parts
    assert count(shape, (trunk, replace(trunk, color="blue", scale=0.4, center=(0.05, 0.0, 0.0)))) == 0


def test_shapes_without_a_nose_are_told_apart():
    assert not has_nose(single("red", "cube"))


def test_parts_that_touch_at_a_corner_are_one():
    mask = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.bool)
    labels = connected(mask)
    assert labels[0, 0] == labels[1, 1] and len(labels.unique()) == 4 and (labels[~mask] == -1).all()
