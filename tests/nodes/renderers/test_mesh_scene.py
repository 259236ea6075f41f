import math

import pytest
import torch

import distill3d.nodes.renderers.mesh_scene as mesh_scene
from distill3d.kernels import backend
from distill3d.nodes.core.cameras import orbit, turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rendering import Light
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.random_background import RandomBackground
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from mesh_field import Triangles, ball

ALL = ("rgb", "opacity", "depth", "normal", "albedo", "background", "surface")
BEHIND = (0.2, 0.4, 0.6)


def scene(field=None, material=Albedo(), background=SolidBackground(BEHIND)):
    torch.manual_seed(0)
    field = Triangles(*ball(24)) if field is None else field
    return MeshRasterizer().build(field, material.build(), background.build())


def headlight(cameras):
    return Light(cameras.position, torch.full((len(cameras),), 0.1), torch.full((len(cameras),), 0.9))


def test_a_ball_has_the_closed_form():
    """From distance 3 a sphere of radius 0.7 covers the cone of half angle asin(0.7/3); its front is 2.3 away."""
    fovy, size = math.radians(40), 65
    found = scene().render(orbit(0.3, 0.2, 3.0, fovy, size, size), wanted=ALL)
    radius = math.tan(math.asin(0.7 / 3)) * size / 2 / math.tan(fovy / 2)
    assert found.opacity.sum().item() == pytest.approx(math.pi * radius**2, rel=0.01)
    middle = (0, size // 2, size // 2)
    assert found.depth[middle].item() == pytest.approx(2.3, abs=0.005)
    towards = orbit(0.3, 0.2, 1.0, fovy, 1, 1).position[0]
    torch.testing.assert_close(found.normal[middle], towards, atol=0.05, rtol=0)
    torch.testing.assert_close(found.rgb[middle], torch.tensor([2.0, 0.0, -2.0]).sigmoid())
    torch.testing.assert_close(found.rgb[0, 0, 0], torch.tensor(BEHIND))
    assert found.depth[0, 0, 0] == 0 and found.normal[0, 0, 0].eq(0).all() and found.surface.faces.shape[1] == 3


def test_pictures_agree_with_the_rays():
    """Depth times direction from the camera lies on the sphere, whatever the view and the aspect."""
    cameras = turntable(3, 25, 2.5, 50, 40).resized(30, 44)
    found = scene(Triangles(*ball(96))).render(cameras, wanted=("depth", "opacity", "normal", "position"))
    origins, directions = cameras.rays()
    inside = found.opacity[..., 0] == 1
    point = (origins + found.depth * directions)[inside]
    torch.testing.assert_close(point.norm(dim=1), torch.full((len(point),), 0.7), atol=2e-3, rtol=0)
    torch.testing.assert_close(found.normal[inside], point / 0.7, atol=0.02, rtol=0)
    torch.testing.assert_close(found.position[inside], point, atol=1e-5, rtol=0)


def test_the_edges_of_all_images_are_softened_alike():
    made, cameras = scene(background=RandomBackground(shares=(0.0, 0.0, 1.0, 0.0))), turntable(3, 15, 3, 40, 24)
    seen = made.render(cameras, None, ALL, streams=Streams(3, 1), shading="albedo")
    torch.testing.assert_close(seen.rgb, seen.albedo + (1 - seen.opacity) * seen.background)
    torch.testing.assert_close(seen.albedo, seen.opacity * torch.tensor([2.0, 0.0, -2.0]).sigmoid())
    edge = (seen.opacity > 0) & (seen.opacity < 1)
    assert 0.02 < edge.float().mean() < 0.2 and seen.opacity.min() >= 0 and seen.opacity.max() <= 1
    assert (seen.normal.norm(dim=-1) <= seen.opacity[..., 0] + 1e-5).all()


def test_shading():
    made, cameras = scene(material=Lambertian()), turntable(2, 20, 3, 40, 16)
    light = headlight(cameras)
    made.update(0, 100, Streams(0, 0))
    lit = made.render(cameras, light).rgb
    assert torch.equal(lit, made.render(cameras, light, shading="shaded").rgb)
    assert torch.equal(made.render(cameras).rgb, made.render(cameras, light, shading="albedo").rgb)
    white = made.render(cameras, light, shading="textureless").rgb
    assert (white[:, 8, 8].amin(-1) > 0.95).all() and not torch.equal(white, lit)
    with pytest.raises(DistillError, match='Mesh Rasterizer: shading "shaded" needs a light'):
        made.render(cameras, shading="shaded")


def test_views_do_not_mix():
    made, cameras = scene(material=Lambertian()), turntable(3, 20, 3, 40, 12)
    light = Light(torch.randn(3, 3) * 3, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.9, 0.5, 0.2]))
    together = made.render(cameras, light, ALL)
    for view in range(3):
        alone = made.render(cameras.take([view]), Light(light.position[[view]], light.ambient[[view]],
                                                        light.diffuse[[view]]), ALL)
        for name in ("rgb", "opacity", "depth", "normal", "albedo"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[view])


