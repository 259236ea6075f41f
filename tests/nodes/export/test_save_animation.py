import io
import sys

import pytest
import torch

from distill3d.nodes.core.errors import DistillError, MissingPackage
from distill3d.nodes.export.save_animation import SaveAnimationNode, animation_bytes, save_animation


def frames(height=20, width=32):
    """Five flat pictures, each of another grey."""
    return torch.linspace(0.1, 0.9, 5)[:, None, None, None].expand(5, height, width, 3)


@pytest.mark.parametrize("file_format, magic", [("webp", b"WEBP"), ("gif", b"GIF89a")])
def test_pictures_loop_in_order(file_format, magic):
    Image = pytest.importorskip("PIL.Image")
    data = animation_bytes(frames(), 10, file_format)
    assert magic in data[:16]
    file = Image.open(io.BytesIO(data))
    assert (file.n_frames, file.size, file.info["loop"]) == (5, (32, 20), 0)
    for index, grey in enumerate(frames()[:, 0, 0, 0]):
        file.seek(index)
        file.load()
        assert file.info["duration"] == 100
        assert abs(file.convert("RGB").getpixel((5, 5))[0] / 255 - float(grey)) < 0.03


def test_video(tmp_path):
    av = pytest.importorskip("av")
    data = animation_bytes(frames(21, 33), 12.5, "mp4")
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, float(stream.average_rate)) == (34, 22, 12.5)
        greys = [frame.to_ndarray(format="rgb24").mean() / 255 for frame in container.decode(stream)]
    torch.testing.assert_close(torch.tensor(greys), frames()[:, 0, 0, 0].double(), atol=0.03, rtol=0)


def test_saved_under_a_rising_number(output_host):
    pytest.importorskip("PIL.Image")
    names = [save_animation(frames(), "a/turn", 10, "gif").name for _ in range(2)]
    assert names == ["turn_00001_.gif", "turn_00002_.gif"]
    with pytest.raises(DistillError, match="leads out"):
        save_animation(frames(), "../turn")


def test_invalid_animations_are_refused():
    with pytest.raises(DistillError, match=r"shape \[N,H,W,3\] with N > 0, got \[0, 20, 32, 3\]"):
        animation_bytes(frames()[:0], 10, "gif")
    with pytest.raises(DistillError, match='got "avi"'):
        animation_bytes(frames(), 10, "avi")


@pytest.mark.parametrize("module, file_format, command", [("PIL", "webp", "pip install Pillow"),
                                                          ("av", "mp4", "pip install av")])
def test_missing_packages(module, file_format, command, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackage, match=command):
        animation_bytes(frames(), 10, file_format)


def test_node(output_host):
    pytest.importorskip("PIL.Image")
    result = SaveAnimationNode.execute(frames(), "a/turn")
    assert result.ui == {"images": [{"filename": "turn_00001_.webp", "subfolder": "a", "type": "output"}],
                         "animated": (True,)}
    assert result.args == ()
