import math

import pytest
import torch

from distill3d.kernels.volume.regularize import eikonal
from distill3d.nodes.core.cameras import orbit, turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.hash_grid_sdf import HashGridSDF
from distill3d.nodes.fields.initial_surface import InitialEllipsoid
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.neus_renderer import NeuSRenderer, NeuSRendererNode
from distill3d.nodes.surface.silhouette import silhouette_iou

ALL = ("rgb", "opacity", "depth", "normal", "albedo", "samples")
GRID = FeatureGrid(levels=4, log2_size=10, base=4, finest=24, width=16)


def scene(radius=0.5, sharpness=20.0, material=Albedo(), **options):
    torch.manual_seed(0)
    field = HashGridSDF(1.0, InitialEllipsoid((radius,) * 3), GRID, sharpness=sharpness).build(3)
    return NeuSRenderer(**options).build(field, material.build(), SolidBackground((0.2, 0.4, 0.6)).build())


def sphere(cameras, radius=0.5):
    """[B,H,W] bool: pixels whose ray meets the sphere."""
    origins, directions = cameras.rays()
    return torch.linalg.cross(origins, directions).norm(dim=-1) < radius


@pytest.mark.parametrize("sharpness", [20.0, 200.0])
def test_a_sphere_is_drawn(sharpness):
    cameras, made = turntable(3, 20, 3.0, 40, 64), scene(sharpness=sharpness)
    made.update(0, 10, Streams(0, 0))
    with torch.no_grad():
        found = made.render(cameras, wanted=ALL)
    drawn, true = found.opacity[..., 0] > 0.5, sphere(cameras)
    assert silhouette_iou(drawn, true) > 0.97
    middle = found.depth[:, 32, 32, 0]
    torch.testing.assert_close(middle, torch.full_like(middle, 2.5), atol=0.02 + 0.5 / sharpness, rtol=0)
    towards = torch.nn.functional.normalize(cameras.position, dim=-1)
    assert ((found.normal[:, 32, 32] * towards).sum(-1) > 0.97).all()
    assert found.opacity[:, 32, 32].min() > 0.97 and found.opacity.max() <= 1


def test_occupancy_skips_outside_and_inside_and_changes_little():
    cameras, made = turntable(2, 20, 3.0, 40, 16), scene(sharpness=100.0)
    with torch.no_grad():
        before = made.render(cameras, wanted=ALL)
        made.update(0, 10, Streams(0, 0))
        after = made.render(cameras, wanted=ALL)
    assert len(after.samples.t) < 0.4 * len(before.samples.t)
    torch.testing.assert_close(after.opacity, before.opacity, atol=0.02, rtol=0)
    assert not bool(made.occupancy_binary[15:17, 15:17, 15:17].any())


def test_gradients_flow_to_everything():
    made, cameras = scene(), turntable(2, 20, 3.0, 40, 12)
    made.update(0, 10, Streams(0, 0))
    found = made.render(cameras, wanted=ALL, streams=Streams(0, 0))
    target = torch.rand(found.rgb.shape, generator=torch.Generator().manual_seed(0))
    ((found.rgb - target).square().mean() + found.opacity.mean()).backward()
    for group in ("encoding", "network", "variance"):
        for parameter in made.parameter_groups()[group]:
            assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, group


def test_samples_tell_gradient_and_picture():
    cameras = turntable(2, 20, 3.0, 40, 5)
    found = scene().render(cameras, wanted=("opacity", "samples"), streams=Streams(0, 0))
    samples = found.samples
    total = torch.zeros(50).index_add(0, samples.ray, samples.weights)
    torch.testing.assert_close(total.view(2, 5, 5, 1), found.opacity, atol=1e-5, rtol=0)
    assert samples.normal is None and (samples.gradient.norm(dim=-1) - 1).abs().mean() < 0.01
    assert found.rgb is None and found.normal is None


def test_pieces_make_the_same_picture(monkeypatch):
    import distill3d.nodes.renderers.volume_scene as volume_scene

    made, cameras = scene(material=Lambertian()), turntable(2, 20, 3.0, 40, 7)
    with torch.no_grad():
        whole = made.render(cameras, wanted=ALL, shading="albedo")
        monkeypatch.setattr(volume_scene, "_CHUNK", 80 * 9)
        pieces = made.render(cameras, wanted=ALL, shading="albedo")
    torch.testing.assert_close(pieces.rgb, whole.rgb, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pieces.samples.gradient, whole.samples.gradient, atol=1e-4, rtol=1e-3)


def test_annealing_follows_its_schedule_and_is_kept():
    """Half-annealed edges are more opaque; the state keeps how far it went."""
    ramp = Schedule(((0, 0.0), (10, 1.0)))
    made, cameras = scene(annealing=ramp, occupancy=0), orbit(0.0, 0.0, 3.0, math.radians(40), 16, 16)
    pictures = []
    for step in (0, 10):
        made.update(step, 20, Streams(0, step))
        with torch.no_grad():
            pictures.append(made.render(cameras).opacity)
    assert pictures[0].sum() > 1.01 * pictures[1].sum()
    again = scene(annealing=ramp, occupancy=0)
    again.load_state_dict(made.state_dict())
    with torch.no_grad():
        assert torch.equal(again.render(cameras).opacity, pictures[1])


def test_rays_that_miss_and_inference_mode():
    with torch.inference_mode():
        with torch.inference_mode(False):
            made = scene()
        found = made.render(turntable(1, 20, 3.0, 120, 6), wanted=ALL)
    torch.testing.assert_close(found.rgb[0, 0, 0], torch.tensor([0.2, 0.4, 0.6]))
    assert found.opacity[0, 0, 0] == 0 and not found.rgb.requires_grad


def test_a_density_is_refused():
    with pytest.raises(DistillError, match="^NeuS Renderer: this field .* no signed distance.*Hash Grid SDF"):
        NeuSRenderer().build(VoxelVolume(resolutions=(6,)).build(3), Albedo().build(), SolidBackground().build())


def test_the_node():
    recipe = NeuSRendererNode.execute(HashGridSDF(), Albedo(), SolidBackground()).args[0]
    assert recipe.renderer == NeuSRenderer()
    with pytest.raises(DistillError, match="^NeuS Renderer: samples"):
        NeuSRendererNode.execute(HashGridSDF(), Albedo(), SolidBackground(), samples=0)


@pytest.mark.slow
def test_a_sphere_is_recovered_from_eight_pictures():
    """From a sphere of radius 0.4 to one of 0.6, by colour alone."""
    made, target = scene(0.4), scene(0.6, 100.0)
    cameras = turntable(8, 20, 3.0, 40, 24)
    with torch.no_grad():
        wanted = target.render(cameras).rgb
    rates = {"encoding": 0.01, "network": 0.001, "variance": 0.001}
    optimizer = torch.optim.Adam([{"params": parameters, "lr": rates[name]}
                                  for name, parameters in made.parameter_groups().items() if parameters], eps=1e-15)
    for step in range(60):
        made.update(step, 60, Streams(0, step))
        found = made.render(cameras, wanted=("rgb", "samples"), step=step, streams=Streams(0, step))
        loss = (found.rgb - wanted).abs().mean() + 0.1 * eikonal(found.samples.gradient)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    views = turntable(5, -10, 3.0, 40, 48)
    with torch.no_grad():
        drawn = made.render(views).opacity[..., 0] > 0.5
    assert silhouette_iou(drawn, sphere(views, 0.6)) > 0.95
    assert made.field.sharpness.item() > 20
