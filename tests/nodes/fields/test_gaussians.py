from io import BytesIO
from types import SimpleNamespace

import pytest
import torch

from distill3d.nodes.assets.core_splat import to_core
from distill3d.nodes.assets.splat import seen_colors
from distill3d.nodes.assets.splat_file import ply_bytes
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe, load_state
from distill3d.nodes.export.scene_to_splat import scene_to_splat
from distill3d.nodes.fields.densification import Densification
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.gaussians import Gaussians, GaussiansNode, start_of
from distill3d.nodes.fields.scene_to_tet_grid import scene_to_tet_grid
from distill3d.nodes.fields.tet_grid import TetGrid
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from mesh_field import Ball
from random_splat import random_splat
from splat_scene import ball, splat_recipe

GROWING = Densification(every=5, gradient=1.0, split_scale=0.05, most=500)


def field(seed=0, **changes):
    torch.manual_seed(seed)
    return Gaussians(**changes).build(3)


def watched(module, strength):
    """The module after a backward pass that pulled at its first Gaussians."""
    gradient = torch.zeros(2, len(module.position), 2)
    gradient[:, :10, 0] = strength
    module.watch(gradient, torch.ones(2, len(module.position)))
    return module


def test_it_begins_as_a_grey_ball():
    splat = field(count=4000, radius=0.5).splat()
    distance = splat.positions.detach().norm(dim=1)
    # evenly in the volume
    assert float(distance.max()) <= 0.5 and float(distance.mean()) == pytest.approx(0.375, abs=0.01)
    assert float(splat.positions.detach().mean(0).abs().max()) < 0.02
    torch.testing.assert_close(splat.opacities, torch.full((4000, 1), 0.1))
    torch.testing.assert_close(seen_colors(splat, None), torch.full((4000, 3), 0.5))
    # As far as neighbours are apart: 0.036 for so many in such a ball, by the density of the cloud.
    assert 0.025 < float(splat.scales.detach().mean()) < 0.045 and splat.scales.isfinite().all()
    assert torch.equal(field().position, field().position) and not torch.equal(field().position, field(1).position)


@pytest.mark.parametrize("degree, own", [(0, 0), (0, 2), (3, 1)])
def test_a_splat_is_kept_as_it_is(degree, own):
    one = random_splat(30, own)
    there = field(initial=one, degree=degree).splat()
    assert torch.equal(there.positions, one.positions) and torch.equal(there.sh[:, :one.sh.shape[1]], one.sh)
    assert there.sh.shape[1] == (max(degree, own) + 1) ** 2 and not there.sh[:, one.sh.shape[1]:].any()
    for name in ("rotations", "scales", "opacities"):
        torch.testing.assert_close(getattr(there, name), getattr(one, name), atol=1e-6, rtol=1e-6)


def test_a_core_splat_comes_back_from_a_scene():
    wire = to_core(random_splat(40, 2), "Test")
    back = scene_to_splat(splat_recipe(start_of(Gaussians(), wire).initial))
    assert torch.equal(back.positions, wire.positions) and torch.equal(back.sh, wire.sh)
    for name in ("rotations", "scales", "opacities"):
        torch.testing.assert_close(getattr(back, name), getattr(wire, name), atol=1e-6, rtol=1e-6)


def test_parameters_have_known_groups_and_gradients():
    module = field(count=20, degree=1)
    groups = module.parameter_groups()
    assert set(groups) == set(module.groups) and sum(map(len, groups.values())) == 6
    splat = module.splat()
    (seen_colors(splat, torch.tensor([[3.0, 1, 0]])).sum() + splat.positions.sum() + splat.scales.sum()
     + splat.opacities.sum()
     + splat.rotations.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())
    assert field(count=5).parameter_groups()["sh"] == []


def test_it_grows_where_it_is_pulled_at():
    module = watched(field(count=100, densification=GROWING), 3.0)
    before = module.position.detach().clone()
    assert module.update(4, 100, Streams(0, 4)) == [] and len(module.position) == 100
    replaced = module.update(5, 100, Streams(0, 5))
    assert len(module.position) > 105 and {id(one.new) for one in replaced} == {id(one) for one in module.parameters()}
    rows = replaced[0].rows
    assert torch.equal(module.position[rows >= 0], before[rows[rows >= 0]])
    assert not module.gradient_sum.any()
    count = len(module.position)
    module.update(10, 100, Streams(0, 10))               # nothing pulled since
    assert len(module.position) <= count


def test_the_mean_is_over_the_views_that_see_it():
    module = field(count=3)
    gradient = torch.tensor([[[3.0, 4.0], [1.0, 0.0], [torch.nan, 0.0]], [[9.0, 9.0], [0.0, 3.0], [0.0, 2.0]]])
    module.watch(gradient, torch.tensor([[2.0, 1.0, 1.0], [0.0, 1.0, 1.0]]))
    assert (module.gradient_sum / module.gradient_count).tolist() == [5, 2, 2]


def test_opacities_are_lowered():
    module = field(count=4, initial=None, opacity=0.5, densification=Densification(every=0, reset_every=3))
    assert module.update(2, 9, Streams(0, 2)) == []
    replaced, = module.update(3, 9, Streams(0, 3))
    torch.testing.assert_close(module.opacity.sigmoid(), torch.full((4, 1), 0.01))
    assert replaced.new is module.opacity and (replaced.rows == -1).all()


