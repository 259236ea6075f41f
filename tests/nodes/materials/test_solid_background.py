import torch

from distill3d.nodes.core.rng import Streams
from distill3d.nodes.materials.solid_background import SolidBackground, SolidBackgroundNode


def test_the_same_colour_everywhere_and_always():
    background = SolidBackground((0.1, 0.2, 0.3)).build()
    for streams in (None, Streams(0, 5)):
        rgb = background(torch.randn(2, 3, 4, 3), streams)
        torch.testing.assert_close(rgb, torch.tensor([0.1, 0.2, 0.3]).expand(2, 3, 4, 3))
    assert background.parameter_groups() == {} and not background.state_dict()


def test_the_node():
    assert SolidBackgroundNode.execute().args[0] == SolidBackground()
    assert SolidBackgroundNode.execute("#000000").args[0].color == (0.0, 0.0, 0.0)
