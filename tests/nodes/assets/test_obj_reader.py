import numpy as np
import pytest
import torch

from distill3d.nodes.assets.mesh import to_y_up
from distill3d.nodes.assets.mesh_reader import read_mesh
from distill3d.nodes.core.errors import DistillError
from gltf_builder import png

QUAD = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3 4/4\n"


def read(text):
    return read_mesh(text.encode(), "obj", "Test")


def areas(mesh):
    """Signed areas along +z of the file."""
    corner = to_y_up(mesh.vertices)[mesh.faces]
    return 0.5 * torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, 2]


def test_relative_indices_count_from_the_face():
    mesh = read("v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 5 0 0\nv 6 0 0\nv 5 1 0\nf -3 -2 -1\n")
    corners = to_y_up(mesh.vertices)[mesh.faces]
    assert corners[0, :, 0].tolist() == [0, 1, 0] and corners[1, :, 0].tolist() == [5, 6, 5]


@pytest.mark.parametrize("order", [(1, 2, 3, 4, 5), (4, 5, 1, 2, 3), (3, 4, 5, 1, 2)])
def test_concave_polygons_do_not_fold(order):
    corners = "v 0 0 0\nv 2 0 0\nv 2 2 0\nv 1 .5 0\nv 0 2 0\n"
    found = areas(read(f"{corners}f {' '.join(map(str, order))}\n"))
    assert len(found) == 3 and bool((found > 0).all()) and float(found.sum()) == pytest.approx(2.5)
    back = areas(read(f"{corners}f {' '.join(map(str, order[::-1]))}\n"))
    assert bool((back < 0).all()) and float(back.sum()) == pytest.approx(-2.5)


def test_a_spiral_of_many_corners():
    angle = np.linspace(0, 4 * np.pi, 60)
    inner, outer = [(r + 1) * np.stack([np.cos(angle), np.sin(angle)]) for r in (angle, angle + 2)]
    ring = np.concatenate([outer.T, inner.T[::-1]])
    lines = "".join(f"v {x} {y} 0\n" for x, y in ring) + "f " + " ".join(map(str, range(1, len(ring) + 1)))
    area = 0.5 * (ring[:, 0] * np.roll(ring[:, 1], -1) - np.roll(ring[:, 0], -1) * ring[:, 1]).sum()
    found = areas(read(lines))
    assert float(found.sum()) == pytest.approx(area, rel=1e-4) and bool((found > 0).all())


def test_faces_keep_the_order_of_the_file():
    mesh = read(QUAD + "f 1 2 3\nf 1 2 3 4\nf 2 3 4\n")
    assert areas(mesh).shape == (4,)
    assert to_y_up(mesh.vertices)[mesh.faces[3], 0].tolist() == [1, 1, 0]


def test_a_mark_in_front_comments_and_continued_lines():
    assert (
        len(read_mesh(b"\xef\xbb\xbfv 0 0 0\nv 1 0 0\nv 0 1 0 # here\nf 1 2 \\\n3 # there\n", "obj", "Test").faces) == 1
    )


def test_colours_of_vertices():
    assert read(
        QUAD.replace("v 0 0 0", "v 0 0 0 1 0.5 0", 1).replace(
            "v 1 0 0\nv 1 1 0\nv 0 1 0", "v 1 0 0 1 .5 0\nv 1 1 0 1 .5 0\nv 0 1 0 1 .5 0"
        )
        + "f 1 2 3 4\n"
    ).vertex_colors[0].tolist() == pytest.approx([1, 0.5, 0], abs=1e-5)


@pytest.fixture
def folder(tmp_path, output_host):
    (tmp_path / "tex").mkdir()
    (tmp_path / "tex" / "my bark.png").write_bytes(png(np.full((2, 2, 3), 51, np.uint8)))
    (tmp_path / "bark.png").write_bytes(png(np.full((2, 2, 3), 102, np.uint8)))
    (tmp_path / "outside").mkdir()
    return tmp_path


def textured(folder, line, face="mtllib a.mtl\nusemtl m\n" + FACE):
    (folder / "a.mtl").write_text(f"newmtl m\nKd 0 0 0\n{line}\n")
    (folder / "a.obj").write_text(QUAD + face)
    return read_mesh(folder / "a.obj", "obj", "Test")


@pytest.mark.parametrize(
    "line, shade",
    [
        ("map_Kd bark.png", 102),
        ("map_Kd tex\\my bark.png", 51),
        ("map_Kd tex/my bark.png", 51),
        ("map_Kd BARK.PNG", 102),
        ("map_Kd -s 2 2 1 -o 0.5 0 bark.png", 102),
        ("map_Kd -bm 1 -clamp on tex/my bark.png", 51),
        ("map_Kd C:\\Users\\me\\art\\bark.png", 102),
        ("map_Kd /home/me/bark.png", 102),
        ('map_Kd "tex/my bark.png"', 51),
    ],
)
def test_pictures_are_found_however_they_are_named(folder, line, shade):
    torch.testing.assert_close(
        textured(folder, line).texture, torch.full_like(textured(folder, line).texture, shade / 255)
    )


def test_options_move_the_coordinates(folder):
    mesh = textured(folder, "map_Kd -s 0.5 0.5 1 -o 0.25 0 bark.png")
    assert mesh.uv.tolist() == [[0.25, 1], [0.75, 1], [0.75, 0.5], [0.25, 0.5]]


def test_the_only_material_needs_no_usemtl(folder):
    assert textured(folder, "map_Kd bark.png", "mtllib a.mtl\n" + FACE).texture.unique().tolist() == pytest.approx(
        [0.4]
    )


def test_missing_files_are_named(folder, output_host):
    assert textured(folder, "map_Kd no/where.png").texture is None
    assert '"no/where.png"' in output_host.warnings[-1] and "missing" in output_host.warnings[-1]
    textured(folder, "map_Kd bark.png", "mtllib other.mtl\nusemtl m\n" + FACE)
    assert '"other.mtl"' in output_host.warnings[-1]
    secret = folder.parent / "secret.png"
    secret.write_bytes(png(np.full((2, 2, 3), 255, np.uint8)))
    assert (
        textured(folder, "map_Kd ../secret.png").texture is None
        and textured(folder, f"map_Kd {secret}").texture is None
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("f 1 2 3\n", "names vertex 1, but there are 0"),
        ("v 0 0 0\nf 1 1 -2\n", "names vertex -2"),
        ("v 0 0\nf 1 1 1\n", '"v" is damaged'),
        (QUAD + "f 1 2\n", "2 corners"),
        (QUAD + "f 1/9 2/2 3/3\n", "texture coordinate 9"),
        (QUAD + "f 1 2 x\n", '"f" is damaged'),
        (QUAD, "no triangles"),
        ("", "no triangles"),
        ("\0" * 100, "no triangles"),
    ],
)
def test_damage_is_said_in_a_sentence(text, message):
    with pytest.raises(DistillError, match="^Test: the file .*" + message):
        read(text)