def test_the_state_of_a_grown_cloud_loads_into_a_new_one():
    module = watched(field(count=100, densification=GROWING), 3.0)
    module.update(5, 100, Streams(0, 5))
    watched(module, 0.1)
    fresh = field(count=100, seed=1)
    load_state(fresh, {name: tensor.clone() for name, tensor in module.state_dict().items()})
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), fresh.state_dict().values()))
    with pytest.raises(DistillError, match='"sh" has shape'):
        load_state(field(count=100, degree=1), module.state_dict())


def test_as_a_volume_it_is_dense_where_it_is_opaque():
    module = field(initial=ball())
    x = torch.tensor([[0.0, 0, 0.6], [0, 0, -0.6], [0, 0, 1.5], [0.6, 0, 0]])
    found = module(x, normals=True)
    assert found.density[0] > 20 and found.density[2] == 0 and torch.equal(found.density, module.density(x))
    torch.testing.assert_close(found.features[:2].sigmoid(), torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]]),
                               atol=0.02, rtol=0)
    outside = module(torch.tensor([[0.0, 0, 0.63]]), normals=True)
    assert outside.normal[0, 2] > 0.95
    assert module.bounds.abs().amax() < 0.8 and module.bounds.abs().amin() > 0.6


def test_a_tet_grid_goes_on_from_it_in_its_colours():
    small = TetGrid(resolution=40, features=FeatureGrid(levels=3, log2_size=10, base=4, finest=16, width=16))
    found = scene_to_tet_grid(splat_recipe(ball(1000)), small, color_steps=100)
    scene = SceneRecipe(MeshRasterizer(), found.field, Albedo(), SolidBackground()).build()
    with torch.no_grad():
        picture = scene.render(turntable(1, 0, 3, 40, 24)).rgb[0]
    assert found.overlap > 0.85
    torch.testing.assert_close(picture[7, 12], torch.tensor([0.9, 0.1, 0.1]), atol=0.1, rtol=0)
    torch.testing.assert_close(picture[17, 12], torch.tensor([0.1, 0.1, 0.9]), atol=0.1, rtol=0)


def test_bounds_are_those_of_what_can_be_seen():
    one = random_splat(2)
    one.positions[1] = 50.0
    one.opacities[:] = torch.tensor([[0.9], [0.01]])
    assert float(field(initial=one).bounds.amax()) < 3
    one.opacities[:] = 0.01
    assert field(initial=one).bounds.amax() > 50


def test_a_trained_scene_lends_its_surface_and_colours(soft_scene):
    made = start_of(Gaussians(count=500, opacity=0.3), scene=soft_scene())
    points = made.initial.positions
    assert len(points) == 500 and float((points.norm(dim=1) - 0.6).abs().max()) < 0.05
    wanted = 0.5 + 0.4 * torch.sin(2.5 * points + torch.tensor([0.0, 1.0, 2.0]))
    torch.testing.assert_close(seen_colors(made.initial, None), wanted, atol=0.06, rtol=0)
    assert float(made.initial.opacities.mean()) == pytest.approx(0.3)


def test_a_painted_mesh_lends_its_surface_and_colours():
    made = start_of(Gaussians(count=300), scene=SceneRecipe(MeshRasterizer(), Ball(), Albedo(), SolidBackground()))
    distance = made.initial.positions.norm(dim=1)
    assert 0.6 < float(distance.min()) and float(distance.max()) < 0.71
    assert float(seen_colors(made.initial, None).std(0).max()) < 1e-5


def test_a_scene_of_gaussians_gives_them():
    one = ball(50)
    made = start_of(Gaussians(count=500), scene=splat_recipe(one))
    torch.testing.assert_close(made.initial.positions, one.positions)


def test_a_file_is_read():
    one = random_splat(7, 1)
    file = SimpleNamespace(format="ply", get_bytes=lambda: BytesIO(ply_bytes(one)).getvalue())
    torch.testing.assert_close(start_of(Gaussians(), file).initial.sh, one.sh)
    with pytest.raises(DistillError, match=r"Gaussians: \.spz splats cannot be read here"):
        start_of(Gaussians(), SimpleNamespace(format="spz", get_bytes=bytes))


def test_two_beginnings_are_refused(soft_scene):
    with pytest.raises(DistillError, match="both a splat and a scene are connected"):
        start_of(Gaussians(), to_core(random_splat(), "Test"), soft_scene())


@pytest.mark.parametrize("changes", [{"count": 0}, {"radius": 0.0}, {"opacity": 1.0}, {"scale": -1.0}, {"degree": 4}])
def test_impossible_clouds_are_refused(changes):
    with pytest.raises(DistillError, match="^Gaussians: "):
        Gaussians(**changes)


def test_node():
    with torch.inference_mode():
        wire = to_core(random_splat(9), "Test")
        recipe, = GaussiansNode.execute(count=3, splat=wire, gradient=0.5, max_count=70).args
    assert len(recipe.initial) == 9 and recipe.densification == Densification(gradient=0.5, most=70)
    module = recipe.build(3)
    module.splat().positions.sum().backward()
    assert module.position.grad.eq(1).all()
