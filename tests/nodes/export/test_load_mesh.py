import io as bytes_io

import pytest
import torch

from distill3d.nodes.assets.core_mesh import from_core
from distill3d.nodes.assets.mesh import Mesh, smooth_normals
from distill3d.nodes.assets.mesh_file import glb_bytes, obj_files, ply_bytes
from distill3d.nodes.assets.mesh_reader import read_mesh
from distill3d.nodes.comfy import Types
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.export.load_mesh import LoadMeshNode, load_mesh

trimesh = pytest.importorskip("trimesh")
from PIL import Image  # noqa: E402

VERTICES = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
CLOSE = {"atol": 0.006, "rtol": 0}  # colours are bytes in files


def bytes_of(values):
    """As a picture file keeps them."""
    return (values * 255).round() / 255


def textured(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Mesh(VERTICES, FACES, torch.rand(4, 2, generator=generator),
                bytes_of(torch.rand(8, 4, 3, generator=generator)), None, smooth_normals(VERTICES, FACES))


def colored():
    return Mesh(VERTICES, FACES, vertex_colors=torch.tensor([[1.0, 0, 0], [0, 0.5, 0], [0.2, 0.3, 0.4], [1, 1, 1]]))


@pytest.fixture
def inputs(output_host, tmp_path, monkeypatch):
    (tmp_path / "input" / "3d").mkdir(parents=True)
    monkeypatch.setattr(type(output_host), "input_directory", tmp_path / "input")
    return tmp_path / "input"


def test_our_own_textured_glb_comes_back():
    mesh, back = textured(), read_mesh(glb_bytes(textured()), "glb", "Test")
    assert torch.equal(back.vertices, mesh.vertices) and torch.equal(back.faces, mesh.faces)
    for name in ("uv", "texture", "normals"):
        torch.testing.assert_close(getattr(back, name), getattr(mesh, name), atol=1e-6, rtol=0, msg=name)
    assert back.vertex_colors is None


@pytest.mark.parametrize("data, kind", [(glb_bytes, "glb"), (ply_bytes, "ply"),
                                        (lambda mesh: obj_files(mesh, "a")["a.obj"], "obj")])
def test_colours_of_vertices_come_back_display_referred(data, kind):
    back = read_mesh(data(colored()), kind, "Test")
    place = [int((VERTICES - vertex).norm(dim=1).argmin()) for vertex in back.vertices]  # PLY sorts them
    assert sorted(place) == [0, 1, 2, 3] and back.uv is None and back.texture is None
    torch.testing.assert_close(back.vertex_colors, colored().vertex_colors[place], atol=0.02, rtol=0)


def test_an_obj_finds_the_files_beside_it(inputs):
    for name, content in obj_files(textured(), "a").items():
        (inputs / "3d" / name).write_bytes(content)
    back = load_mesh("3d/a.obj")
    torch.testing.assert_close(back.texture, textured().texture, **CLOSE)
    torch.testing.assert_close(back.uv, textured().uv, atol=1e-5, rtol=0)


def scene_bytes(*visuals):
    scene = trimesh.Scene()
    for number, visual in enumerate(visuals):
        box = trimesh.creation.box()
        box.visual = visual
        turn = trimesh.transformations.rotation_matrix(torch.pi / 2, [0, 0, 1], [0, 0, 0])
        turn[:3, 3] = [3.0 * number, 0, 0]
        scene.add_geometry(box, transform=turn)
    return scene.export(file_type="glb")


def plain(color, image=None):
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=color, baseColorTexture=image)
    return trimesh.visual.TextureVisuals(uv=torch.full((8, 2), 0.5).numpy(), material=material)


