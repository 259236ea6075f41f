"""The stand-ins for core's nodes: what they read and write is right, and names lead nowhere else."""
import json
import struct
from types import SimpleNamespace

import pytest
import torch

from distill3d.nodes.comfy import Types
from distill3d.nodes.core.errors import DistillError
from distill3d.runner import core_3d, core_image, core_nodes, core_video, schema
from distill3d.runner.run import run_workflow

Image = pytest.importorskip("PIL.Image")
COLORS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])  # [2,2,3]


@pytest.fixture
def inputs(here, tmp_path, monkeypatch):
    folder = tmp_path / "input"
    folder.mkdir()
    monkeypatch.setattr(type(here), "input_directory", folder)
    return folder


def test_an_image_comes_with_its_transparency(here, inputs):
    Image.fromarray((torch.cat([COLORS, torch.tensor([[[1.0], [0.0]], [[0.2], [1.0]]])], 2) * 255).byte().numpy(),
                    "RGBA").save(inputs / "a.png")
    image, mask = core_image.LoadImage.execute("a.png").args
    assert image.shape == (1, 2, 2, 3) and image.dtype == torch.float32
    assert torch.allclose(image[0], (COLORS * 255).floor() / 255)
    assert torch.allclose(mask[0], torch.tensor([[0.0, 1.0], [0.8, 0.0]]))


def test_an_image_without_transparency_and_its_orientation(here, inputs):
    picture = Image.new("RGB", (6, 4), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    picture.save(inputs / "b.jpg", exif=exif)
    image, mask = core_image.LoadImage.execute("b.jpg [input]").args
    assert image.shape == (1, 6, 4, 3) and mask.shape == (1, 64, 64) and not mask.any()


@pytest.mark.parametrize("name, message", [
    ("../secret.png", "leads out of the input folder"), ("/etc/hostname", "leads out of the input folder"),
    ("../output/x.png [output]", "no file"), ("../x.png [output]", "leads out of the output folder"),
    ("absent.png", "no file"), ("", "name is empty"), ("a\0.png", "code 0"),
    ("broken.png", "cannot be read as a picture")])
def test_names_that_cannot_be_loaded(here, inputs, name, message):
    (inputs.parent / "secret.png").write_bytes(b"x")
    (inputs / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DistillError, match=message):
        core_image.LoadImage.execute(name)


def test_save_image_writes_one_file_for_each_picture(here, registry):
    (here.output_directory / "sub").mkdir(parents=True)
    (here.output_directory / "sub/pic_00007_.png").write_bytes(b"mine")
    core_image.SaveImage.execute(torch.stack([COLORS, 1 - COLORS]), "sub/pic")
    names = sorted(path.name for path in (here.output_directory / "sub").iterdir())
    assert names == ["pic_00007_.png", "pic_00008_.png", "pic_00009_.png"]
    assert (here.output_directory / "sub/pic_00007_.png").read_bytes() == b"mine"
    with Image.open(here.written[1]) as second:
        assert second.getpixel((0, 0)) == (0, 255, 255)


def test_the_graph_travels_in_the_png(here, inputs, registry):
    Image.new("RGB", (2, 2)).save(inputs / "c.png")
    api = {"1": {"class_type": "LoadImage", "inputs": {"image": "c.png", "upload": "image"}},
           "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "p"}}}
    (path,) = run_workflow(api, classes=registry).files
    with Image.open(path) as file:
        assert json.loads(file.text["prompt"])["2"]["inputs"]["filename_prefix"] == "p"


def test_pixels_take_anything_a_wire_may_hold():
    wild = torch.tensor([float("nan"), 2.0, -1.0]).expand(1, 1, 1, 3)
    assert core_image.pixels(wild).ravel().tolist() == [0, 255, 0]
    for shape in ((2, 2, 3), (0, 2, 2, 3), (1, 2, 2, 1)):
        with pytest.raises(DistillError, match="batch of pictures"):
            core_image.pixels(torch.zeros(shape))


@pytest.mark.parametrize("container, codec, kind", [
    ("mp4", "auto", "h264"), ("mkv", "h264", "h264"), ("webm", "auto", "vp9"), ("mp4", "av1", "av1")])
def test_a_video_has_every_frame_and_even_sides(here, container, codec, kind):
    av = pytest.importorskip("av")
    if core_video._ENCODERS[kind][0] not in av.codecs_available:
        pytest.skip("this PyAV has no such encoder")
    frames = torch.zeros(5, 65, 67, 3)
    frames[3] = 1.0
    video = core_video.CreateVideo.execute(frames, 10.0).args[0]
    core_video.SaveVideo.execute(video, "v", container, codec)
    with av.open(str(here.written[0])) as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height, float(stream.average_rate)) == (68, 66, 10.0)
        assert stream.codec_context.name.replace("libdav1d", "av1") in (kind, f"lib{kind}")
        light = [float(frame.to_ndarray(format="gray").mean()) for frame in file.decode(video=0)]
    assert [value > 128 for value in light] == [False, False, False, True, False]


def test_a_video_that_no_player_could_open(here):
    pytest.importorskip("av")
    with pytest.raises(DistillError, match="WebM file cannot hold h264"):
        core_video.encode_video(core_video.Video(torch.zeros(1, 8, 8, 3), 10), "webm", "h264")
    assert not here.output_directory.exists()


def test_save_video_reads_the_nested_codec_of_the_host(registry, here):
    from distill3d.runner.workflow_file import read_graph
    api = {"1": {"class_type": "SaveVideo", "inputs": {"format": "mp4", "format.codec": "av1"}}}
    assert read_graph(api, registry).nodes["1"].inputs == {"format": "mp4", "codec": "av1"}


def test_an_animation(here):
    core_image.SaveAnimatedWEBP.execute(torch.rand(3, 8, 8, 3), "w", fps=10.0)
    with Image.open(here.written[0]) as file:
        assert file.n_frames == 3 and file.size == (8, 8)


def triangle(shift=0.0):
    return torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) + shift


