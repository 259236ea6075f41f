import math

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.hash_grid_sdf import HashGridSDF, HashGridSDFNode
from distill3d.nodes.fields.initial_surface import InitialEllipsoid

SMALL = FeatureGrid(levels=4, log2_size=10, base=4, finest=24, width=16)


def build(channels=3, **settings):
    torch.manual_seed(0)
    return HashGridSDF(grid=SMALL, **settings).build(channels)


def points(count=200, radius=1.1):
    return (2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) - 1) * radius


def test_it_begins_as_its_sphere():
    field, x = build(), points()
    found = field(x, normals=True)
    true = x.norm(dim=-1) - 0.5
    torch.testing.assert_close(found.sdf, true, atol=1e-4, rtol=0)
    assert torch.equal(field.sdf(x), found.sdf) and torch.equal(field.density(x), found.density)
    assert found.features.shape == (200, 3) and found.sdf[x.norm(dim=-1) < 0.4].max() < 0
    at_surface = field.density(torch.nn.functional.normalize(x, dim=-1) / 2)
    torch.testing.assert_close(at_surface, torch.full((200,), 10.0), atol=0.05, rtol=0)


@pytest.mark.parametrize("scheme, error", [("central", 2e-3), ("forward", 2e-2)])
def test_normals_are_the_spheres(scheme, error):
    """At the surface; forward differences lean by about step / (2 radius) = 0.01."""
    x = torch.nn.functional.normalize(points(), dim=-1) * 0.5
    with torch.no_grad():
        found = build(scheme=scheme)(x, normals=True)
    assert (found.normal - 2 * x).norm(dim=-1).max() < error
    assert (found.gradient.norm(dim=-1) - 1).abs().max() < error
    torch.testing.assert_close(found.normal.norm(dim=-1), torch.ones(200))


def test_an_ellipsoid_has_its_radii():
    field = build(initial=InitialEllipsoid((0.3, 0.5, 0.8)))
    ends = torch.tensor([[0.3, 0, 0], [0, -0.5, 0], [0, 0, 0.8]])
    torch.testing.assert_close(field.sdf(ends), torch.zeros(3), atol=1e-4, rtol=0)


def test_gradients_reach_every_parameter_once():
    field = build()
    found = field(points(), normals=True)
    (found.density.sum() + found.features.sin().sum() + found.gradient.square().sum()).backward()
    groups = field.parameter_groups()
    assert set(groups) == {"encoding", "network", "variance"}
    grouped = [parameter for parameters in groups.values() for parameter in parameters]
    assert sorted(map(id, grouped)) == sorted(map(id, field.parameters()))
    assert all(parameter.grad.abs().sum() > 0 for parameter in grouped)


def test_sharpness_is_published():
    field = build(sharpness=math.exp(3))
    assert field.variance.item() == pytest.approx(0.3)
    assert field.sharpness.item() == pytest.approx(math.exp(3), rel=1e-5)
    with torch.no_grad():
        field.variance.fill_(50.0)
    assert torch.isfinite(field(points(), normals=True).density).all()


def test_step_and_levels_only_become_finer():
    field = build(epsilon=Schedule(((0, 0.1), (10, 0.01))), active_levels=Schedule(((0, 1), (10, 4))))
    seen = []
    for step in (0, 5, 10, 0):
        field.update(step, 20, Streams(0, step))
        seen.append((round(float(field.epsilon), 4), int(field.active)))
    assert seen == [(0.1, 1), (0.055, 2), (0.01, 4), (0.01, 4)]
    fresh = build()
    fresh.load_state_dict(field.state_dict())
    assert float(fresh.epsilon) == pytest.approx(0.01) and int(fresh.active) == 4


def test_a_longer_step_sees_smoother_normals():
    ripples, x = build(), torch.nn.functional.normalize(points(), dim=-1) * 0.5
    with torch.no_grad():
        ripples.network.table.normal_(std=0.2)
        errors = []
        for step in (0.2, 0.01):
            ripples.epsilon.fill_(step)
            errors.append((ripples(x, normals=True).normal - 2 * x).norm(dim=-1).mean().item())
    assert errors[0] < 0.7 * errors[1]


def test_no_points():
    found = build()(torch.zeros(0, 3), normals=True)
    assert found.sdf.shape == (0,) and found.features.shape == (0, 3) and found.gradient.shape == (0, 3)


def test_the_node():
    assert HashGridSDFNode.execute().args[0] == HashGridSDF()
    ramp = Schedule(((0, 0.1), (10, 0.01)))
    recipe = HashGridSDFNode.execute(radius=2.0, radius_z=0.8, epsilon=ramp, differences="forward", levels=4).args[0]
    assert recipe.initial.radii == (0.5, 0.5, 0.8) and recipe.epsilon is ramp and recipe.grid.levels == 4
    for wrong in (dict(epsilon=0.0), dict(sharpness=0.0), dict(differences="backward"), dict(base=64, finest=32)):
        with pytest.raises(DistillError, match="^Hash Grid SDF"):
            HashGridSDFNode.execute(**wrong)
