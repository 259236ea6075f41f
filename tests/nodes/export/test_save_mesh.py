import io
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from distill3d.kernels.image.color import srgb_to_linear
from distill3d.kernels.image.compare import psnr
from distill3d.kernels.uv.bake import sample_texture
from distill3d.nodes.assets.core_mesh import from_core, to_core
from distill3d.nodes.assets.mesh import Mesh, from_y_up, weld
from distill3d.nodes.assets.mesh_file import glb_bytes
from distill3d.nodes.assets.mesh_wire import with_tangents
from distill3d.nodes.core.errors import DistillError, MissingPackage
from distill3d.nodes.export.bake_texture import bake_texture
from distill3d.nodes.export.render_mesh import render_mesh
from distill3d.nodes.export.save_mesh import SaveMeshNode, save_mesh
from distill3d.nodes.surface.silhouette import scene_views
from gltf_rules import Glb

# A pyramid: base in the plane z = -0.5, tip at z = 2, a nose at x = 3.
PYRAMID = torch.tensor([[3.0, 0, -0.5], [0, 1, -0.5], [-1, 0, -0.5], [0, -1, -0.5], [0, 0, 2]])
FACES = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [0, 3, 2], [0, 2, 1]])


@pytest.fixture(scope="module")
def baked(unwrapped):
    scene, mesh = unwrapped
    return bake_texture(mesh, scene, 256)


def test_glb_is_valid(baked):
    file = Glb(glb_bytes(baked))
    found = file.attributes
    assert set(found) == {"POSITION", "NORMAL", "TEXCOORD_0"}
    assert (found["NORMAL"] * found["POSITION"]).sum(1).min() > 0                     # outward, as on any ball
    assert found["TEXCOORD_0"].min() >= 0 and found["TEXCOORD_0"].max() <= 1
    assert file.material["alphaMode"] == "OPAQUE" and file.material["doubleSided"] is True
    assert file.material["pbrMetallicRoughness"] == {"metallicFactor": 0.0, "roughnessFactor": 1.0,
                                                     "baseColorTexture": {"index": 0}}
    np.testing.assert_allclose(np.array(file.pictures["baseColorTexture"]) / 255, baked.texture, atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(found["TEXCOORD_0"], baked.uv)                      # v downwards, as in the mesh
    assert glb_bytes(baked) == glb_bytes(baked.to("cpu"))


def physical(baked):
    """The mesh with all maps that a GLB holds."""
    generator = torch.Generator().manual_seed(0)
    size = (*baked.texture.shape[:2], 3)
    return with_tangents(replace(baked, metallic_roughness=torch.rand(size, generator=generator),
                                 normal_map=0.5 + 0.5 * torch.rand(size, generator=generator)))


def test_glb_with_every_map_is_valid(baked, output_host):
    mesh = physical(baked)
    file = Glb(glb_bytes(mesh))
    assert set(file.attributes) == {"POSITION", "NORMAL", "TEXCOORD_0", "TANGENT"}
    np.testing.assert_array_equal(file.attributes["TANGENT"][:, [2, 0, 1, 3]], mesh.tangents)
    assert abs((file.attributes["TANGENT"][:, :3] * file.attributes["NORMAL"]).sum(1)).max() < 1e-5
    assert (file.material["pbrMetallicRoughness"]["metallicFactor"] == 1
            == file.material["pbrMetallicRoughness"]["roughnessFactor"])
    for name, texture in (("baseColorTexture", mesh.texture), ("metallicRoughnessTexture", mesh.metallic_roughness),
                          ("normalTexture", mesh.normal_map)):
        assert file.pictures[name].mode == "RGB"
        np.testing.assert_allclose(np.array(file.pictures[name]) / 255, texture, atol=0.5 / 255 + 1e-6)
    assert glb_bytes(from_core(to_core(mesh), "Test")) == glb_bytes(mesh)             # the wire carries it all


@pytest.mark.parametrize("kind", ["bare", "colored", "physical"])
def test_glb_follows_the_schema_of_gltf(kind, baked):
    pytest.importorskip("jsonschema")
    colors = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    mesh = {"bare": Mesh(PYRAMID, FACES), "colored": Mesh(PYRAMID, FACES, vertex_colors=colors),
            "physical": physical(baked)}[kind]
    trimesh.exchange.gltf.validate(Glb(glb_bytes(mesh)).tree)


def test_glb_vertex_colours_are_linear_and_a_bare_mesh_is_grey():
    colors = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    written = Glb(glb_bytes(Mesh(PYRAMID, FACES, vertex_colors=colors))).attributes["COLOR_0"]
    np.testing.assert_allclose(written[:, :3] / 65535, srgb_to_linear(colors), atol=1e-5, rtol=0)
    assert (written[:, 3] == 65535).all()
    file = Glb(glb_bytes(Mesh(PYRAMID, FACES)))
    assert file.material["pbrMetallicRoughness"]["baseColorFactor"] == pytest.approx([0.5, 0.5, 0.5, 1], abs=0.01)
    assert not file.pictures


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


def test_obj_names_its_other_maps(baked, output_host):
    mesh = physical(baked)
    files = {path.name: path for path in save_mesh(mesh, "ball", "obj")}
    lines = files["ball_00001_.mtl"].read_text().splitlines()
    for line, expected in (("map_Pr ball_00001__pr.png", mesh.metallic_roughness[..., 1]),
                           ("map_Pm ball_00001__pm.png", mesh.metallic_roughness[..., 2]),
                           ("norm ball_00001__norm.png", mesh.normal_map)):
        assert line in lines
        with Image.open(files[line.split()[1]]) as picture:
            np.testing.assert_allclose(np.array(picture) / 255, expected, atol=0.5 / 255 + 1e-6)


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


@pytest.mark.parametrize("module, package, file_format", [("PIL", "Pillow", "glb"), ("PIL", "Pillow", "obj"),
                                                          ("trimesh", "trimesh", "obj")])
def test_a_missing_package_is_named_and_leaves_no_file(module, package, file_format, baked, monkeypatch, output_host):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackage, match=f"pip install {package}"):
        SaveMeshNode.execute(to_core(baked), "ball", file_format)
    assert not list(output_host.output_directory.rglob("*.*"))


def test_node(output_host):
    result = SaveMeshNode.execute(to_core(Mesh(PYRAMID, FACES)), "3d/pyramid")
    assert result.ui["result"] == ["3d/pyramid_00001_.glb", None, None]
    assert result.ui["3d"] == [{"filename": "pyramid_00001_.glb", "subfolder": "3d", "type": "output"}]
    assert result.args[0].format == "glb"
    Glb(io.BytesIO(result.args[0].get_bytes()).read())
    assert [path.name for path in output_host.written] == ["pyramid_00001_.glb"]


def test_the_words_of_the_time_in_a_name(output_host):
    import time

    path = save_mesh(Mesh(PYRAMID, FACES), "%year%/a_%month%-%day%")[0]
    today = time.localtime()
    assert path.parent.name == f"{today.tm_year}" and path.name == f"a_{today.tm_mon:02}-{today.tm_mday:02}_00001_.glb"


@pytest.mark.parametrize("prefix", ["x" * 300, "a\0b", "a/" + "y" * 300 + "/b"])
def test_names_that_no_file_has(prefix, output_host):
    with pytest.raises(DistillError, match="cannot be the name of a file"):
        save_mesh(Mesh(PYRAMID, FACES), prefix)
