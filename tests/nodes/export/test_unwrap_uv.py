import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import is_watertight, signed_volume
from distill3d.kernels.uv.bake import texel_positions
from distill3d.nodes.assets.core_mesh import from_core, to_core
from distill3d.nodes.assets.mesh import Mesh, smooth_normals, weld
from distill3d.nodes.core.errors import Cancelled, DistillError, MissingPackage
from distill3d.nodes.export import remesh
from distill3d.nodes.export import unwrap_uv as module
from distill3d.nodes.export.killable import TimeLimit, run_killable, sweep_folders
from distill3d.nodes.export.unwrap_uv import UnwrapUVNode, unwrap_uv


@pytest.fixture(scope="module")
def ball():
    line = torch.linspace(-1, 1, 17)
    x = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    vertices, faces = isosurface(0.7 - x.norm(dim=-1), 0.0, [[-1] * 3, [1] * 3])
    return Mesh(vertices, faces, vertex_colors=(vertices + 1) / 2, normals=smooth_normals(vertices, faces))


def missing(monkeypatch, *names):
    find = importlib.util.find_spec
    for place in (module, remesh):
        monkeypatch.setattr(place, "find_spec", lambda name: None if name in names else find(name))


def check_atlas(mesh, size=256):
    """UVs in range, no overlap, seams split only where UVs differ, attributes follow their vertices."""
    assert float(mesh.uv.min()) >= 0 and float(mesh.uv.max()) <= 1
    a, b, c = mesh.uv[mesh.faces].unbind(1)
    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs() / 2
    _, covered, _ = texel_positions(mesh.uv, mesh.faces, mesh.vertices, mesh.faces, size)
    assert float(areas.sum()) > 0.2
    assert float(covered.float().mean()) == pytest.approx(float(areas.sum()), rel=0.02)
    assert len(torch.unique(torch.cat([mesh.vertices, mesh.uv], 1), dim=0)) == len(mesh.vertices)
    torch.testing.assert_close(mesh.normals.norm(dim=1), torch.ones(len(mesh.vertices)))
    torch.testing.assert_close(mesh.vertex_colors, (mesh.vertices + 1) / 2, atol=0.1, rtol=0)


def test_xatlas(ball, output_host):
    pytest.importorskip("xatlas")
    mesh = unwrap_uv(ball, atlas="xatlas")
    check_atlas(mesh)
    assert is_watertight(weld(mesh.vertices, mesh.faces)[1])
    assert output_host.warnings == []


def test_boxes(ball, output_host):
    mesh = unwrap_uv(ball, atlas="boxes")
    check_atlas(mesh)
    assert len(mesh.faces) == len(ball.faces)


@pytest.mark.parametrize("atlas", ["xatlas", "boxes"])
@pytest.mark.parametrize("size", [1e-20, 0.01, 1e12])
def test_a_mesh_of_any_size(ball, atlas, size, output_host):
    if atlas == "xatlas":
        pytest.importorskip("xatlas")
    mesh = unwrap_uv(replace(ball, vertices=ball.vertices * (size / 0.7)), atlas=atlas)
    check_atlas(replace(mesh, vertices=mesh.vertices * (0.7 / size)))
    assert output_host.warnings == []


def test_a_split_mesh_is_joined_first(ball):
    # Every face with corners of its own, as some programs write meshes: charts must still hang together.
    split = Mesh(ball.vertices[ball.faces].view(-1, 3), torch.arange(3 * len(ball.faces)).view(-1, 3))
    assert len(unwrap_uv(split, atlas="boxes").vertices) < 1.5 * len(ball.vertices)


def test_face_budget(ball, output_host):
    pytest.importorskip("pymeshlab")
    mesh = unwrap_uv(ball, face_budget=500, atlas="boxes")
    check_atlas(mesh)
    vertices, faces, _ = weld(mesh.vertices, mesh.faces)
    assert len(faces) <= 500 and is_watertight(faces)
    before = float(signed_volume(ball.vertices, ball.faces))
    assert float(signed_volume(vertices, faces)) == pytest.approx(before, rel=0.03)


