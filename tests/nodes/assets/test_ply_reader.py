import numpy as np
import pytest
import torch

from distill3d.nodes.assets.mesh import to_y_up
from distill3d.nodes.assets.mesh_reader import read_mesh
from distill3d.nodes.core.errors import DistillError

CORNERS = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))


def header(form, count, properties, faces="element face 1\nproperty list uchar int vertex_indices"):
    return f"ply\nformat {form} 1.0\nelement vertex {count}\n{properties}\n{faces}\nend_header\n".encode()


XYZ = "property float x\nproperty float y\nproperty float z"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind, word", [("u1", "uchar"), ("u2", "ushort"), ("f4", "float")])
def test_colours_of_any_type(kind, word, order):
    largest = 1 if kind == "f4" else np.iinfo(kind).max
    layout = [(name, order + "f4") for name in "xyz"] + [(name, order + kind) for name in "rgb"]
    rows = np.array(
        [(*corner, *(np.array([0.5, 0, 1]) * largest + (0.5 if largest > 1 else 0))) for corner in CORNERS], layout
    )
    form = "binary_little_endian" if order == "<" else "binary_big_endian"
    data = (
        header(form, 4, XYZ + "".join(f"\nproperty {word} {name}" for name in ("red", "green", "blue")))
        + rows.tobytes()
    )
    mesh = read_mesh(data + b"\x04" + np.array([0, 1, 2, 3], order + "i4").tobytes(), "ply", "Test")
    assert len(mesh.faces) == 2
    torch.testing.assert_close(mesh.vertex_colors, torch.tensor([[0.5, 0, 1]] * 4), atol=3e-3, rtol=0)


def test_text_with_polygons_of_several_lengths_and_colours_of_faces():
    data = (
        header(
            "ascii",
            4,
            XYZ,
            "element face 2\nproperty list uchar int vertex_index\nproperty uchar red\nproperty uchar "
            "green\nproperty uchar blue",
        )
        + b"0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3 255 0 0\n3 0 1 2 0 255 0\n"
    )
    mesh = read_mesh(data, "ply", "Test")
    assert len(mesh.faces) == 3
    torch.testing.assert_close(mesh.vertex_colors[mesh.faces[:2]], torch.tensor([1.0, 0, 0]).expand(2, 3, 3))
    torch.testing.assert_close(mesh.vertex_colors[mesh.faces[2]], torch.tensor([0.0, 1, 0]).expand(3, 3))
    torch.testing.assert_close(to_y_up(mesh.normals), torch.tensor([0.0, 0, 1]).expand_as(mesh.normals))


def test_rows_of_several_lengths_in_binary():
    faces = b"\x04" + np.arange(4, dtype="<i4").tobytes() + b"\x03" + np.arange(3, dtype="<i4").tobytes()
    data = header("binary_little_endian", 4, XYZ, "element face 2\nproperty list uchar int vertex_indices")
    mesh = read_mesh(data + np.array(CORNERS, "<f4").tobytes() + faces, "ply", "Test")
    assert len(mesh.faces) == 3


@pytest.mark.parametrize(
    "data, message",
    [
        (b"plx", "no PLY"),
        (header("ascii", 4, XYZ) + b"0 0 0\n", "cut off"),
        (header("ascii", 10**9, XYZ), "at most 20 million"),
        (header("binary_little_endian", 4, XYZ) + b"\0" * 40, "cut off: 3 of 4 rows of vertex"),
        (header("ascii", 3, XYZ) + b"0 0 0 1 0 0 0 1 0 3 0 1 7", "names? vertices 0 to 7"),
        (header("what", 3, XYZ), "header is damaged"),
        (header("ascii", 1, "property uint packed_position", "") + b"0", "compressed Gaussian splat"),
        (header("ascii", 1, XYZ, "") + b"0 0 0", "no triangles"),
    ],
)
def test_damage_is_said_in_a_sentence(data, message):
    with pytest.raises(DistillError, match="^Test: the file .*" + message):
        read_mesh(data, "ply", "Test")
