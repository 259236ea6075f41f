"""What files of glTF hold beyond the plain: each with the value that the specification gives it."""

import base64
import json

import numpy as np
import pytest
import torch

from distill3d.kernels.uv.bake import sample_texture
from distill3d.nodes.assets.mesh import to_y_up
from distill3d.nodes.assets.mesh_reader import read_mesh
from distill3d.nodes.core.errors import DistillError
from gltf_builder import QUAD, TRIANGLE, GltfBuilder, png

RED_GREEN = np.array([[[255, 0, 0], [0, 255, 0]]] * 2, np.uint8)  # left red, right green


def places(builder):
    """Vertices as in the file, Y up."""
    return to_y_up(read_mesh(builder.glb(), "glb", "Test").vertices)


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(
        torch.as_tensor(found, dtype=torch.float32), torch.as_tensor(expected, dtype=torch.float32), atol=atol, rtol=0
    )


def test_quantised_positions_are_in_their_range():
    one = GltfBuilder()
    one.mesh(
        {"POSITION": (np.array([[-32767, 0, 0, 0], [32767, 0, 0, 0], [0, 32767, 0, 0]], np.int16)[:, :3].copy(), True)}
    )
    one.tree["nodes"][0]["scale"] = [0.5, 0.5, 0.5]
    close(places(one), [[-0.5, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])


def test_sparse_values_take_their_places():
    one = GltfBuilder()
    position = one.accessor(TRIANGLE)
    one.tree["accessors"][position]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": one.view(np.array([1], np.uint8).tobytes()), "componentType": 5121},
        "values": {"bufferView": one.view(np.array([[7, 8, 9]], np.float32).tobytes())},
    }
    one.mesh({"POSITION": position})
    close(places(one), [[0, 0, 0], [7, 8, 9], [0, 1, 0]])
    del one.tree["accessors"][position]["bufferView"]  # zeros below
    close(places(one)[1:], [[7, 8, 9], [0, 0, 0]])


def test_draco_is_decoded_or_named(monkeypatch):
    draco = pytest.importorskip("DracoPy")
    one = GltfBuilder()
    data = draco.encode(TRIANGLE, faces=np.array([[0, 1, 2]], np.uint32), quantization_bits=20, preserve_order=True)
    one.tree["accessors"].append({"componentType": 5126, "count": 3, "type": "VEC3"})
    one.mesh(
        {"POSITION": 0},
        extensions={"KHR_draco_mesh_compression": {"bufferView": one.view(data), "attributes": {"POSITION": 0}}},
    )
    one.tree["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    close(sorted(places(one).tolist()), sorted(TRIANGLE.tolist()), 1e-4)
    monkeypatch.setitem(__import__("sys").modules, "DracoPy", None)
    with pytest.raises(DistillError, match="KHR_draco_mesh_compression.*pip install DracoPy"):
        places(one)


def test_draco_without_its_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "DracoPy", None)
    one = GltfBuilder()
    one.tree["accessors"].append({"componentType": 5126, "count": 3, "type": "VEC3"})
    one.mesh(
        {"POSITION": 0},
        extensions={"KHR_draco_mesh_compression": {"bufferView": one.view(b"DRACO"), "attributes": {"POSITION": 0}}},
    )
    with pytest.raises(DistillError, match="KHR_draco_mesh_compression.*pip install DracoPy"):
        places(one)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_colours_of_any_type(kind):
    largest = 1 if kind == "float32" else np.iinfo(kind).max
    values = np.array([[0.25, 0, 1, 1]] * 3) * largest
    one = GltfBuilder()
    one.mesh(
        {
            "POSITION": TRIANGLE,
            "COLOR_0": (np.round(values).astype(kind) if largest > 1 else values.astype(kind), largest > 1),
        }
    )
    close(read_mesh(one.glb(), "glb", "Test").vertex_colors, [[0.537, 0, 1]] * 3, 2e-3)  # 16384 of 65535 is 0.537


def seen(builder, uv=((0.25, 0.5), (0.75, 0.5))):
    """The texture's colours at the vertices of the file, in their order."""
    mesh = read_mesh(builder.glb(), "glb", "Test")
    return sample_texture(mesh.texture, mesh.uv), mesh


