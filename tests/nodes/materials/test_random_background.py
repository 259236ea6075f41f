import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.materials.random_background import RandomBackground, RandomBackgroundNode

DIRECTIONS = torch.zeros(500, 2, 2, 3)


def draw(recipe, step=0, directions=DIRECTIONS):
    rgb = recipe.build()(directions, Streams(0, step))
    assert (rgb == rgb[:, :1, :1]).all()
    return rgb[:, 0, 0]


def test_kinds_come_in_their_shares():
    color = draw(RandomBackground((0.3, 0.2, 0.4, 0.1)))
    white, black = (color == 1).all(-1), (color == 0).all(-1)
    grey = (color == color[:, :1]).all(-1) & ~white & ~black
    shares = [mask.float().mean().item() for mask in (white, grey, ~(white | grey | black), black)]
    assert shares == pytest.approx([0.3, 0.2, 0.4, 0.1], abs=0.07)
    assert 0.35 < color[grey].mean() < 0.65 and color[grey].std() > 0.2


def test_any_colour_is_uniform():
    color = draw(RandomBackground((0.0, 0.0, 1.0, 0.0)))
    assert color.mean(0).tolist() == pytest.approx([0.5] * 3, abs=0.06)
    assert color.std(0).tolist() == pytest.approx([12 ** -0.5] * 3, abs=0.05)
    assert abs(torch.corrcoef(color.t())[0, 1]) < 0.15


def test_one_for_the_whole_step():
    recipe = RandomBackground((0.0, 0.0, 1.0, 0.0), per_view=False)
    first, second = draw(recipe, 0), draw(recipe, 1)
    assert (first == first[0]).all() and not torch.equal(first, second)
    assert torch.equal(first, draw(recipe, 0))


def test_stills_have_the_set_colour():
    rgb = RandomBackground(still=(0.0, 0.5, 1.0)).build()(torch.zeros(2, 3, 3, 3), None)
    torch.testing.assert_close(rgb, torch.tensor([0.0, 0.5, 1.0]).expand(2, 3, 3, 3))


def test_the_node():
    assert RandomBackgroundNode.execute().args[0] == RandomBackground()
    assert RandomBackgroundNode.execute(still_color="#000", black_share=1.0).args[0].still == (0.0, 0.0, 0.0)
    with pytest.raises(DistillError, match="not all 0"):
        RandomBackground((0.0, 0.0, 0.0, 0.0))
