import time

import pytest
import torch

from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import face_areas, is_watertight, signed_volume
from distill3d.nodes.assets.core_mesh import from_core, to_core
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.core.errors import DistillError, MissingPackage
from distill3d.nodes.export import remesh as module
from distill3d.nodes.export.killable import TimeLimit
from distill3d.nodes.export.remesh import RemeshNode, remesh


@pytest.fixture(scope="module")
def ball():
    line = torch.linspace(-1, 1, 21)
    x = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    vertices, faces = isosurface(0.68 - x.norm(dim=-1), 0.0, [[-1] * 3, [1] * 3])
    return Mesh(vertices, faces, vertex_colors=(vertices + 1) / 2)


@pytest.fixture
def pymeshlab():
    return pytest.importorskip("pymeshlab")


def spread(mesh):
    """Standard deviation of the edge lengths, as a share of their mean."""
    corners = mesh.vertices[mesh.faces]
    length = (corners - corners.roll(1, 1)).norm(dim=2)
    return float(length.std() / length.mean())


@pytest.mark.parametrize("method", ["decimate", "isotropic"])
def test_the_surface_and_its_colours_stay(method, ball, pymeshlab, output_host):
    mesh = remesh(ball, method, 600)
    assert is_watertight(mesh.faces) and 400 < len(mesh.faces) < 800
    volume = float(signed_volume(ball.vertices, ball.faces))
    assert float(signed_volume(mesh.vertices, mesh.faces)) == pytest.approx(volume, rel=0.04)
    assert float((mesh.vertices.norm(dim=1) - 0.68).abs().max()) < 0.03
    torch.testing.assert_close(mesh.vertex_colors, (mesh.vertices + 1) / 2, atol=0.03, rtol=0)
    torch.testing.assert_close(mesh.normals, torch.nn.functional.normalize(mesh.vertices, dim=1), atol=0.2, rtol=0)
    assert output_host.warnings == []


def test_isotropic_triangles_are_even(ball, pymeshlab):
    mesh = remesh(ball, "isotropic", edge_length=0.1)
    corners = mesh.vertices[mesh.faces]
    assert float((corners - corners.roll(1, 1)).norm(dim=2).mean()) == pytest.approx(0.1, rel=0.1)
    assert spread(mesh) < 0.2 < spread(ball)


def test_fewer_faces_than_asked_for_stay(ball, pymeshlab):
    mesh = remesh(ball, "decimate", 1_000_000)
    assert len(mesh.faces) == len(ball.faces) and mesh.vertices.shape == ball.vertices.shape


def test_a_mesh_without_colours_gets_none(ball, pymeshlab):
    assert remesh(Mesh(ball.vertices, ball.faces), "decimate", 600).vertex_colors is None


def test_a_texture_stays_as_colours_at_the_vertices(pymeshlab, output_host):
    square = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    texture = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]])
    mesh = Mesh(square, torch.tensor([[0, 1, 2], [0, 2, 3]]), square[:, :2], texture)
    found = remesh(mesh, "decimate", 2)
    assert found.uv is None and found.texture is None
    expected = {(0, 0): [1, 0, 0], (1, 0): [0, 1, 0], (1, 1): [1, 1, 1], (0, 1): [0, 0, 1]}
    assert {tuple(map(round, x[:2])): c
            for x, c in zip(found.vertices.tolist(), found.vertex_colors.tolist())} == expected
    assert "Its colours stay at the vertices" in output_host.warnings[0]


@pytest.mark.parametrize("method", ["decimate", "isotropic"])
def test_an_edge_with_more_than_two_faces_is_cut_open(method, ball, pymeshlab, output_host):
    """A ball with a fin: three faces share the fin's foot."""
    foot = ball.faces[0, :2]
    vertices = torch.cat([ball.vertices, 1.5 * ball.vertices[foot[:1]]])
    fin = torch.tensor([[int(foot[0]), int(foot[1]), len(ball.vertices)]])
    mesh = remesh(Mesh(vertices, torch.cat([ball.faces, fin])), method, 600)
    assert 300 < len(mesh.faces) < 900 and bool(mesh.vertices.isfinite().all())
    assert float(face_areas(mesh.vertices, mesh.faces).sum()) == pytest.approx(4 * 3.14 * 0.46, rel=0.06)
    assert output_host.warnings == ["Remesh: 1 edges have more than two faces. The surface is cut open there."]


@pytest.mark.parametrize("method", ["decimate", "isotropic"])
def test_faces_without_area_are_ignored(method, ball, pymeshlab):
    middle = ball.vertices[ball.faces[0, :2]].mean(0, keepdim=True)
    flat = torch.tensor([[int(ball.faces[0, 0]), int(ball.faces[0, 1]), len(ball.vertices)], [5, 5, 6]])
    mesh = remesh(Mesh(torch.cat([ball.vertices, middle]), torch.cat([ball.faces, flat])), method, 600)
    assert 300 < len(mesh.faces) < 900 and bool(mesh.vertices.isfinite().all()) and bool(mesh.normals.isfinite().all())


def test_nothing_to_work_on(ball):
    with pytest.raises(DistillError, match="Remesh: all 1 faces of the mesh have zero area"):
        remesh(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])))
    with pytest.raises(DistillError, match='method must be one of decimate, isotropic, got "voxels"'):
        remesh(ball, "voxels")


def test_too_large_triangles_leave_an_error_or_a_mesh(ball, pymeshlab):
    try:
        assert len(remesh(ball, "isotropic", edge_length=50.0).faces) > 0
    except DistillError as error:
        assert str(error).startswith("Remesh: ")


def test_without_pymeshlab_the_message_names_the_package(ball, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=f"Changing {len(ball.faces)} faces in Remesh .* pip install pymeshlab"):
        remesh(ball, target_faces=100)


def test_the_time_limit_ends_it(ball, monkeypatch, tmp_path):
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(module, "WORKER", sleeper)
    monkeypatch.setattr(module, "find_spec", lambda name: name)
    start, shares = time.monotonic(), []
    with pytest.raises(TimeLimit, match="Remesh: changing .* took longer than time_limit = 0.5 s. Raise it"):
        remesh(ball, target_faces=100, time_limit=0.5, tick=shares.append)
    assert time.monotonic() - start < 60
    assert shares and shares == sorted(shares) and shares[-1] <= 1


def test_node(ball, pymeshlab, output_host):
    with torch.inference_mode():
        core = RemeshNode.execute(to_core(ball), target_faces=500).args[0]
    mesh = from_core(core, "Test")
    assert len(mesh.faces) <= 500 and mesh.vertex_colors is not None and mesh.normals is not None
