import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.materials.albedo import Albedo, AlbedoNode


def test_shows_its_colour_in_every_mode():
    material = Albedo().build()
    features = torch.randn(6, material.channels)
    for mode in ("albedo", "shaded", "textureless"):
        rgb, albedo = material(features, None, torch.zeros(6, 3), None, mode)
        assert torch.equal(rgb, features.sigmoid()) and torch.equal(albedo, rgb)
        assert not material.needs_normal(mode)
    assert material.draw_mode(5000, 10_000, Streams(0, 5000)) == "albedo"


def test_the_node():
    assert AlbedoNode.execute().args[0] == Albedo() and Albedo.channels == 3
    assert AlbedoNode.execute("scaled").args[0].build()(torch.ones(1,
                                                                   3), None, None, None,
                                                        "albedo")[0].tolist() == [[1.0] * 3]
    with pytest.raises(DistillError, match="relu"):
        AlbedoNode.execute("relu")