def test_without_pymeshlab_the_faces_stay_and_boxes_take_over(ball, monkeypatch, output_host):
    missing(monkeypatch, "pymeshlab")
    mesh = unwrap_uv(ball, face_budget=500)
    check_atlas(mesh)
    assert torch.equal(mesh.uv, unwrap_uv(ball, atlas="boxes").uv)
    warning, = output_host.warnings
    assert f"keeps its {len(ball.faces)} faces and gets the boxes atlas" in warning
    assert warning.endswith("pip install pymeshlab")
    monkeypatch.setattr(module, "BOXES_FACES", 600)      # more than boxes take in seconds
    with pytest.raises(MissingPackage, match=f"Changing {len(ball.faces)} faces in Unwrap UV .* pip install pymeshlab"):
        unwrap_uv(ball, face_budget=500)


def test_boxes_are_used_when_pymeshlab_cannot_start(ball, monkeypatch, output_host, tmp_path):
    # It is installed, but a library of the system is missing.
    worker = tmp_path / "worker.py"
    worker.write_text("import sys\nsys.exit('ImportError: libOpenGL.so.0')\n")
    monkeypatch.setattr(remesh, "WORKER", worker)
    monkeypatch.setattr(remesh, "find_spec", lambda name: name)
    check_atlas(unwrap_uv(ball, face_budget=500))
    assert len(output_host.warnings) == 1 and "libOpenGL.so.0" in output_host.warnings[0]


def test_without_xatlas_boxes_take_over(ball, monkeypatch, output_host):
    missing(monkeypatch, "xatlas")
    check_atlas(unwrap_uv(ball))
    assert len(output_host.warnings) == 1
    assert "boxes" in output_host.warnings[0] and "pip install xatlas" in output_host.warnings[0]


def test_at_the_time_limit_boxes_take_over(ball, monkeypatch, output_host, tmp_path):
    pytest.importorskip("xatlas")
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(module, "WORKER", sleeper)
    monkeypatch.setattr(remesh, "WORKER", sleeper)
    start = time.monotonic()
    check_atlas(unwrap_uv(ball, time_limit=0.3))
    assert time.monotonic() - start < 60
    assert "time limit of 0.3 s" in output_host.warnings[0]
    pytest.importorskip("pymeshlab")
    mesh = unwrap_uv(ball, face_budget=500, time_limit=0.3)          # too many faces for xatlas, none removed in time
    assert len(mesh.faces) == len(ball.faces)
    assert "gets the boxes atlas. Unwrap UV: changing" in output_host.warnings[1]
    assert "took longer than time_limit = 0.3 s. Raise it" in output_host.warnings[1]
    monkeypatch.setattr(module, "BOXES_FACES", 600)
    with pytest.raises(TimeLimit, match="took longer than time_limit = 0.3 s. Raise it"):
        unwrap_uv(ball, face_budget=500, time_limit=0.3)


def test_many_faces_are_not_unwrapped_silently(ball, monkeypatch, output_host):
    missing(monkeypatch, "xatlas")
    monkeypatch.setattr(module, "MANY_FACES", 100)
    unwrap_uv(ball)
    assert f"{len(ball.faces)} faces may take xatlas longer" in output_host.warnings[0]