def test_parts_stand_where_the_file_puts_them_and_keep_their_colours():
    back = read_mesh(scene_bytes(plain([255, 0, 0, 255]), plain([0, 255, 0, 255])), "glb", "Test")
    assert len(back.vertices) == 16 and int(back.faces.max()) == 15
    second = (back.vertices[:, 1] > 1.5)  # x of the file is our y
    assert int(second.sum()) == 8
    torch.testing.assert_close(back.vertex_colors[second], torch.tensor([0.0, 1, 0]).expand(8, 3))
    torch.testing.assert_close(back.vertex_colors[~second], torch.tensor([1.0, 0, 0]).expand(8, 3))
    outwards = torch.nn.functional.normalize(back.vertices - torch.where(second[:, None], torch.tensor([0.0, 3, 0]), 0),
                                             dim=1)
    assert ((back.normals * outwards).sum(1) > 0.7).all()


def test_several_textures_become_one():
    images = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 0, 255))]
    back = read_mesh(scene_bytes(*(plain(None, image) for image in images)), "glb", "Test")
    height, width, _ = back.texture.shape
    seen = back.texture[(back.uv[:, 1] * height).long().clamp(0, height - 1),
                        (back.uv[:, 0] * width).long().clamp(0, width - 1)]
    second = back.vertices[:, 1] > 1.5
    torch.testing.assert_close(seen[second], torch.tensor([0.0, 0, 1]).expand(8, 3), **CLOSE)
    torch.testing.assert_close(seen[~second], torch.tensor([1.0, 0, 0]).expand(8, 3), **CLOSE)


def test_a_material_tints_its_texture():
    """glTF's factor is linear: half of full white is 188 of 255 on screens."""
    back = read_mesh(scene_bytes(plain([128, 128, 128, 255], Image.new("RGB", (4, 4), (255, 255, 255)))), "glb", "Test")
    torch.testing.assert_close(back.texture, torch.full((4, 4, 3), 188 / 255), **CLOSE)


@pytest.mark.parametrize("data, kind, message", [
    (b"x", "fbx", 'kind "fbx" are not read.*glb, gltf, obj, stl, ply'), (b"x", "", 'kind "" are not read'),
    (b"no mesh", "glb", "cannot be read as GLB"), (b"", "stl", "STL|no triangles"),
    (trimesh.PointCloud([[0.0, 0, 0], [1, 1, 1]]).export(file_type="ply"), "ply", "no triangles")])
def test_anything_but_a_mesh_is_refused(data, kind, message):
    with pytest.raises(DistillError, match="^Test: .*(" + message + ")"):
        read_mesh(data, kind, "Test")


def test_node_takes_files_of_wires_and_names(inputs, output_host):
    (inputs / "3d" / "a.glb").write_bytes(glb_bytes(textured()))
    (output_host.output_directory / "sub").mkdir(parents=True)
    (output_host.output_directory / "sub" / "b.GLB").write_bytes(glb_bytes(textured()))
    given = [Types.File3D(bytes_io.BytesIO(glb_bytes(textured())), "glb"), Types.File3D(str(inputs / "3d" / "a.glb")),
             "3d/a.glb", "sub/b.GLB [output]", "3d\\a.glb"]
    for file in given:
        core = LoadMeshNode.execute(file).args[0]
        torch.testing.assert_close(from_core(core, "Test").texture, textured().texture, atol=1e-6, rtol=0)


@pytest.mark.parametrize("file, message", [
    ("../a.glb", "no file"), ("/etc/hostname", "no file"), ("", "the file name is empty"),
    ("3d/absent.glb", "Put one of these kinds there"),
    (None, "holds nothing"), (torch.zeros(1), "holds a torch.Tensor, not a 3D file")])
def test_names_without_a_file_are_refused(inputs, file, message):
    (inputs.parent / "a.glb").write_bytes(glb_bytes(textured()))
    with pytest.raises(DistillError, match="^Load Mesh: .*" + message):
        LoadMeshNode.execute(file)


def test_a_replaced_file_is_read_again(inputs):
    import os

    path = inputs / "a.glb"
    path.write_bytes(glb_bytes(textured()))
    before = LoadMeshNode.fingerprint_inputs("a.glb")
    assert before == LoadMeshNode.fingerprint_inputs("a.glb") and LoadMeshNode.fingerprint_inputs(None) is None
    os.utime(path, ns=(1, before + 10**9))
    assert LoadMeshNode.fingerprint_inputs("a.glb") != before

