import io
import json
import struct
import sys

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from distill3d.kernels.image.compare import psnr
from distill3d.kernels.uv.bake import sample_texture
from distill3d.nodes.core.errors import DistillError, MissingPackage
from distill3d.nodes.core.mesh import Mesh, from_y_up, weld
from distill3d.nodes.export.bake_texture import bake_texture
from distill3d.nodes.export.core_mesh import to_core
from distill3d.nodes.export.mesh_file import glb_bytes
from distill3d.nodes.export.render_mesh import render_mesh
from distill3d.nodes.export.save_mesh import SaveMeshNode, save_mesh
from distill3d.nodes.core.silhouette import scene_views

# A pyramid: base in the plane z = -0.5, tip at z = 2, a nose at x = 3.
PYRAMID = torch.tensor([[3.0, 0, -0.5], [0, 1, -0.5], [-1, 0, -0.5], [0, -1, -0.5], [0, 0, 2]])
FACES = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [0, 3, 2], [0, 2, 1]])


@pytest.fixture(scope="module")
def baked(unwrapped):
    scene, mesh = unwrapped
    return bake_texture(mesh, scene, 256)


def read_glb(data):
    """The tree and the buffer, after checking what the format demands of the container."""
    magic, version, length, size, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON") and size % 4 == 0
    tree = json.loads(data[20:20 + size])
    held, kind = struct.unpack("<I4s", data[20 + size:28 + size])
    assert kind == b"BIN\0" and held % 4 == 0 and 28 + size + held == length
    assert tree["buffers"] == [{"byteLength": held}]
    return tree, data[28 + size:]


