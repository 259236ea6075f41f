"""What a file carries of the workflow that made it, and that it stays the file that it was."""
import io
import json
import struct

import numpy
import pytest
import torch

from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.assets.mesh_file import glb_bytes, obj_files, ply_bytes
from distill3d.nodes.assets.mesh_reader import read_mesh
from distill3d.nodes.assets.notes import with_notes
from distill3d.nodes.core.state import read_state, save_state
from distill3d.nodes.export.save_animation import animation_bytes

NOTES = {"prompt": json.dumps({"1": {"class_type": "A", "inputs": {"text": "a\nb \u00e9"}}}),
         "workflow": json.dumps({"nodes": [1, 2], "version": 0.4})}
TRIANGLE = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]))


@pytest.mark.parametrize("file_format, make", [("glb", glb_bytes), ("ply", ply_bytes)])
def test_a_mesh_with_notes_is_read_as_without(file_format, make):
    plain = make(TRIANGLE)
    noted = with_notes(plain, file_format, NOTES)
    assert with_notes(plain, file_format, {}) == plain != noted
    for found, wanted in zip(*(vars(read_mesh(content, file_format, "Test")).values() for content in (noted, plain))):
        assert torch.equal(found, wanted) if isinstance(wanted, torch.Tensor) else found == wanted


def test_a_glb_has_them_where_the_host_looks():
    noted = with_notes(glb_bytes(TRIANGLE), "glb", NOTES)
    assert struct.unpack_from("<I", noted, 8)[0] == len(noted) and len(noted) % 4 == 0
    tree = json.loads(noted[20:20 + struct.unpack_from("<I", noted, 12)[0]])
    assert tree["asset"]["extras"] == NOTES and tree["asset"]["version"] == "2.0"


def test_a_ply_has_each_in_one_line_of_its_head():
    head = with_notes(ply_bytes(TRIANGLE), "ply", NOTES).split(b"end_header\n")[0].decode("ascii").splitlines()
    found = dict(line.removeprefix("comment ").partition(" ")[::2] for line in head if line.startswith("comment "))
    assert {name: json.loads(found[name]) for name in NOTES} == {name: json.loads(text) for name, text in NOTES.items()}


def test_a_webp_has_them_in_its_exif():
    image = pytest.importorskip("PIL.Image")
    frames = torch.rand(2, 8, 8, 3)
    exif = image.open(io.BytesIO(animation_bytes(frames, 5.0, "webp", NOTES))).getexif()
    assert exif[0x0110] == "prompt:" + NOTES["prompt"] and exif[0x010F] == "workflow:" + NOTES["workflow"]
    assert not image.open(io.BytesIO(animation_bytes(frames, 5.0, "webp"))).getexif()


def test_an_mp4_has_them_in_its_container():
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(animation_bytes(torch.rand(3, 16, 16, 3), 5.0, "mp4", NOTES))) as container:
        assert {name: container.metadata[name] for name in NOTES} == NOTES
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert numpy.stack(frames).shape == (3, 16, 16, 3)


def parsed(lines):
    return {name: json.loads(text) for name, _, text in (line.partition(" ") for line in lines) if name in NOTES}


def test_an_obj_has_each_in_a_comment():
    files = obj_files(TRIANGLE, "a")
    plain = files["a.obj"]
    noted = with_notes(plain, "obj", NOTES)
    assert parsed(line[2:] for line in noted.decode("ascii").splitlines() if line.startswith("# ")) == {
        name: json.loads(text) for name, text in NOTES.items()}
    assert torch.equal(read_mesh(noted, "obj", "Test").vertices, read_mesh(plain, "obj", "Test").vertices)
    assert with_notes(b"newmtl a", "mtl", NOTES) == b"newmtl a"


def test_a_gif_has_them_in_its_comment_before_the_first_picture():
    image = pytest.importorskip("PIL.Image")
    long = {**NOTES, "workflow": json.dumps({"nodes": list(range(400))})}  # more than one block of 255 bytes
    content = animation_bytes(torch.rand(2, 8, 8, 3), 5.0, "gif", long)
    comment = image.open(io.BytesIO(content)).info["comment"].decode("ascii")
    assert parsed(comment.splitlines()) == {name: json.loads(text) for name, text in long.items()}
    assert 0 < content.find(b"\x21\xfe") < content.find(b"\x2c", content.find(b"\x21\xfe"))


def test_a_saved_state_has_them_beside_its_facts(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    path = save_state(tmp_path / "a.safetensors", {"a": torch.ones(2)}, {"step": 3}, NOTES)
    with safetensors.safe_open(path, framework="pt") as file:
        assert {name: file.metadata()[name] for name in NOTES} == NOTES
    assert read_state(path)[1] == {"step": 3}