@pytest.mark.parametrize("wrap, expected", [(10497, [1, 0, 1, 0]), (33648, [1, 0, 0, 1]), (33071, [1, 0, 0, 0])])
def test_coordinates_outside_continue_as_the_sampler_says(wrap, expected):
    one = GltfBuilder()
    corners = np.concatenate([QUAD, QUAD + [1, 0, 0]]).astype(np.float32)
    u = np.array([0.25, 0.75, 1.25, 1.75])
    uv = np.array([[at, 0.5] for at in np.repeat(u, 2)], np.float32)
    one.mesh({"POSITION": corners, "TEXCOORD_0": uv}, [0, 2, 4, 0, 4, 6, 1, 3, 5, 1, 5, 7], material=0)
    one.tree["materials"] = [one.picture(np.repeat(RED_GREEN, 16, 1))]
    one.tree["samplers"] = [{"wrapS": wrap, "wrapT": wrap}]
    one.tree["textures"][0]["sampler"] = 0
    found, mesh = seen(one)
    close(found[::2, 0], expected, 0.01)
    assert float(mesh.uv.min()) >= 0 and float(mesh.uv.max()) <= 1


def test_charts_that_lie_elsewhere_keep_the_texture_as_it_is():
    one = GltfBuilder()
    one.mesh(
        {"POSITION": TRIANGLE, "TEXCOORD_0": np.array([[5.25, -2.5], [5.75, -2.5], [5.25, -2.25]], np.float32)},
        material=0,
    )
    one.tree["materials"] = [one.picture(RED_GREEN)]
    found, mesh = seen(one)
    assert mesh.texture.shape == (2, 2, 3)
    close(mesh.uv, [[0.25, 0.5], [0.75, 0.5], [0.25, 0.75]])


def test_many_repeats_become_coarser_and_say_so(output_host):
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE, "TEXCOORD_0": np.array([[0, 0], [64, 0], [0, 64]], np.float32)}, material=0)
    one.tree["materials"] = [one.picture(np.full((128, 128, 3), 90, np.uint8))]
    found, mesh = seen(one)
    close(found, torch.full((3, 3), 90 / 255), 0.01)
    assert mesh.texture.shape[0] * mesh.texture.shape[1] <= 1 << 24 and "64 x 64 times" in " ".join(
        output_host.warnings
    )


def test_texture_transform_and_second_coordinates():
    one = GltfBuilder()
    other, uv = np.zeros((3, 2), np.float32), np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]], np.float32)
    one.mesh({"POSITION": TRIANGLE, "TEXCOORD_0": other, "TEXCOORD_1": uv}, material=0)
    one.tree["materials"] = [one.picture(RED_GREEN, texCoord=1)]
    close(seen(one)[1].uv, uv)
    one.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["extensions"] = {
        "KHR_texture_transform": {"offset": [0.5, 0.25], "scale": [0.5, 0.5]}
    }
    close(seen(one)[1].uv, uv * 0.5 + np.array([0.5, 0.25]))
    # A quarter turn counter-clockwise, seen with v downwards: (u, v) -> (v, -u).
    one.tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["extensions"] = {
        "KHR_texture_transform": {"rotation": np.pi / 2, "offset": [0, 1], "texCoord": 1}
    }
    close(seen(one)[1].uv, np.stack([uv[:, 1], 1 - uv[:, 0]], 1))


def test_sixteen_bit_grey_pictures_keep_their_values():
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE, "TEXCOORD_0": np.zeros((3, 2), np.float32)}, material=0)
    one.tree["materials"] = [one.picture(np.full((2, 2), 20000, np.uint16))]
    close(seen(one)[0], torch.full((3, 3), 20000 / 65535))


def test_picture_times_colours_at_the_vertices():
    """Constant ones are a factor of the picture; varying ones are drawn into a new one."""
    one = GltfBuilder()
    uv = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]], np.float32)
    one.mesh(
        {"POSITION": QUAD, "TEXCOORD_0": uv, "COLOR_0": np.full((4, 4), 0.5, np.float32)},
        [0, 1, 2, 0, 2, 3],
        material=0,
    )
    one.tree["materials"] = [one.picture(np.full((4, 4, 3), 255, np.uint8))]
    found, mesh = seen(one)
    close(found, torch.full((4, 3), 0.7354), 2e-3)  # linear 0.5
    assert mesh.texture.shape == (4, 4, 3)
    shades = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]], np.float32)
    one.tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = one.accessor(shades)
    found, mesh = seen(one)
    x = to_y_up(mesh.vertices)[:, 0]
    close(found[:, 0], x, 0.12)
    middle = mesh.uv[mesh.faces[0]].mean(0, keepdim=True)
    at = float(to_y_up(mesh.vertices)[mesh.faces[0], 0].mean())
    close(sample_texture(mesh.texture, middle)[0, 0], 1.055 * at ** (1 / 2.4) - 0.055, 0.02)


