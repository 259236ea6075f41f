from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from distill3d.nodes.assets.core_mesh import from_core, to_core
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.assets.mesh_wire import with_tangents
from distill3d.nodes.comfy import Types
from distill3d.nodes.core.errors import DistillError

VERTICES = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def test_core_is_y_up_and_looks_along_z():
    core = to_core(Mesh(VERTICES, FACES, normals=VERTICES))
    assert torch.equal(core.vertices[0, 3], torch.tensor([0.0, 1, 0])) and torch.equal(core.normals, core.vertices)
    assert torch.equal(core.vertices[0, 1], torch.tensor([0.0, 0, 1]))


def test_round_trip_keeps_everything():
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(4, 3, generator=generator), dim=1)
    textured = Mesh(VERTICES, FACES, torch.rand(4, 2, generator=generator), torch.rand(8, 8, 3, generator=generator),
                    None, normals)
    colored = Mesh(VERTICES, FACES, vertex_colors=torch.rand(4, 3, generator=generator))
    physical = with_tangents(replace(textured, metallic_roughness=torch.rand(4, 4, 3, generator=generator),
                                     normal_map=torch.rand(2, 2, 3, generator=generator)))
    for mesh in (textured, colored, physical):
        back = from_core(to_core(mesh), "Test")
        for name, value in vars(mesh).items():
            if value is None:
                assert getattr(back, name) is None, name
            else:
                torch.testing.assert_close(getattr(back, name), value, msg=name)


def test_core_colours_are_linear():
    core = to_core(Mesh(VERTICES, FACES, vertex_colors=torch.full((4, 3), 0.5)))
    torch.testing.assert_close(core.vertex_colors, torch.full((1, 4, 3), 0.21404), atol=1e-4, rtol=0)


def test_padding_of_a_batch_is_cut_off_and_others_are_named(output_host):
    core = to_core(Mesh(VERTICES, FACES))
    padded = Types.MESH(vertices=torch.cat([core.vertices, torch.full((1, 2, 3), 9.0)], 1).expand(2, -1, -1),
                        faces=torch.cat([core.faces, torch.zeros(1, 3, 3, dtype=torch.int64)], 1).expand(2, -1, -1),
                        vertex_counts=torch.tensor([4, 6]), face_counts=torch.tensor([4, 7]))
    mesh = from_core(padded, "Test")
    assert torch.equal(mesh.vertices, VERTICES) and torch.equal(mesh.faces, FACES)
    assert "batch of 2" in output_host.warnings[0]


def test_from_core_copies():
    core = to_core(Mesh(VERTICES, FACES))
    from_core(core, "Test").faces.zero_()
    assert torch.equal(core.faces[0], FACES)


def test_a_normal_map_without_tangents_gets_them(output_host):
    core = Types.MESH(VERTICES[None], FACES[None], uvs=torch.rand(1, 4, 2), normal_map=torch.rand(1, 2, 2, 3),
                      emissive=torch.rand(1, 2, 2, 3))
    mesh = from_core(core, "Test")
    torch.testing.assert_close((mesh.tangents[:, :3] * mesh.normals).sum(1), torch.zeros(4))
    assert output_host.warnings == ["Test: the mesh's emissive map is dropped."]


@pytest.mark.parametrize("core, message", [
    (SimpleNamespace(v=VERTICES, f=FACES), "not the MESH of ComfyUI"),
    (Types.MESH(VERTICES[None, :0], FACES[None, :0]), "empty"),
    (Types.MESH(VERTICES[None], FACES[None] + 1), "faces name vertices 1 to 4"),
    (Types.MESH(VERTICES[None] / 0, FACES[None]), "not finite"),
    (Types.MESH(VERTICES[None], FACES[None, :, [0, 1, 2, 0]]), "Triangulate"),
    (Types.MESH(VERTICES[None], FACES[None], uvs=torch.zeros(1, 3, 2)), "4 vertices but 3 uvs"),
    (Types.MESH(VERTICES[None], FACES[None], uvs=torch.zeros(1, 4, 2) / 0), "uvs are not all finite"),
    (Types.MESH(VERTICES[None], FACES[None], normals=VERTICES[None] / 0), "normals are not all finite"),
])
def test_what_is_no_mesh_is_named(core, message):
    with pytest.raises(DistillError, match="Some Node: .*" + message):
        from_core(core, "Some Node")
