"""All renderers show the same ball under the same lens, orthographic or not."""
import math

import pytest
import torch

from distill3d.kernels.encode.integrated import cylinder_gaussian
from distill3d.nodes.cameras.fixed_orbit import FixedOrbit
from distill3d.nodes.cameras.multi_view_orbit import MultiViewOrbit
from distill3d.nodes.cameras.random_orbit_views import RandomOrbitViews
from distill3d.nodes.core.cameras import LENSES, orbit
from distill3d.nodes.core.material import OwnColor
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.mlp_volume import MLPVolume
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from distill3d.nodes.surface.silhouette import drawn_silhouette, silhouette_iou
from mesh_field import Ball
from mesh_field import ball as triangles
from soft_scene import SoftShape
from splat_scene import ball, splat_recipe

RADIUS = 0.6


def scenes():
    background = SolidBackground()
    yield "volume", 64, SceneRecipe(VolumeRenderer(samples=1024, occupancy=0),
                                    SoftShape(peak=500.0, softness=0.002, size=RADIUS), OwnColor(), background)
    yield "mesh", 64, SceneRecipe(MeshRasterizer(), Ball(24, RADIUS), OwnColor(), background)
    # Gaussians reach a pixel or two beyond their surface: the picture is as large as that takes to be little of it.
    yield "splat", 384, splat_recipe(ball(4000, thickness=0.001))


@pytest.mark.parametrize("scale", [None, 0.9])
def test_one_ball_in_three_renderers(scale):
    for name, size, recipe in scenes():
        cameras = orbit([0.3, 2.0], [0.2, 0.5], 2.5, math.radians(45), size, size, scale)
        origin, direction = cameras.rays()
        middle = -(origin * direction).sum(-1, keepdim=True)
        inside = RADIUS**2 - (origin + middle * direction).square().sum(-1, keepdim=True)
        depth, core = middle - inside.clamp_min(0).sqrt(), inside > 0.1
        if scale:
            radius = RADIUS / scale * size / 2                      # pixels
            assert float((inside > 0).sum()) / 2 == pytest.approx(math.pi * radius**2, rel=0.01)
        with torch.no_grad():
            seen = recipe.build().render(cameras, wanted=("rgb", "opacity", "depth"))
        assert silhouette_iou(seen.opacity > 0.5, inside > 0) > 0.97, name
        assert float((seen.depth / seen.opacity - depth)[core].abs().mean()) < 0.05, name
        assert silhouette_iou(drawn_silhouette(*triangles(24, RADIUS), cameras), inside[..., 0] > 0) > 0.97


def test_what_lies_behind_an_orthographic_camera_is_not_seen():
    cameras = orbit(0.0, 0.0, 1.0, 0.7, 16, 16, 0.9)
    behind = cameras.take([0])
    behind.c2w[:, :3, 3] *= -1                                      # beyond the ball, looking away from it
    for name, _, recipe in scenes():
        with torch.no_grad():
            assert float(recipe.build().render(behind, wanted=("opacity",)).opacity.max()) < 1e-3, name


def test_a_pixel_of_parallel_rays_is_a_cylinder():
    one, direction = torch.zeros(1, 3), torch.tensor([[0.0, 0, 1]])
    mean, variance = cylinder_gaussian(one, direction, torch.tensor([2.0]), torch.tensor([3.0]), torch.tensor([0.2]))
    torch.testing.assert_close(mean, torch.tensor([[0.0, 0, 2.5]]))
    torch.testing.assert_close(variance, torch.tensor([[0.01, 0.01, 1 / 12]]))
    scene = SceneRecipe(VolumeRenderer(samples=32, occupancy=0), MLPVolume(width=8, depth=2, encoding="integrated"),
                        Albedo(),
                        SolidBackground()).build()
    cameras = orbit(0.0, 0.0, 3.0, 0.7, 8, 8, 0.9)
    assert scene.field.wants_variance and bool(scene.render(cameras).rgb.isfinite().all())


@pytest.mark.parametrize("views, low, high", [
    (FixedOrbit(lens=LENSES[1], scale=0.7), 0.7, 0.7), (MultiViewOrbit(lens=LENSES[1]), 0.8, 1.0),
    (RandomOrbitViews(lens=LENSES[1], min_scale=0.5, max_scale=0.6), 0.5, 0.6)])
def test_samplers_of_orthographic_cameras(views, low, high):
    cameras = views.sample(8, 4, 4, 0, 1, Streams(0, 0))
    assert (cameras.is_orthographic and float(cameras.scale.min()) >= low - 1e-6
            and float(cameras.scale.max()) <= high + 1e-6)
    torch.testing.assert_close(cameras.view_size, cameras.scale)
    torch.testing.assert_close(cameras.distance * torch.tan(cameras.fovy / 2), cameras.scale)
    assert torch.equal(cameras.take([1]).to("cpu").scale, cameras.scale[1:2])