def test_skins_move_with_their_joints():
    one = GltfBuilder()
    corners = TRIANGLE - [0.5, 0, 0]
    one.mesh(
        {
            "POSITION": corners.astype(np.float32),
            "JOINTS_0": np.zeros((3, 4), np.uint8),
            "WEIGHTS_0": np.array([[1, 0, 0, 0]] * 3, np.float32),
        }
    )
    one.tree["skins"] = [
        {"joints": [1], "inverseBindMatrices": one.accessor(np.eye(4, dtype=np.float32).reshape(1, 16))}
    ]
    one.tree["nodes"] = [{"mesh": 0, "skin": 0, "translation": [100, 0, 0]}, {"translation": [5, 0, 0]}]
    one.tree["scenes"][0]["nodes"] = [0, 1]
    close(places(one)[:, 0], [4.5, 5.5, 4.5])


def test_morph_targets_at_their_weights():
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE}, targets=[{"POSITION": one.accessor(np.array([[0, 0, 2]] * 3, np.float32))}])
    one.tree["meshes"][0]["weights"] = [0.5]
    close(places(one)[:, 2], [1, 1, 1])


def test_instances_are_all_there():
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE})
    moves = one.accessor(np.array([[0, 0, 0], [10, 0, 0]], np.float32))
    one.tree["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": moves}}}
    close(places(one), np.concatenate([TRIANGLE, TRIANGLE + [10, 0, 0]]))


@pytest.mark.parametrize("mode, faces", [(5, [[0, 1, 2], [1, 3, 2]]), (6, [[1, 2, 0], [2, 3, 0]])])
def test_strips_and_fans(mode, faces):
    one = GltfBuilder()
    one.mesh({"POSITION": QUAD}, mode=mode)
    assert read_mesh(one.glb(), "glb", "Test").faces.tolist() == faces


def test_flat_and_mirroring_nodes():
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE, "NORMAL": np.array([[0, 0, 1]] * 3, np.float32)})
    one.tree["nodes"][0]["scale"] = [-1, 1, 1]
    mesh = read_mesh(one.glb(), "glb", "Test")
    corner = to_y_up(mesh.vertices)[mesh.faces[0]]
    area = torch.linalg.cross(corner[1] - corner[0], corner[2] - corner[0])
    assert float(area[2]) > 0
    close(to_y_up(mesh.normals), [[0, 0, 1]] * 3)
    one.tree["nodes"][0]["scale"] = [1, 1, 0]
    mesh = read_mesh(one.glb(), "glb", "Test")
    close(to_y_up(mesh.normals), [[0, 0, 1]] * 3)
    one.tree["nodes"][0]["scale"] = [1, 0, 1]
    assert read_mesh(one.glb(), "glb", "Test").normals.isfinite().all()


def test_normals_without_length_are_computed():
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE, "NORMAL": np.zeros((3, 3), np.float32)})
    close(to_y_up(read_mesh(one.glb(), "glb", "Test").normals), [[0, 0, 1]] * 3)


def test_nodes_without_a_scene_are_read():
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE})
    del one.tree["scenes"], one.tree["scene"]
    one.tree["nodes"] = [{"children": [1], "translation": [3, 0, 0]}, {"mesh": 0}]
    close(places(one)[:, 0], [3, 4, 3])


def test_vertices_that_are_no_numbers_lose_their_triangles(output_host):
    one = GltfBuilder()
    corners = QUAD.copy()
    corners[3] = np.nan
    one.mesh({"POSITION": corners}, [0, 1, 2, 0, 2, 3])
    mesh = read_mesh(one.glb(), "glb", "Test")
    assert (
        len(mesh.faces) == 1
        and mesh.vertices.isfinite().all()
        and "1 of 4 vertices are not finite" in output_host.warnings[0]
    )


@pytest.mark.parametrize("depth", [5000])
def test_deep_trees(depth):
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE})
    one.tree["nodes"] = [{"children": [n + 1], "translation": [1, 0, 0]} for n in range(depth)] + [{"mesh": 0}]
    close(places(one)[:, 0], [depth, depth + 1, depth])


def folder(tmp_path, builder, buffer="my mesh.bin", **files):
    tree = {**builder.tree, "buffers": [{"byteLength": len(builder.data), "uri": buffer.replace(" ", "%20")}]}
    (tmp_path / "a.gltf").write_text(json.dumps(tree))
    (tmp_path / buffer).write_bytes(builder.data)
    return tmp_path / "a.gltf"


