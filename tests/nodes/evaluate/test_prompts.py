"""The standard list of prompts, and other lists."""
from collections import Counter

import pytest

from distill3d.kernels.shapes.sdf import PRIMITIVES
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.evaluate.prompts import read_prompts, true_shape
from distill3d.nodes.shapes.caption import COLORS


def test_the_standard_list_is_balanced():
    prompts = read_prompts()
    shapes = [true_shape(prompt) for prompt in prompts]
    assert sorted(len(shape.parts) for shape in shapes) == [1] * 10 + [2] * 14
    assert all(shape.caption == prompt for shape, prompt in zip(shapes, prompts)), "captions in canonical words"
    colors = Counter(part.color for shape in shapes for part in shape.parts)
    assert set(colors) == set(COLORS) and max(colors.values()) - min(colors.values()) <= 1
    kinds = Counter(part.primitive for shape in shapes for part in shape.parts)
    assert set(kinds) == set(PRIMITIVES) and min(kinds.values()) >= 4
    assert all(part.pattern == "plain" for shape in shapes for part in shape.parts)
    assert len({tuple((part.primitive, part.color) for part in shape.parts) for shape in shapes}) == 24
    assert prompts[:6] == ["a red cube", "a yellow cone", "a purple torus", "a blue sphere on top of a green cylinder",
                           "a cyan cone on top of a pink cube", "an orange capsule"]


def test_the_standard_list_separates_colour_and_shape():
    shapes = [true_shape(prompt) for prompt in read_prompts()]
    by_geometry = Counter(tuple(part.primitive for part in shape.parts) for shape in shapes)
    by_color = Counter(frozenset(part.color for part in shape.parts) for shape in shapes)
    assert sum(count > 1 for count in by_geometry.values()) >= 4
    assert sum(count > 1 for count in by_color.values()) >= 4


def test_own_lists(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("# mine\n\na red cube  # plain\na blue sphere\n")
    assert read_prompts(path) == ["a red cube", "a blue sphere"]
    for text, message in (("a red cube\na mauve cube\n", "line 2.*mauve"), ("\n# nothing\n", "holds no prompt"),
                          ("a red cube\nA red cube, side view\n", "line 2.*already")):
        path.write_text(text)
        with pytest.raises(DistillError, match=message):
            read_prompts(path)
    with pytest.raises(DistillError, match="Cannot read the prompts"):
        read_prompts(tmp_path / "absent.txt")
