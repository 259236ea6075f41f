import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.materials.color import activate_color, parse_color


def test_activations():
    raw = torch.tensor([-4.0, 0.0, 4.0])
    torch.testing.assert_close(activate_color(raw, "sigmoid"), 1 / (1 + torch.exp(-raw)))
    assert activate_color(raw, "scaled").tolist() == [-1.5, 0.5, 2.5]


@pytest.mark.parametrize("text, color", [("#ff0000", (1, 0, 0)), ("336699", (0.2, 0.4, 0.6)), ("#0f8", (0, 1, 8 / 15)),
                                         (" 1, 0.5, 0 ", (1, 0.5, 0))])
def test_colors_as_people_write_them(text, color):
    assert parse_color(text) == pytest.approx(color)


@pytest.mark.parametrize("text", ["", "white", "1, 2, 3", "0.1, 0.2", "#12345", "nan, 0, 0"])
def test_other_text_is_named(text):
    with pytest.raises(DistillError, match="Cannot read the colour"):
        parse_color(text)
