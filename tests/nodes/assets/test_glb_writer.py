"""GLB files as the Khronos validator sees them, and the values that other tests of Save Mesh do not reach."""
import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill3d.nodes.assets.glb_writer import glb_bytes
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.assets.mesh_reader import read_mesh
from distill3d.nodes.assets.mesh_wire import with_tangents
from gltf_rules import Glb

VERTICES = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
RANDOM = torch.Generator().manual_seed(0)
UV, PICTURE = torch.rand(4, 2, generator=RANDOM), torch.rand(8, 8, 3, generator=RANDOM)
TEXTURED = Mesh(VERTICES, FACES, UV, PICTURE)
PHYSICAL = with_tangents(replace(TEXTURED, metallic_roughness=PICTURE, normal_map=PICTURE))
KINDS = {
    "plain": Mesh(VERTICES, FACES), "textured": TEXTURED, "physical": PHYSICAL,
    "colours": Mesh(VERTICES, FACES, vertex_colors=torch.rand(4, 3, generator=RANDOM)),
    "masked": replace(TEXTURED, opacity=PICTURE[..., 0].round(), cutoff=0.5),
    "blended": replace(TEXTURED, opacity=PICTURE[..., 0]),
    "tiny": with_tangents(Mesh(VERTICES * 1e-30, FACES, UV, PICTURE, normal_map=PICTURE)),
    "huge": with_tangents(Mesh(VERTICES * 1e30, FACES, UV, PICTURE, normal_map=PICTURE)),
    "normals without length": Mesh(VERTICES, FACES, normals=torch.zeros(4, 3)),
    "triangles without area": Mesh(VERTICES.clone().fill_(1), FACES)}
SCRIPT = """const validator = require('gltf-validator'), data = require('fs').readFileSync(process.argv[1]);
validator.validateBytes(new Uint8Array(data)).then(report => console.log(JSON.stringify(report.issues)));"""


def node(*arguments):
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def validator():
    if node("-e", "require('gltf-validator')").returncode:
        pytest.skip("npm install gltf-validator (NODE_PATH says where it lies)")


@pytest.mark.parametrize("kind", KINDS)
def test_the_validator_finds_nothing(kind, tmp_path, validator):
    (tmp_path / "a.glb").write_bytes(glb_bytes(KINDS[kind]))
    issues = json.loads(node("-e", SCRIPT, str(tmp_path / "a.glb")).stdout)
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


def test_the_validator_sees_a_fault(tmp_path, validator):
    data = glb_bytes(KINDS["plain"]).replace(b'"VEC3"', b'"VEC2"')
    (tmp_path / "a.glb").write_bytes(data)
    assert json.loads(node("-e", SCRIPT, str(tmp_path / "a.glb")).stdout)["numErrors"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_rules_of_this_repository_hold(kind):
    Glb(glb_bytes(KINDS[kind]))


@pytest.mark.parametrize("kind", ["plain", "textured", "colours", "tiny", "huge", "masked", "blended"])
def test_what_is_written_is_read(kind):
    mesh, back = KINDS[kind], read_mesh(glb_bytes(KINDS[kind]), "glb", "Test")
    assert torch.equal(back.vertices, mesh.vertices) and torch.equal(back.faces, mesh.faces)
    for name in ("uv", "texture", "opacity"):
        if getattr(mesh, name) is not None:
            torch.testing.assert_close(getattr(back, name), getattr(mesh, name), atol=0.5 / 255 + 1e-6, rtol=0)
    assert back.cutoff == mesh.cutoff and (back.opacity is None) == (mesh.opacity is None)
    if mesh.vertex_colors is not None:  # one step of 255 was 1/25 of white in the dark
        torch.testing.assert_close(back.vertex_colors, mesh.vertex_colors, atol=2e-4, rtol=0)


def test_dark_colours_at_vertices_keep_their_steps():
    colors = (torch.arange(4.0)[:, None] / 255).expand(4, 3)
    back = read_mesh(glb_bytes(Mesh(VERTICES, FACES, vertex_colors=colors)), "glb", "Test")
    np.testing.assert_allclose(back.vertex_colors, colors, atol=1e-4)