def accessor(tree, buffer, index):
    facts = tree["accessors"][index]
    view = tree["bufferViews"][facts["bufferView"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[facts["type"]]
    kind, size = {5126: ("<f4", 4), 5125: ("<u4", 4), 5121: ("u1", 1)}[facts["componentType"]]
    assert view["byteOffset"] % 4 == 0 and view["byteOffset"] + view["byteLength"] <= len(buffer)
    assert view["byteLength"] == facts["count"] * width * size and facts.get("byteOffset", 0) == 0
    values = np.frombuffer(buffer, kind, facts["count"] * width, view["byteOffset"]).reshape(-1, width)
    assert np.isfinite(values).all()
    if "min" in facts:
        assert facts["min"] == values.min(0).tolist() and facts["max"] == values.max(0).tolist()
    return values


def test_glb_is_valid(baked):
    tree, buffer = read_glb(glb_bytes(baked))
    primitive = tree["meshes"][0]["primitives"][0]
    found = {name: accessor(tree, buffer, index) for name, index in primitive["attributes"].items()}
    assert set(found) == {"POSITION", "NORMAL", "TEXCOORD_0"}
    assert len({len(values) for values in found.values()}) == 1
    assert np.abs(np.linalg.norm(found["NORMAL"], axis=1) - 1).max() < 1e-4
    assert (found["NORMAL"] * found["POSITION"]).sum(1).min() > 0                     # outward, as on any ball
    assert accessor(tree, buffer, primitive["indices"]).max() < len(found["POSITION"])
    assert "min" in tree["accessors"][primitive["attributes"]["POSITION"]]
    assert found["TEXCOORD_0"].min() >= 0 and found["TEXCOORD_0"].max() <= 1
    material = tree["materials"][primitive["material"]]
    assert material["alphaMode"] == "OPAQUE" and material["doubleSided"] is True
    assert material["pbrMetallicRoughness"] == {"metallicFactor": 0.0, "roughnessFactor": 1.0,
                                                "baseColorTexture": {"index": 0}}
    image = tree["images"][tree["textures"][0]["source"]]
    view = tree["bufferViews"][image["bufferView"]]
    png = buffer[view["byteOffset"]:view["byteOffset"] + view["byteLength"]]
    assert image["mimeType"] == "image/png" and "uri" not in image
    with Image.open(io.BytesIO(png)) as picture:
        np.testing.assert_allclose(np.array(picture) / 255, baked.texture, atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(found["TEXCOORD_0"], baked.uv)                      # v downwards, as in the mesh
    assert glb_bytes(baked) == glb_bytes(baked.to("cpu"))


def test_glb_vertex_colours_are_linear_and_a_bare_mesh_is_grey():
    colors = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    tree, buffer = read_glb(glb_bytes(Mesh(PYRAMID, FACES, vertex_colors=colors)))
    written = accessor(tree, buffer, tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"])
    assert tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]["normalized"] is True
    np.testing.assert_allclose(written[:, :3] / 255, ((colors + 0.055) / 1.055) ** 2.4, atol=0.004)
    assert (written[:, 3] == 255).all()
    tree, _ = read_glb(glb_bytes(Mesh(PYRAMID, FACES)))
    grey = tree["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"]
    assert grey == pytest.approx([0.5, 0.5, 0.5, 1], abs=0.01)
    assert "images" not in tree


@pytest.mark.parametrize("file_format", ["glb", "obj", "ply"])
def test_up_is_y_and_the_front_is_z(file_format, output_host):
    path = save_mesh(Mesh(PYRAMID, FACES), "pyramid", file_format)[0]
    assert path.suffix == f".{file_format}"
    mesh = trimesh.load(path, force="mesh", process=False)
    assert mesh.vertices[mesh.vertices[:, 1].argmax()].tolist() == [0, 2, 0]          # tip at +Y
    assert mesh.vertices[mesh.vertices[:, 2].argmax()].tolist() == [0, -0.5, 3]       # nose at +Z
    assert mesh.is_watertight and mesh.volume > 0                                     # not inside out


def reload(path):
    """What trimesh reads, as our Mesh: v counts upwards there."""
    mesh = trimesh.load(path, force="mesh", process=False)
    uv = torch.tensor(np.asarray(mesh.visual.uv), dtype=torch.float32)
    material = mesh.visual.material
    picture = getattr(material, "baseColorTexture", None) or material.image
    vertices = from_y_up(torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32))
    return Mesh(vertices, torch.tensor(np.array(mesh.faces)),
                torch.stack([uv[:, 0], 1 - uv[:, 1]], 1), torch.tensor(np.array(picture.convert("RGB"))) / 255)


@pytest.mark.parametrize("file_format", ["glb", "obj"])
def test_a_reloaded_file_looks_like_the_scene(file_format, unwrapped, baked, output_host):
    scene, _ = unwrapped
    back = reload(save_mesh(baked, "ball", file_format)[0])
    views = scene_views(scene.build(), 64)
    rgb, _ = render_mesh(back, views.cameras)
    assert len(views.cameras) == 8 and float(psnr(rgb, views.rgb).min()) > 26
    ours, _ = render_mesh(baked, views.cameras)
    assert float(psnr(rgb, ours).min()) > 45             # eight bits and rounded numbers


def test_obj_names_its_files(baked, output_host):
    obj, mtl, png = save_mesh(baked, "some/ball", "obj")
    assert [path.name for path in (obj, mtl, png)] == ["ball_00001_.obj", "ball_00001_.mtl", "ball_00001_.png"]
    lines, material = obj.read_text().splitlines(), mtl.read_text().splitlines()
    assert lines[0] == f"mtllib {mtl.name}" and f"map_Kd {png.name}" in material
    assert f"newmtl {lines[1].removeprefix('usemtl ')}" in material
    assert "Kd 1.00000000 1.00000000 1.00000000" in material                          # multiplies the picture
    for word in ("v ", "vt ", "vn "):
        assert sum(line.startswith(word) for line in lines) == len(baked.vertices)
    with Image.open(png) as picture:
        assert picture.size == (256, 256)


def test_ply_has_the_colours_of_the_texture(baked, output_host):
    mesh = trimesh.load(save_mesh(baked, "ball", "ply")[0], process=False)
    assert mesh.is_watertight
    expected = sample_texture(baked.texture, baked.uv)
    vertices, _, place = weld(baked.vertices, baked.faces)
    torch.testing.assert_close(from_y_up(torch.tensor(np.asarray(mesh.vertices))).float(), vertices)
    difference = torch.tensor(np.asarray(mesh.visual.vertex_colors)[:, :3] / 255.0)[place] - expected
    assert float(difference.abs().mean()) < 0.01


def test_the_counter_rises_and_nothing_is_overwritten(output_host):
    mesh = Mesh(PYRAMID, FACES)
    first = save_mesh(mesh, "a/b", "glb")[0]
    before = first.read_bytes()
    second = save_mesh(Mesh(2 * PYRAMID, FACES), "a/b", "glb")[0]
    assert (first.name, second.name) == ("b_00001_.glb", "b_00002_.glb")
    assert first.read_bytes() == before
    assert [path.name for path in sorted(first.parent.iterdir())] == [first.name, second.name]      # no leftovers


@pytest.mark.parametrize("prefix", ["../outside", "a/../../outside", "/tmp/outside"])
def test_a_prefix_cannot_leave_the_output_folder(prefix, output_host):
    with pytest.raises(DistillError, match="leads out of the output folder"):
        save_mesh(Mesh(PYRAMID, FACES), prefix)


def test_unknown_format():
    with pytest.raises(DistillError, match='one of glb, obj, ply, got "fbx"'):
        save_mesh(Mesh(PYRAMID, FACES), "a", "fbx")


@pytest.mark.parametrize("module, package", [("PIL", "Pillow"), ("trimesh", "trimesh")])
@pytest.mark.parametrize("file_format", ["glb", "obj"])
def test_a_missing_package_is_named_and_leaves_no_file(module, package, file_format, baked, monkeypatch, output_host):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackage, match=f"pip install {package}"):
        save_mesh(baked, "ball", file_format)
    assert not list(output_host.output_directory.rglob("*.*"))


def test_node(output_host):
    result = SaveMeshNode.execute(to_core(Mesh(PYRAMID, FACES)), "3d/pyramid")
    assert result.ui["result"] == ["3d/pyramid_00001_.glb", None, None]
    assert result.ui["3d"] == [{"filename": "pyramid_00001_.glb", "subfolder": "3d", "type": "output"}]
    assert result.args[0].format == "glb"
    read_glb(io.BytesIO(result.args[0].get_bytes()).read())
    assert [path.name for path in output_host.written] == ["pyramid_00001_.glb"]
