import struct

import pytest
import torch

from distill3d.nodes.assets.mesh import to_y_up
from distill3d.nodes.assets.mesh_reader import read_mesh
from distill3d.nodes.core.errors import DistillError

TEXT = (
    "solid a\n"
    + ("facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n")
    + "endsolid a\n"
)
RECORD = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0)


@pytest.mark.parametrize(
    "data",
    [TEXT.encode(), b"x" * 80 + struct.pack("<I", 1) + RECORD, b"solid".ljust(80) + struct.pack("<I", 1) + RECORD],
)
def test_text_and_binary(data):
    mesh = read_mesh(data, "stl", "Test")
    assert sorted(to_y_up(mesh.vertices).tolist()) == [[0, 0, 0], [0, 1, 0], [1, 0, 0]] and len(mesh.faces) == 1
    torch.testing.assert_close(to_y_up(mesh.normals), torch.tensor([[0.0, 0, 1]] * 3))


@pytest.mark.parametrize(
    "data, message",
    [
        (b"x" * 80 + struct.pack("<I", 3) + RECORD, "cut off: 1 of 3 triangles"),
        (TEXT[:-30].encode(), "cut off after 1 triangles"),
        (b"hello", "no STL"),
        (b"x" * 80 + struct.pack("<I", 2**32 - 1), "cut off"),
        (b"x" * 80 + struct.pack("<I", 0), "no triangles"),
    ],
)
def test_damage_is_said_in_a_sentence(data, message):
    with pytest.raises(DistillError, match="^Test: the file .*" + message):
        read_mesh(data, "stl", "Test")
