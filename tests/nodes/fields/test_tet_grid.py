import math

import pytest
import torch

from distill3d.kernels.surface.mesh import is_watertight, signed_volume
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import load_state
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.feature_grid import FeatureGrid, Learned
from distill3d.nodes.fields.initial_surface import InitialEllipsoid, InitialValues
from distill3d.nodes.fields.tet_grid import TetGrid, TetGridNode

FEATURES = FeatureGrid(levels=3, log2_size=8, base=4, finest=16, width=8)
TWICE = Schedule(((0, 0.0), (4, 1.0), (8, 2.0)), shape="step")


def field(values="vertices", resolution=16, seed=0, channels=3, **changes):
    torch.manual_seed(seed)
    return TetGrid(resolution=resolution, values=values, features=FEATURES, **changes).build(channels)


def volume(module):
    surface = module.surface()
    return signed_volume(surface.vertices, surface.faces).item()


def shaken(module, amount=0.02):
    """The module with its shape's parameters changed a little."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.shape.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=generator))
    return module


@pytest.mark.parametrize("values", ["vertices", "network"])
@pytest.mark.parametrize("radii", [(0.6, 0.6, 0.6), (0.9, 0.6, 0.4)])
def test_it_begins_as_an_ellipsoid(values, radii):
    surface = (module := field(values, 48, initial=InitialEllipsoid(radii))).surface()
    assert is_watertight(surface.faces)
    assert volume(module) == pytest.approx(4 / 3 * math.pi * math.prod(radii), rel=0.03)
    outward = surface.vertices / torch.tensor(radii).square()
    assert torch.cosine_similarity(outward, surface.normals).mean() > 0.99


def test_the_lattice_fits_the_box():
    recipe = TetGrid(box=((0.0, -1.0, 0.0), (2.0, 1.0, 0.9)), resolution=31, initial=InitialEllipsoid((5.0,) * 3))
    assert recipe.counts == (32, 32, 14)
    module = recipe.build(3)
    assert module.grid.amin(0).tolist() == [0, -1, 0] and module.grid.amax(0).tolist() == pytest.approx([2, 1, 0.9])
    assert is_watertight(module.surface().faces)          # everything is inside, and yet the surface is closed


@pytest.mark.parametrize("values", ["vertices", "network"])
def test_it_subdivides_on_schedule_where_the_surface_is(values):
    module = shaken(field(values, subdivisions=TWICE))
    if values == "network":
        with torch.no_grad():
            module.shape.network.head[2].weight.mul_(0)   # else new vertices are asked anew and move the surface
    before, coarse = volume(module), module.surface()
    assert [bool(module.update(step, 10, Streams(0, step))) for step in (0, 3, 4, 5, 8, 9)] == (
        [False, False, True, False, True, False] if values == "vertices" else [False] * 6)
    fine = module.surface()
    assert len(fine.faces) > 12 * len(coarse.faces) and is_watertight(fine.faces)
    assert volume(module) == pytest.approx(before, rel=1e-4)
    # it never falls
    assert not module.update(0, 10, Streams(0, 0)) and len(module.surface().faces) == len(fine.faces)


def test_a_vertex_cannot_leave_its_reach():
    module = field(reach=0.3)
    with torch.no_grad():
        module.shape.deformation.fill_(50.0)
    moved = module._values()[1] - module.grid
    inner = (module.grid.abs() < 0.8).all(1)
    # by its neighbours, a vertex of the lattice is one of two kinds
    shortest = torch.tensor([2.0, 5**0.5]) * 2.3 / 16
    torch.testing.assert_close(moved[inner].unique(sorted=True).view(-1)[[0, -1]], 0.3 * shortest)
    assert moved[module.border].eq(0).all()               # nothing leaves the box


def test_reach_shrinks_with_the_lattice():
    module = field(subdivisions=Schedule.of(1))
    module.update(0, 1, Streams(0, 0))
    with torch.no_grad():
        module.shape.deformation.fill_(50.0)
    moved = (module._values()[1] - module.grid).amax(1)
    assert moved.amin() < 0.6 * moved.amax()


@pytest.mark.parametrize("values", ["vertices", "network"])
def test_the_state_of_a_subdivided_grid_loads_into_a_new_one(values):
    trained = shaken(field(values, subdivisions=TWICE))
    trained.update(9, 10, Streams(0, 9))
    shaken(trained)
    fresh = field(values, subdivisions=TWICE, seed=1)
    load_state(fresh, {name: tensor.clone() for name, tensor in trained.state_dict().items()})
    for a, b in zip(vars(trained.surface()).values(), vars(fresh.surface()).values()):
        assert a is None or torch.equal(a, b)
    assert not fresh.update(9, 10, Streams(0, 9))


def test_a_state_of_another_resolution_is_refused():
    trained = field(subdivisions=Schedule.of(1))
    trained.update(0, 1, Streams(0, 0))
    with pytest.raises(DistillError, match="Use the settings|wired"):
        load_state(field(resolution=20), trained.state_dict())


@pytest.mark.parametrize("values", ["vertices", "network"])
def test_gradients_reach_every_group(values):
    module = shaken(field(values))
    surface = module.surface()
    (signed_volume(surface.vertices, surface.faces) + module.features(surface.vertices).sum()
     + surface.normals.square()[:, 0].sum()).backward()
    groups = module.parameter_groups()
    assert set(groups) <= set(module.groups) and set(groups) == (
        {"sdf", "deformation", "encoding", "network"} if values == "vertices" else {"encoding", "network"})
    grouped = [parameter for group in groups.values() for parameter in group]
    assert len(grouped) == len(set(grouped)) == len(list(module.parameters()))
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in grouped)


def test_a_larger_distance_makes_the_ball_smaller():
    module = field(resolution=24)
    gradient, = torch.autograd.grad(signed_volume((s := module.surface()).vertices, s.faces), module.shape.sdf)
    # Distances are in edges, so that moving all of them by 1 moves the surface by an edge.
    assert gradient.sum().item() == pytest.approx(-4 * math.pi * 0.25 * module.recipe.edge, rel=0.05)


def test_features_of_what_was_learned():
    box = torch.tensor([[-0.5, -0.4, -0.3], [0.5, 0.6, 0.7]])
    source = FEATURES.build(3, box)
    with torch.no_grad():
        source.table.normal_()
    learned = source.learned()
    assert isinstance(learned, Learned) and not learned.table.requires_grad
    x = torch.rand(20, 3) - 0.3
    for channels in (2, 3, 8):
        module = TetGrid(resolution=8, features=FeatureGrid(3, 2, 8, 4, 16, 8, learned)).build(channels)
        expected = torch.nn.functional.pad(source(x), (0, max(0, channels - 3)))[:, :channels]
        torch.testing.assert_close(module.features(x), expected)


def test_an_initial_surface_fits_its_lattice_only():
    units = TetGrid(resolution=8).build(3).grid
    module = TetGrid(resolution=8, initial=InitialValues(units.norm(dim=1) - 0.7)).build(3)
    assert (module.surface().vertices.norm(dim=1) - 0.7).abs().max() < 0.15
    with pytest.raises(DistillError, match="resolution"):
        TetGrid(resolution=10, initial=InitialValues(units.norm(dim=1))).build(3)


def test_nothing_inside_gives_nothing():
    module = field(initial=InitialEllipsoid((1e-3,) * 3), subdivisions=Schedule.of(1))
    with torch.no_grad():
        module.shape.sdf.abs_().add_(0.1)
    module.update(0, 1, Streams(0, 0))
    surface = module.surface()
    assert surface.vertices.shape == (0, 3) and surface.faces.shape == (0, 3) and surface.normals.shape == (0, 3)


@pytest.mark.parametrize("wrong, message", [
    (dict(values="voxels"), "values"), (dict(box=((0.0,) * 3, (0.0,) * 3)), "empty"),
    (dict(features=FeatureGrid(base=32, finest=16)), "finest")])
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(DistillError, match=message):
        TetGrid(**wrong)
    with pytest.raises(DistillError, match="radii"):
        InitialEllipsoid((1.0, 0.0, 1.0))


def test_widgets_start_with_the_recipes_numbers():
    defaults = {widget.id: widget.default
                for widget in TetGridNode.define_schema().inputs if widget.default is not None}
    assert TetGridNode.execute(**defaults).args[0] == TetGrid()


@pytest.mark.parametrize("resolution", [32, 64])
def test_a_published_rate_moves_the_surface_as_little_at_every_resolution(resolution):
    """100 Adam steps of 0.01 on gradients that are pure noise: the surface gets rough by a fraction of an edge and
    grows few faces. With distances in world units, the same steps tripled the faces at 64."""
    module = field(resolution=resolution, initial=InitialEllipsoid((0.7,) * 3))
    before = len(module.surface().faces)
    optimizer = torch.optim.Adam([module.shape.sdf], lr=0.01, betas=(0.9, 0.99), eps=1e-15)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        module.shape.sdf.grad = torch.randn(module.shape.sdf.shape, generator=generator)
        optimizer.step()
    surface = module.surface()
    assert len(surface.faces) < 1.05 * before
    assert (surface.vertices.norm(dim=1) - 0.7).abs().mean() < 0.15 * module.recipe.edge


def test_a_schedule_beyond_the_widget_s_limit_is_refused_at_once():
    with pytest.raises(DistillError, match="subdivisions reaches 100000"):
        TetGrid(resolution=8, subdivisions=Schedule.of(1e5)).build(3)
