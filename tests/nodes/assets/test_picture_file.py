import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from distill3d.nodes.assets.picture_file import as_floats, read_frames, read_picture
from distill3d.nodes.core.errors import DistillError
from gltf_builder import png


def saved(image, kind, **options):
    data = BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_greys(kind):
    image = Image.fromarray(np.array([[20000, 50000]], np.uint16))
    found = read_picture(saved(image, kind), "x")
    np.testing.assert_allclose(found[0, :, 0], [20000 / 65535, 50000 / 65535], atol=1e-6)
    assert found.shape == (1, 2, 4) and (found[..., 3] == 1).all()


def first(data):
    """The corner pixel."""
    return as_floats(read_picture(data, "x"))[0, 0]


def test_alpha_palettes_and_greys():
    assert first(png(np.full((1, 1, 4), 51, np.uint8))).tolist() == pytest.approx([0.2] * 4)
    assert first(png(np.full((1, 1), 51, np.uint8))).tolist() == pytest.approx([0.2, 0.2, 0.2, 1])
    palette = Image.fromarray(np.full((1, 1, 3), 51, np.uint8)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert first(saved(palette, "PNG")).tolist() == pytest.approx([0.2, 0.2, 0.2, 1])


def test_postscript_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(DistillError, match="cannot be read as a picture"):
        read_picture(tmp_path / "a.png", "a.png")


def bomb(kind):
    if kind == "png":
        return saved(Image.new("1", (13000, 13000)), "PNG")
    frames = [Image.new("P", (4000, 4000), number % 2) for number in range(60)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_bombs_are_refused_at_once(kind):
    data = bomb(kind)
    assert len(data) < 2 << 20
    began = time.perf_counter()
    with pytest.raises(DistillError, match="million"):
        list(read_frames(data, "x"))
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("data", [b"", b"hello", png(np.zeros((9, 9), np.uint8))[:-30], b"\x89PNG\r\n\x1a\n"])
def test_damage_is_said_in_a_sentence(data):
    with pytest.raises(DistillError, match="^x cannot be read as a picture"):
        read_picture(data, "x")
