import pytest
import torch

from distill3d.kernels.quaternion import rotation_matrices
from distill3d.nodes.assets.core_splat import discs, to_core
from distill3d.nodes.assets.splat import to_splat_frame
from distill3d.nodes.comfy import Types
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.export.scene_to_splat import SceneToSplatNode, scene_to_splat, surface_points

COUNT = 3000


@pytest.fixture
def ball(soft_scene):
    return surface_points(soft_scene(softness=0.05), COUNT, 40, threshold=40.0)  # half of its peak, which it has at 0.6


def test_points_lie_on_the_surface_with_its_normals_and_colours(ball):
    assert ball.points.shape == ball.normals.shape == ball.colors.shape == (COUNT, 3)
    assert abs(float(ball.points.norm(dim=1).mean()) - 0.6) < 0.01 and float(
        (ball.points.norm(dim=1) - 0.6).abs().max()) < 0.03
    assert float((ball.normals * torch.nn.functional.normalize(ball.points, dim=1)).sum(1).min()) > 0.98
    expected = 0.5 + 0.4 * torch.sin(2.5 * ball.points + torch.tensor([0.0, 1.0, 2.0]))
    torch.testing.assert_close(ball.colors, expected, atol=0.05, rtol=0)
    assert abs(ball.spacing - (4 * torch.pi * 0.36 / COUNT) ** 0.5) < 0.02 * ball.spacing


def test_the_frame_is_that_of_splat_files():
    """Up is -y; the front, our +x, is -z: half a turn around x of glTF's world, which viewers turn back."""
    axes = to_splat_frame(torch.eye(3))
    assert axes.tolist() == [[0, 0, -1], [1, 0, 0], [0, -1, 0]]
    assert float(torch.linalg.det(axes)) == pytest.approx(1.0)


def test_discs_lie_in_the_surface():
    normals = torch.nn.functional.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    splat = to_core(discs(2 * normals, normals, torch.full((20, 3), 0.25), 0.1), "Test")
    thin = rotation_matrices(splat.rotations[0])[..., 2]
    torch.testing.assert_close(thin, to_splat_frame(normals), atol=1e-5, rtol=0)
    torch.testing.assert_close(splat.positions[0], to_splat_frame(2 * normals))
    torch.testing.assert_close(splat.scales[0], torch.tensor([0.1, 0.1, 0.01]).expand(20, 3))
    torch.testing.assert_close(splat.sh[0] * 0.28209479 + 0.5, torch.full((20, 1, 3), 0.25))
    assert splat.opacities.shape == (1, 20, 1) and bool((splat.opacities == 1).all()) and splat.counts is None


def test_equal_scenes_give_equal_splats(soft_scene):
    one, other = (scene_to_splat(soft_scene(kind="box"), 1000, 24) for _ in range(2))
    assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("positions", "rotations", "sh"))


def test_node(soft_scene, output_host):
    with torch.inference_mode():
        splat, = SceneToSplatNode.execute(soft_scene(), points=1000, resolution=24, disc_size=2.0).args
    assert isinstance(splat, Types.SPLAT) and splat.positions.shape == (1, 1000, 3)
    once, = SceneToSplatNode.execute(soft_scene(), points=1000, resolution=24).args
    torch.testing.assert_close(splat.scales, 2 * once.scales)


def test_an_older_host_gets_a_clear_message(soft_scene, monkeypatch):
    monkeypatch.delattr(Types, "SPLAT")
    with pytest.raises(DistillError, match="Scene to Splat: this version of ComfyUI has no splats"):
        scene_to_splat(soft_scene(), 1000, 24)
