import math

import torch

from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.export.render_mesh import GREY, render_mesh

# A square in the plane x = 0, seen from the front (+x): y to the right, z up.
SQUARE = torch.tensor([[0.0, -1, -1], [0, 1, -1], [0, 1, 1], [0, -1, 1]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
UV = torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0]])
FRONT = orbit(0.0, 0.0, 4.0, 2 * math.atan(0.5), 16, 16)            # the square fills the middle half


def test_texture_stands_upright():
    texture = torch.zeros(2, 2, 3)
    texture[0, 0], texture[1, 1] = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 0, 1])
    rgb, opacity = render_mesh(Mesh(SQUARE, FACES, UV, texture), FRONT)
    assert torch.equal(rgb[0, 4, 4], torch.tensor([1.0, 0, 0]))      # first texel: left, top
    assert torch.equal(rgb[0, 11, 11], torch.tensor([0.0, 0, 1]))
    assert torch.equal(rgb[0, 0, 0], torch.ones(3))
    assert float(opacity.sum()) == 64


def test_vertex_colours_and_plain_grey():
    colors = (SQUARE + 1) / 2
    rgb, _ = render_mesh(Mesh(SQUARE, FACES, vertex_colors=colors), FRONT, supersample=1)
    expected = (torch.arange(8) + 0.5) / 8
    torch.testing.assert_close(rgb[0, 4, 4:12, 1], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(rgb[0, 4:12, 4, 2], 1 - expected, atol=1e-5, rtol=0)
    rgb, _ = render_mesh(Mesh(SQUARE, FACES), FRONT, background=0.0)
    assert rgb.unique().tolist() == [0.0, torch.tensor(GREY)]


def test_edges_are_averaged():
    slim = SQUARE * torch.tensor([1.0, 0.875, 1])                    # half a pixel less on both sides
    _, opacity = render_mesh(Mesh(slim, FACES), FRONT, supersample=2)
    torch.testing.assert_close(opacity[0, 8, 3:6, 0], torch.tensor([0.0, 0.5, 1.0]))