def test_only_what_is_wanted_is_made():
    found = scene().render(turntable(1, 0, 3, 40, 8), wanted=("opacity", "depth"))
    assert found.rgb is None and found.normal is None and found.albedo is None and found.surface is None
    found = scene().render(turntable(1, 0, 3, 40, 8), wanted=("albedo",))
    assert found.rgb is None and found.opacity is None and found.albedo.shape == (1, 8, 8, 3)


def test_pieces_make_the_same_picture(monkeypatch):
    made, cameras = scene(material=Lambertian()), turntable(2, 20, 3.2, 40, 16)
    whole = made.render(cameras, headlight(cameras), ALL)
    monkeypatch.setattr(mesh_scene, "_CHUNK", 7)
    with torch.no_grad():
        pieces = made.render(cameras, headlight(cameras), ALL)
    torch.testing.assert_close(pieces.rgb, whole.rgb.detach())


def kept_by(made, views):
    """Gradients of the field, and bytes that a training step keeps for them, per pixel of a view more."""
    kept = []

    def pack(tensor):
        kept.append(tensor.untyped_storage())
        return tensor

    cameras = turntable(views, 15, 3, 40, 24)
    parameters = [one for one in made.parameters() if one.requires_grad]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = made.render(cameras, headlight(cameras), ("rgb", "opacity"), shading="shaded")
        loss = (found.rgb * found.rgb.detach().sin()).sum() + found.opacity.square().sum()
    size = sum({storage.data_ptr(): storage.nbytes() for storage in kept}.values())
    return torch.autograd.grad(loss, parameters), size


def test_views_drawn_again_give_the_same_gradients_and_keep_less(monkeypatch):
    made = scene(material=Lambertian())
    remembered, large = kept_by(made, 8)
    monkeypatch.setattr(mesh_scene, "_REMEMBERED", 0)
    again, small = kept_by(made, 8)
    for one, other in zip(again, remembered):
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other)
    per_view = (small - kept_by(made, 4)[1]) / 4 / 24**2
    assert small < large / 3 and per_view < 60, "bytes per pixel: rgb, opacity, background and their sums"


def test_views_drawn_again_keep_to_the_backend(monkeypatch):
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    monkeypatch.setattr(mesh_scene, "_REMEMBERED", 0)
    asked, rasterize = [], mesh_scene.rasterize
    monkeypatch.setattr(mesh_scene, "rasterize",
                        lambda *given: asked.append(backend._preferred.get()) or rasterize(*given))
    made = scene()
    made.backend = "torch"
    made.render(turntable(2, 20, 3.0, 40, 12), streams=Streams(0, 0)).rgb.sum().backward()
    assert asked == ["torch"] * 4


def test_the_outline_pulls_the_vertices():
    """Towards a smaller ball: every vertex on the outline is asked to move inwards, and a step makes the error less."""
    made, cameras = scene(), turntable(6, 10, 3, 40, 48)
    target = scene(Triangles(*ball(24, 0.6))).render(cameras).opacity.detach()
    error = (made.render(cameras).opacity - target).square().sum()
    error.backward()
    vertices = made.field.vertices
    pull = (vertices.grad * vertices.detach()).sum(1)
    assert (pull >= -1e-3 * pull.max()).all() and pull.sum() > 0
    with torch.no_grad():
        vertices -= 0.02 * vertices * (pull > 0)[:, None]
    assert (made.render(cameras).opacity - target).square().sum() < error


def test_nothing_to_see():
    """No faces, faces without area, and corners that are nowhere: the background, and a backward pass."""
    vertices, faces = ball(4)
    lost = torch.where(torch.arange(len(vertices))[:, None] == 3, torch.nan, vertices)
    for points, triangles, nothing in ((vertices, faces[:0], True), (vertices, faces[:, :1].expand(-1, 3), True),
                                       (torch.full_like(vertices, torch.nan), faces, True),
                                       (vertices[:0], faces[:0], True), (lost, faces, False)):
        made = scene(Triangles(points, triangles), Lambertian())
        cameras = turntable(2, 0, 3, 40, 8)
        found = made.render(cameras, headlight(cameras), ALL, shading="shaded")
        assert found.rgb.isfinite().all() and found.opacity.eq(0).all() == nothing
        found.rgb.sum().backward()
        assert made.field.color.grad.isfinite().all()


def test_everything_in_inference_mode():
    with torch.inference_mode():
        cameras = turntable(1, 20, 3.2, 40, 8)
        light = headlight(cameras)
        with torch.inference_mode(False):
            made = scene(material=Lambertian())
        found = made.render(cameras, light, wanted=ALL)
    assert not found.rgb.requires_grad
    made.render(cameras, light).rgb.sum().backward()


def test_a_volume_renderer_refuses_a_surface():
    with pytest.raises(DistillError, match="Volume Renderer: this field is a surface of triangles"):
        VolumeRenderer().build(Triangles(*ball(4)), Albedo().build(), SolidBackground().build())


def test_a_volume_is_refused():
    from distill3d.nodes.fields.voxel_volume import VoxelVolume
    with pytest.raises(DistillError, match="volume"):
        scene(VoxelVolume(resolutions=(4,)).build(3))