def test_a_failing_worker_reports_its_last_line(tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text("import sys\nsys.exit('the atlas is on fire')\n")
    with pytest.raises(DistillError, match="unwrap failed with code 1: the atlas is on fire"):
        run_killable(worker, "unwrap", {}, {}, 60)


@pytest.mark.skipif(sys.platform == "win32", reason="signal 0 asks whether a process lives only on POSIX")
def test_cancelling_ends_the_process(tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text("import os, time\n"
                      f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n")

    def cancel(share):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise Cancelled("Cancelled by the user.")

    with pytest.raises(Cancelled):
        run_killable(worker, "unwrap", {}, {}, 60, cancel)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.skipif(sys.platform == "win32", reason="signal 0 asks whether a process lives only on POSIX")
def test_folders_of_killed_processes_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = tmp_path / "worker.py"
    worker.write_text("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n")
    script = ("import sys, tempfile; from pathlib import Path; "
              "from distill3d.nodes.export.killable import run_killable; "
              "tempfile.tempdir = sys.argv[1]; run_killable(Path(sys.argv[2]), 'unwrap', {}, {}, 60)")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(worker)], timeout=120)
    left, = (path for path in tmp_path.iterdir() if path.is_dir())
    assert done.returncode == -9 and (left / "input.npz").exists()
    own = Path(tempfile.mkdtemp(prefix=left.name.replace(left.name.split("_")[2], str(os.getpid()))))
    sweep_folders()
    assert own.exists() and not left.exists()


def test_a_mesh_without_area_is_refused():
    with pytest.raises(DistillError, match="all 1 faces"):
        unwrap_uv(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])))
    with pytest.raises(DistillError, match='atlas must be "xatlas" or "boxes"'):
        unwrap_uv(Mesh(torch.eye(3), torch.tensor([[0, 1, 2]])), atlas="spheres")


def test_faces_without_area_are_unwrapped_with_the_rest(output_host):
    """A cube with a face on a line, one that is a point, and one that uses a vertex twice."""
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    faces = torch.tensor([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                          [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3], [0, 1, 8], [8, 8, 8], [0, 0, 1]])
    mesh = Mesh(torch.cat([cube, torch.tensor([[-1.0, -1, 0]])]), faces)
    for atlas in ("boxes", *(["xatlas"] if importlib.util.find_spec("xatlas") else [])):
        unwrapped = unwrap_uv(mesh, atlas=atlas)
        assert len(unwrapped.faces) == 13                # the face on a line keeps a closed mesh closed
        assert bool(unwrapped.uv.isfinite().all()) and bool(unwrapped.normals.isfinite().all())
    assert output_host.warnings == []


def test_an_edge_with_three_faces_is_unwrapped(output_host):
    vertices = torch.tensor([[0.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, -1, 0]])
    fan = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))
    for atlas in ("boxes", *(["xatlas"] if importlib.util.find_spec("xatlas") else [])):
        mesh = unwrap_uv(fan, atlas=atlas)
        _, covered, face = texel_positions(mesh.uv, mesh.faces, mesh.vertices, mesh.faces, 64)
        assert face[covered].unique().tolist() == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("time_limit", [20.0, 1800.0])
def test_a_million_faces(time_limit, output_host):
    """They are reduced when there is time for it, and unwrapped by boxes when there is not."""
    pytest.importorskip("pymeshlab")
    line = torch.linspace(-1, 1, 216)
    x = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    vertices, faces = isosurface(0.9 - x.norm(dim=-1), 0.0, [[-1] * 3, [1] * 3])
    assert len(faces) > 1_000_000
    start = time.monotonic()
    mesh = unwrap_uv(Mesh(vertices, faces), time_limit=time_limit)
    # Both parts may use up their time; joining, boxes and the passing of arrays come on top.
    assert time.monotonic() - start < 2 * time_limit + 300
    assert len(mesh.faces) <= 40_000 if time_limit > 60 else len(mesh.faces) == len(faces)
    assert float(mesh.uv.min()) >= 0 and float(mesh.uv.max()) <= 1


def test_node(ball, output_host):
    with torch.inference_mode():
        core = UnwrapUVNode.execute(to_core(ball), atlas="boxes").args[0]
    assert core.uvs.shape == (1, core.vertices.shape[1], 2)
    check_atlas(from_core(core, "Test"))
