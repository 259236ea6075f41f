import pytest
import torch
import torch.nn.functional as F

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.initial import InitialDensity
from distill3d.nodes.fields.voxel_volume import VoxelVolume, VoxelVolumeNode, halved

PLAIN = InitialDensity("softplus", "none")


def place(x, radius=1.15):
    return (x / radius).view(1, 1, 1, -1, 3)


def points(count=40):
    return 2 * torch.rand(count, 3) - 1


def test_the_value_is_the_sum_of_trilinear_levels():
    """Levels whose nodes coincide: adding up the grids first and sampling once is then exact."""
    field = VoxelVolume(resolutions=(3, 5, 9), initial=PLAIN).build(2)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.normal_()
    x = points()
    sample = lambda grid: F.grid_sample(grid, place(x), align_corners=True).view(grid.shape[1], -1)  # noqa: E731
    density = sum(sample(level) for level in field.raw_density)[0]
    features = sum(sample(level) for level in field.raw_features).t()
    found = field(x)
    torch.testing.assert_close(found.density, F.softplus(density), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.features, features, atol=1e-5, rtol=1e-5)


def test_axes_are_x_y_z():
    field = VoxelVolume(radius=1.0, resolutions=(3,), initial=PLAIN).build(1)
    with torch.no_grad():
        field.raw_density[0][0, 0, 0, 1, 2] = 7.0  # z lowest, y middle, x highest
    found = field(torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0]]), normals=True)
    torch.testing.assert_close(found.density, F.softplus(torch.tensor([7.0, 0.0])))
    assert found.normal[0].tolist() == pytest.approx([-0.5 ** 0.5, 0.0, 0.5 ** 0.5])


def test_the_resized_grid_is_trilinear():
    field = VoxelVolume(resolutions=(4, 7), initial=PLAIN).build(1)
    with torch.no_grad():
        field.raw_density[0].normal_()
    density, _ = field.grid()
    expected = F.interpolate(field.raw_density[0], size=(7, 7, 7), mode="trilinear", align_corners=True)
    torch.testing.assert_close(density, expected, atol=1e-6, rtol=1e-5)


def test_an_odd_number_of_points_and_a_large_one():
    field, x = VoxelVolume(resolutions=(6,)).build(3), points(2049)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.normal_()
    whole, parts = field(x), [field(part) for part in x.split(500)]
    torch.testing.assert_close(whole.density, torch.cat([part.density for part in parts]))
    torch.testing.assert_close(whole.features, torch.cat([part.features for part in parts]))


def test_the_kept_grid_follows_the_parameters():
    field, x = VoxelVolume(resolutions=(4, 8)).build(3), points()
    with torch.no_grad():
        before = field.density(x)
        assert torch.equal(field.density(x), before)
        kept = field._kept[1]
        field.density(x)
        assert field._kept[1] is kept
        field.raw_density[1] += 1
        assert not torch.equal(field.density(x), before)
        field.load_state_dict({name: torch.zeros_like(value) for name, value in field.state_dict().items()})
        assert (field(x).features == 0).all()


def test_levels_join_and_never_leave():
    field = VoxelVolume(resolutions=(4, 8, 16), levels=Schedule(((0.0, 1.0), (10.0, 3.0))), initial=PLAIN).build(1)
    with torch.no_grad():
        for number, level in enumerate(field.raw_features):
            level.fill_(10.0 ** number)
    values = []
    for step in (0, 4, 5, 10, 0):
        field.update(step, 100, Streams(0, step))
        values.append(round(field(torch.zeros(1, 3)).features.item()))
    assert values == [1, 1, 11, 111, 111]


def test_density_scale_multiplies():
    x = points()
    low, high = (VoxelVolume(resolutions=(4,), initial=InitialDensity(scale=scale)).build(3) for scale in (1.0, 3.0))
    torch.testing.assert_close(3 * low.density(x), high.density(x))


def test_resolutions():
    assert halved(48, 3) == (12, 24, 48) and halved(5, 8) == (2, 5) and halved(40, 1) == (40,)
    with pytest.raises(DistillError, match="rise"):
        VoxelVolume(resolutions=(8, 8))


def test_the_node():
    assert VoxelVolumeNode.execute().args[0] == VoxelVolume()
    recipe = VoxelVolumeNode.execute(radius=2.0, resolution=64, pyramid_levels=2, blob="none",
                                     density_scale=1.0).args[0]
    assert recipe.resolutions == (32, 64) and recipe.radius == 2.0 and recipe.initial == PLAIN
    assert hash(recipe) == hash(VoxelVolumeNode.execute(2.0, blob="none", density_scale=1.0, resolution=64,
                                                        pyramid_levels=2).args[0])
