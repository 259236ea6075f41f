import math

import pytest
import torch

from distill3d.kernels.surface.mesh import is_watertight, signed_volume, vertex_normals
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.export.extract_mesh import ExtractMeshNode, extract_mesh


def radius(mesh):
    return (float(signed_volume(mesh.vertices, mesh.faces)) * 3 / 4 / math.pi) ** (1 / 3)


def test_automatic_threshold_finds_the_true_ball(soft_scene):
    found = extract_mesh(soft_scene(size=0.6, softness=0.005), 48)
    assert radius(found.mesh) == pytest.approx(0.6, rel=0.04)
    assert found.overlap > 0.97
    expected = 0.5 + 0.4 * torch.sin(2.5 * found.mesh.vertices + torch.tensor([0.0, 1.0, 2.0]))
    assert float((found.mesh.vertex_colors - expected).abs().mean()) < 0.03
    assert is_watertight(found.mesh.faces)
    assert "watertight" in str(found) and "1 of 1" in str(found)


def test_automatic_threshold_matches_a_soft_surface(soft_scene):
    # The half-opaque silhouette of this ball is far outside its half-density radius of 0.4, and far from any
    # customary threshold: the mesh must agree with the picture.
    found = extract_mesh(soft_scene(size=0.4, softness=0.05, peak=40.0), 32)
    assert found.overlap > 0.97
    assert 0.5 < radius(found.mesh) < 0.7
    assert found.threshold < 5


def test_a_given_threshold_is_used(soft_scene):
    # Half the peak lies exactly on the ball, to the accuracy of linear interpolation between samples.
    found = extract_mesh(soft_scene(size=0.5, softness=0.05), 40, threshold=40.0, smoothing=0, colors=False)
    assert found.mesh.vertex_colors is None
    assert found.threshold == 40.0
    torch.testing.assert_close(found.mesh.vertices.norm(dim=1), torch.full((len(found.mesh.vertices),), 0.5),
                               atol=0.005, rtol=0)
    assert bool((vertex_normals(found.mesh.vertices, found.mesh.faces) * found.mesh.vertices).sum(1).mean() > 0)


def test_floaters_are_dropped_and_counted(soft_scene):
    scene = soft_scene(extra="floater")
    found = extract_mesh(scene, 32, colors=False)
    assert (found.found, found.kept) == (2, 1)
    assert float(found.mesh.vertices.norm(dim=1).max()) < 0.7
    assert extract_mesh(scene, 32, threshold=found.threshold, smallest=0.001, colors=False).kept == 2


def test_the_unseen_inside_is_filled(soft_scene):
    hollow = extract_mesh(soft_scene(kind="shell"), 32, threshold=40.0, colors=False)
    assert float(hollow.mesh.vertices.norm(dim=1).min()) > 0.5


def test_no_surface_is_reported_with_advice(soft_scene):
    scene = soft_scene(peak=3.2, notes={"opacity": 0.02})
    with pytest.raises(DistillError, match=r'^Extract Mesh: the field has no surface at threshold 10 \(density ranges '
                                           r'from 0 to 3.2\). Set "threshold" between 0 and 3.2 or train longer: '
                                           r'opacity was 0.02 at the last step.$'):
        extract_mesh(scene, 16, threshold=10.0)


def test_an_empty_scene_is_reported(soft_scene):
    with pytest.raises(DistillError, match="the scene is empty: no pixel of 8 views"):
        extract_mesh(soft_scene(peak=0.2), 16)
    with pytest.raises(DistillError, match="Train longer"):
        extract_mesh(soft_scene(peak=0.0), 16)


def test_a_density_that_is_not_finite_is_refused(soft_scene):
    with pytest.raises(DistillError, match="not finite at"):
        extract_mesh(soft_scene(peak=math.nan), 16)


def test_a_scene_without_density_is_refused(soft_scene, monkeypatch):
    recipe = soft_scene()
    build = type(recipe).build

    def without_density(self, device):
        scene = build(self, device)
        scene.is_volume = False
        return scene

    monkeypatch.setattr(type(recipe), "build", without_density)
    with pytest.raises(DistillError, match="no density field"):
        extract_mesh(recipe, 16)


def test_node_in_inference_mode(soft_scene, output_host):
    with torch.inference_mode():
        mesh, threshold, comparison, report = ExtractMeshNode.execute(soft_scene(), resolution=32).args
    assert mesh.vertices.ndim == 3 and mesh.normals.shape == mesh.vertices.shape
    assert threshold > 0 and "IoU" in report
    assert comparison.shape == (8, 192, 576, 3)
    assert 0 <= float(comparison.min()) and float(comparison.max()) <= 1
    # The difference is white inside both silhouettes and black outside: the middle agrees, so do the corners.
    assert torch.equal(comparison[0, 96, 480], torch.ones(3)) and torch.equal(comparison[0, 0, 575], torch.zeros(3))


def test_it_can_be_cancelled(soft_scene, output_host):
    output_host.cancelled = True
    with pytest.raises(Cancelled):
        ExtractMeshNode.execute(soft_scene())