def positions(data):
    """POSITION of the only mesh in a GLB file, read by hand."""
    length = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20:20 + length])
    view = tree["bufferViews"][
        tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]["bufferView"]]
    start = 20 + length + 8 + view["byteOffset"]
    return torch.frombuffer(bytearray(data[start:start + view["byteLength"]]), dtype=torch.float32).view(-1, 3)


def test_save_glb_writes_each_mesh_of_a_batch_as_it_is(here):
    mesh = Types.MESH(vertices=torch.stack([triangle(), triangle(5.0)]), faces=torch.tensor([[[0, 1, 2]]] * 2))
    core_3d.SaveGLB.execute(mesh, "3d/m")
    assert [path.name for path in here.written] == ["m_00001_.glb", "m_00002_.glb"]
    assert torch.equal(positions(here.written[0].read_bytes()), triangle())
    assert torch.equal(positions(here.written[1].read_bytes()), triangle(5.0))


def test_mesh_to_file_to_disk(here):
    mesh = Types.MESH(vertices=triangle()[None], faces=torch.tensor([[[0, 1, 2]]]))
    file = core_3d.MeshToFile3D.execute(mesh).args[0]
    core_3d.SaveGLB.execute(file, "f")
    assert here.written[0].suffix == ".glb" and here.written[0].read_bytes() == file.get_bytes()


def test_splat_to_file_to_disk(here):
    splat = Types.SPLAT(positions=torch.rand(1, 5, 3), scales=torch.rand(1, 5, 3) + 0.1,
                        rotations=torch.rand(1, 5, 4) + 0.1, opacities=torch.rand(1, 5, 1), sh=torch.rand(1, 5, 4, 3))
    file = core_3d.SplatToFile3D.execute(splat, "ply").args[0]
    core_3d.SaveGLB.execute(file, "s")
    assert here.written[0].suffix == ".ply"
    body = here.written[0].read_bytes().partition(b"end_header\n")[2]
    row = torch.frombuffer(bytearray(body), dtype=torch.float32).view(5, -1)
    assert torch.equal(row[:, :3], splat.positions[0]) and torch.equal(row[:, 6:9], splat.sh[0, :, 0])
    torch.testing.assert_close(row[:, 18].sigmoid(), splat.opacities[0, :, 0])
    with pytest.raises(DistillError, match="Choose ply"):
        core_3d.SplatToFile3D.execute(splat, "spz")


@pytest.mark.parametrize("mesh, message", [
    (SimpleNamespace(get_bytes=lambda: b"x", format="sh"), 'kind "sh" is not known'),
    (SimpleNamespace(get_bytes=lambda: b"x", format="../glb"), "not known"),
    ("a name", "neither a mesh nor a 3D file"),
    (Types.MESH(vertices=torch.zeros(1, 0, 3), faces=torch.zeros(1, 0, 3, dtype=torch.int64)), "empty")])
def test_what_is_no_mesh_leaves_no_file(here, mesh, message):
    with pytest.raises(DistillError, match=message):
        core_3d.SaveGLB.execute(mesh, "m")
    assert not here.output_directory.exists()


def test_a_prefix_cannot_leave_the_output_folder(here):
    with pytest.raises(DistillError, match="leads out"):
        core_image.SaveImage.execute(COLORS[None], "../../x")


@pytest.mark.parametrize("node, value", [
    (core_nodes.PrimitiveInt, 3), (core_nodes.PrimitiveFloat, 0.5), (core_nodes.PrimitiveString, "a"),
    (core_nodes.PrimitiveStringMultiline, "a\nb"), (core_nodes.PrimitiveBoolean, True)])
def test_primitives_give_their_value_to_an_input_of_their_type(node, value):
    assert node.execute(value).args == (value,)
    assert schema.outputs_of(node)[0].get_io_type() == schema.inputs_of(node)["value"].get_io_type()


def test_a_graph_of_core_nodes_alone(here, registry):
    api = {"1": {"class_type": "PrimitiveString", "inputs": {"value": "x.glb"}},
           "2": {"class_type": "Preview3D", "inputs": {"model_file": ["1", 0], "viewport_state": ""}}}
    assert run_workflow(api, classes=registry).files == []


def test_load_image_keeps_sixteen_bits(here, inputs):
    """Depth maps are such pictures: 20000 and 50000 are .31 and .76 of white."""
    import numpy as np

    Image.fromarray(np.array([[20000, 50000]], np.uint16)).save(inputs / "deep.png")
    image, mask = core_image.load_picture(inputs / "deep.png")
    torch.testing.assert_close(image[0, 0, :, 0], torch.tensor([20000, 50000]) / 65535)
    assert mask.shape == (1, 64, 64)
