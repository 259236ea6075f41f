import gc
import weakref
from dataclasses import replace

import pytest
import torch

from distill3d.kernels.surface.mesh import is_watertight
from distill3d.nodes.assets.mesh import weld
from distill3d.nodes.assets.splat import Splat, sh_of
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.material import OwnColor
from distill3d.nodes.core.rendering import Light
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.export.extract_mesh import extract_mesh
from distill3d.nodes.export.turntable import render_turntable
from distill3d.nodes.fields.gaussians import Gaussians
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers import splat_scene
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from distill3d.nodes.renderers.splat_renderer import SplatRenderer, SplatRendererNode
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from splat_scene import ball, splat_recipe

ALL = ("rgb", "albedo", "opacity", "depth", "normal", "background")


def ball_pictures(size=48, **changes):
    cameras = turntable(2, 20, 3, 40, size)
    with torch.no_grad():
        return cameras, splat_recipe(ball(1500), **changes).build().render(cameras, wanted=ALL)


def test_a_ball_looks_like_one():
    cameras, seen = ball_pictures()
    origin, direction = cameras.rays()
    middle = -(origin * direction).sum(-1, keepdim=True)
    inside = 0.36 - (origin + middle * direction).square().sum(-1, keepdim=True)
    core = (inside > 0.1).squeeze(-1)
    assert float(seen.opacity[core].min()) > 0.97 and float(seen.opacity[inside.squeeze(-1) < -0.1].max()) < 0.05
    depth = middle - inside.clamp_min(0).sqrt()
    torch.testing.assert_close((seen.depth / seen.opacity)[core], depth[core], atol=0.05, rtol=0)
    normal = torch.nn.functional.normalize(origin + depth * direction, dim=-1)
    cosine = (torch.nn.functional.normalize(seen.normal, dim=-1) * normal).sum(-1)[core]
    assert cosine.mean() > 0.98 and float(seen.normal.norm(dim=-1).max()) < 1.0001
    top = core & ((origin + depth * direction)[..., 2] > 0.15)
    assert float((seen.albedo / seen.opacity)[top].mean(0)[0]) == pytest.approx(0.9, abs=0.01)


def test_rgb_lies_over_the_background():
    _, seen = ball_pictures(background=(0.2, 0.4, 0.6))
    torch.testing.assert_close(seen.background[0, 0, 0], torch.tensor([0.2, 0.4, 0.6]))
    torch.testing.assert_close(seen.rgb, seen.albedo + (1 - seen.opacity) * seen.background)


def test_only_what_is_wanted():
    seen = splat_recipe(ball(20)).build().render(turntable(1, 0, 3, 40, 8), wanted=("depth",))
    assert seen.depth is not None and seen.rgb is None and seen.opacity is None and seen.normal is None


def test_bright_stills_are_clamped_and_training_is_not():
    one = ball(300)
    scene = splat_recipe(replace(one, sh=sh_of(torch.full((300, 3), 1.5)))).build()
    cameras = turntable(1, 0, 3, 40, 16)
    assert scene.render(cameras, streams=Streams(0, 0)).rgb.amax() > 1.2
    with torch.no_grad():
        assert scene.render(cameras).rgb.amax() == 1


def test_light_falls_on_the_side_that_faces_it():
    cameras = turntable(1, 0, 3, 40, 32)
    one = torch.ones(1)
    light = Light(torch.tensor([[0.0, 0.0, 5.0]]), 0.2 * one, 0.8 * one)
    with torch.no_grad():
        scene = splat_recipe(ball(1500), background=(0.0, 0.0, 0.0)).build()
        seen = scene.render(cameras, light, shading="textureless")
        color = scene.render(cameras, light, shading="shaded").rgb[0]
        albedo = scene.render(cameras, light, shading="albedo").rgb[0]
    gray = seen.rgb[0]
    assert gray[9, 16].min() > 0.5 and 0.15 < float(gray[22, 16].mean()) < 0.3 and float(gray.std(-1).max()) < 1e-6
    torch.testing.assert_close(color, albedo * gray / seen.opacity[0].clamp_min(1e-6), atol=1e-4, rtol=0)


def test_gradients_reach_all_parameters():
    scene = splat_recipe(ball(60, opacity=0.6), degree=1).build()
    target = torch.rand(2, 24, 24, 3, generator=torch.Generator().manual_seed(0))
    seen = scene.render(turntable(2, 20, 3, 40, 24), wanted=ALL, streams=Streams(0, 0))
    ((seen.rgb - target).square().sum() + seen.depth.sum() + seen.normal[..., 0].sum()).backward()
    for name, parameter in scene.field.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_the_field_learns_how_hard_pictures_pull():
    """By the mean of each view's own loss, in half pictures: neither the batch nor the resolution changes it much."""
    def pulls(views, size, training=True):
        scene = splat_recipe(ball(40, opacity=0.6)).build()
        camera = turntable(1, 20, 3, 40, size).take([0] * views)
        seen = scene.render(camera, streams=Streams(0, 0) if training else None)
        (seen.rgb[..., 0].mean()).backward()
        return scene.field.gradient_sum / scene.field.gradient_count.clamp_min(1)

    one = pulls(1, 32)
    assert one.max() > 0
    torch.testing.assert_close(pulls(3, 32), one)
    assert torch.corrcoef(torch.stack([pulls(1, 128),
                                       one]))[0, 1] > 0.9 and 0.7 < float(pulls(1, 128).sum() / one.sum()) < 1.4
    assert not pulls(1, 32, training=False).any()