def test_files_beside_it_are_found_by_their_escaped_names(tmp_path, output_host):
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE, "TEXCOORD_0": np.full((3, 2), 0.5, np.float32)}, material=0)
    one.tree |= {
        "images": [{"uri": "my%20picture.png"}],
        "textures": [{"source": 0}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
    }
    path = folder(tmp_path, one)
    (tmp_path / "my picture.png").write_bytes(png(np.full((2, 2, 3), 51, np.uint8)))
    close(read_mesh(path, "gltf", "Test").texture, torch.full((2, 2, 3), 0.2))
    (tmp_path / "my picture.png").unlink()
    assert read_mesh(path, "gltf", "Test").texture is None and '"my%20picture.png"' in output_host.warnings[-1]
    (tmp_path / "my mesh.bin").unlink()
    with pytest.raises(DistillError, match='a.gltf cannot be read as GLTF: .*"my mesh.bin" is missing beside it'):
        read_mesh(path, "gltf", "Test")


def test_no_file_outside_the_folder_is_read(tmp_path, output_host):
    secret = tmp_path / "secret.bin"
    (tmp_path / "in").mkdir()
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE})
    secret.write_bytes(one.data)
    (tmp_path / "in" / "link.bin").symlink_to(secret)
    for uri in ("../secret.bin", str(secret), "file://" + str(secret), "..%2Fsecret.bin", "link.bin"):
        tree = {**one.tree, "buffers": [{"byteLength": len(one.data), "uri": uri}]}
        (tmp_path / "in" / "a.gltf").write_text(json.dumps(tree))
        with pytest.raises(DistillError, match="is missing beside it"):
            read_mesh(tmp_path / "in" / "a.gltf", "gltf", "Test")


def test_what_is_not_read_is_named(output_host):
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE, "TEXCOORD_0": np.zeros((3, 2), np.float32)}, material=0)
    one.tree |= {
        "images": [{"bufferView": one.view(b"\xabKTX 20\xbb\r\n\x1a\n" + b"\0" * 64), "name": "bark"}],
        "textures": [{"extensions": {"KHR_texture_basisu": {"source": 0}}}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "baseColorFactor": [1, 0, 0, 1]}}],
    }
    close(read_mesh(one.glb(), "glb", "Test").vertex_colors, [[1, 0, 0]] * 3)
    assert '"bark"' in output_host.warnings[0] and "KTX2" in output_host.warnings[0]
    one.tree["extensionsRequired"] = ["EXT_meshopt_compression"]
    with pytest.raises(DistillError, match="EXT_meshopt_compression"):
        read_mesh(one.glb(), "glb", "Test")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda tree: tree["accessors"][0].update(count=10**9), "at most 20 million"),
        (lambda tree: tree["accessors"][0].update(count=4), "cut off"),
        (lambda tree: tree["nodes"][0].update(mesh=7), "meshes.7."),
        (lambda tree: tree["nodes"][0].update(children=[0]), "two parents"),
        (lambda tree: tree.update(nodes=[]), "no nodes"),
        (lambda tree: tree.update(asset={"version": "1.0"}), "glTF 1.0"),
        (lambda tree: tree.update(meshes=3), "damaged"),
    ],
)
def test_damage_is_said_in_a_sentence(change, message):
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE})
    change(one.tree)
    with pytest.raises(DistillError, match="^Test: the file cannot be read as GLB.*" + message):
        read_mesh(one.glb(), "glb", "Test")


def test_a_picture_bomb_inside_is_refused():
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE, "TEXCOORD_0": np.zeros((3, 2), np.float32)}, material=0)
    one.tree["materials"] = [one.picture(np.zeros((13000, 13000), bool))]
    with pytest.raises(DistillError, match="13000 x 13000 pixels; at most 64 million"):
        read_mesh(one.glb(), "glb", "Test")


def test_content_in_the_text_itself():
    one = GltfBuilder()
    one.mesh({"POSITION": TRIANGLE})
    uri = "data:application/octet-stream;base64," + base64.b64encode(one.data).decode()
    data = json.dumps({**one.tree, "buffers": [{"byteLength": len(one.data), "uri": uri}]}).encode()
    close(to_y_up(read_mesh(b"\xef\xbb\xbf" + data, "gltf", "Test").vertices), TRIANGLE)