def test_the_pull_is_the_gradient_of_the_place_in_the_picture():
    """By finite differences of the place: moving a Gaussian by one pixel moves it by 2 / width."""
    base = Splat(torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.15), torch.full((1, 1), 0.8),
                 sh_of(torch.full((1, 3), 0.9)))
    camera = turntable(1, 0, 3, 40, 32)
    ramp = torch.linspace(0, 1, 32)[None, None, :, None]

    def loss(y):
        scene = splat_recipe(replace(base, positions=torch.tensor([[0.0, y, 0.0]])), background=(0.0, 0.0, 0.0)).build()
        return scene, (scene.render(camera, streams=Streams(0, 0)).rgb * ramp).sum()

    scene, value = loss(0.0)
    value.backward()
    step = 0.02
    pixels = step / 3 * 16 / torch.tan(camera.fovy / 2)     # that the place moves by
    slope = (loss(step)[1] - loss(-step)[1]).detach() / (2 * pixels / 16)
    # a projection is linear at the middle only
    torch.testing.assert_close(scene.field.gradient_sum, slope.abs(), rtol=0.05, atol=0)


def test_pictures_in_inference_mode():
    with torch.inference_mode():
        cameras = turntable(1, 20, 3, 40, 16)
        frames = render_turntable(splat_recipe(ball(100)), 2, 16, shading="textureless")
        scene = splat_recipe(ball(100)).build()
        assert scene.render(cameras, wanted=ALL).rgb.isfinite().all()
    assert frames.shape == (2, 16, 16, 3) and frames.std() > 0.05


def test_a_turntable_shows_all_of_a_box():
    corners = 0.5 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    box = Splat(corners, torch.tensor([[1.0, 0, 0, 0]]).repeat(8, 1), torch.full((8, 3), 0.05), torch.full((8, 1), 0.9),
                sh_of(torch.zeros(8, 3)))
    dark = render_turntable(splat_recipe(box), 6, 48, elevation=0) < 0.9
    assert dark.any() and not (dark[:, [0, -1]].any() or dark[:, :, [0, -1]].any())
    assert dark[..., 0].any(0).nonzero().amin(0).max() < 12


def test_antialiased_scenes_are_alike_at_every_resolution():
    def difference(antialiased):
        _, fine = ball_pictures(128, antialiased=antialiased)
        _, coarse = ball_pictures(16, antialiased=antialiased)
        pooled = torch.nn.functional.avg_pool2d(fine.opacity.movedim(-1, 1), 8).movedim(1, -1)
        return float((pooled - coarse.opacity).abs().mean())

    assert difference(True) < difference(False)


def test_a_mesh_of_it_is_closed_and_has_its_colours():
    found = extract_mesh(splat_recipe(ball(1500)), 48)
    assert found.overlap > 0.97 and found.kept == 1
    assert is_watertight(weld(found.mesh.vertices, found.mesh.faces)[1])
    assert abs(float(found.mesh.vertices.norm(dim=1).mean()) - 0.6) < 0.03
    top = found.mesh.vertex_colors[found.mesh.vertices[:, 2] > 0.2].mean(0)
    torch.testing.assert_close(top, torch.tensor([0.9, 0.1, 0.1]), atol=0.03, rtol=0)


def test_nothing_to_see_is_said():
    with pytest.raises(DistillError, match="Extract Mesh: the scene is empty"):
        extract_mesh(splat_recipe(ball(50, opacity=0.004)), 16)


def test_fields_go_to_their_renderers():
    with pytest.raises(DistillError, match="Splat Renderer: this field is not made of Gaussians"):
        SceneRecipe(SplatRenderer(), VoxelVolume(), OwnColor(), SolidBackground()).build()
    with pytest.raises(DistillError, match="Volume Renderer: this field is made of Gaussians"):
        SceneRecipe(VolumeRenderer(), Gaussians(), OwnColor(), SolidBackground()).build()
    with pytest.raises(DistillError, match="Mesh Rasterizer"):
        SceneRecipe(MeshRasterizer(), Gaussians(), OwnColor(), SolidBackground()).build()


def test_node():
    scene, = SplatRendererNode.execute(Gaussians(count=5), SolidBackground(), True, 3).args
    assert scene.seed == 3 and scene.renderer == SplatRenderer(True)
    assert len(scene.build().field.position) == 5


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_a_step_leaves_nothing_behind(monkeypatch, backend):
    """A hook that led back to the tensor it hangs on kept every step's graph for ever."""
    left, draw = [], splat_scene.splat

    def watched(*given, **options):
        drawn = draw(*given, **options)
        left.extend(weakref.ref(tensor) for tensor in (drawn.centers, drawn.features))
        return drawn

    monkeypatch.setattr(splat_scene, "splat", watched)
    scene = replace(splat_recipe(ball(50)), backend=backend).build()
    scene.render(turntable(2, 0, 3, 40, 16), streams=Streams(0, 0)).rgb.sum().backward()
    assert float(scene.field.gradient_count.sum()) > 0
    gc.collect()
    assert len(left) == 2 and all(tensor() is None for tensor in left)
