"""What every volume field promises (nodes.core.field.VolumeField)."""
import pytest
import torch

from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.encoded_volume import VolumeSettings
from distill3d.nodes.fields.hash_grid_volume import HashGridVolume
from distill3d.nodes.fields.initial import InitialDensity
from distill3d.nodes.fields.mlp_volume import MLPVolume
from distill3d.nodes.fields.triplane_volume import TriplaneVolume
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer

DIFFERENCES = VolumeSettings(normals="finite difference")
EXP = VolumeSettings(initial=InitialDensity("exp", "dreamfusion blob", 5.0, 0.4))
HASH = dict(levels=4, log2_size=10, base=4, finest=24, width=16)
FIELDS = {
    "hash grid": HashGridVolume(**HASH),
    "hash grid, differences": HashGridVolume(DIFFERENCES, **HASH),
    "hash grid, exp": HashGridVolume(EXP, **HASH),
    "voxel": VoxelVolume(resolutions=(6, 12, 25)),
    "triplane": TriplaneVolume(resolution=16, features=4, width=16),
    "triplane, analytic": TriplaneVolume(VolumeSettings(), resolution=16, features=4, combine="concat", width=16),
    "mlp": MLPVolume(octaves=3, depth=2, width=24),
    "mlp, integrated": MLPVolume(octaves=3, depth=2, width=24, encoding="integrated"),
}
every_field = pytest.mark.parametrize("recipe", FIELDS.values(), ids=FIELDS.keys())


def build(recipe, channels=5):
    torch.manual_seed(0)
    return recipe.build(channels)


def inside(count, radius=1.1):
    return (2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) - 1) * radius


@every_field
def test_shapes_and_density(recipe):
    field, x = build(recipe), inside(50)
    found = field(x, torch.full((50, 3), 1e-4) if field.wants_variance else None, normals=True)
    assert found.density.shape == (50,) and found.features.shape == (50, 5) and found.normal.shape == (50, 3)
    assert (found.density >= 0).all()
    torch.testing.assert_close(field(x).density, field.density(x))
    assert field(x).normal is None
    assert field.bounds.tolist() == [[pytest.approx(-1.15)] * 3, [pytest.approx(1.15)] * 3]


@every_field
def test_normals_point_out_of_the_blob(recipe):
    x = torch.nn.functional.normalize(inside(64), dim=-1) * 0.45
    normal = build(recipe)(x, normals=True).normal
    torch.testing.assert_close(normal.norm(dim=-1), torch.ones(64))
    assert ((normal * x).sum(-1) / 0.45).min() > 0.85


@every_field
def test_normals_are_the_fall_of_density(recipe):
    """Against central differences of the field's own density, after its parameters have moved off the blob."""
    field = build(recipe)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    x = torch.nn.functional.normalize(inside(200), dim=-1) * 0.4
    step = 0.02
    with torch.no_grad():
        fall = torch.stack([field.density(x - step * axis) - field.density(x + step * axis) for axis in torch.eye(3)],
                           -1)
        normal = field(x, normals=True).normal
    agreement = (torch.nn.functional.normalize(fall, dim=-1) * normal).sum(-1)
    assert agreement.median() > 0.95


@every_field
def test_gradients_reach_every_parameter(recipe):
    field, x = build(recipe), inside(2000)
    field.update(0, 1, Streams(0, 0))
    found = field(x, normals=True)
    (found.density.sum() + found.features.sin().sum()).backward()
    for group, parameters in field.parameter_groups().items():
        for parameter in parameters:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, group
    grouped = [id(parameter) for parameters in field.parameter_groups().values() for parameter in parameters]
    assert sorted(grouped) == sorted(id(parameter) for parameter in field.parameters())


@every_field
def test_normals_can_be_trained(recipe):
    """Gradient descent on the normals alone turns them towards a given direction."""
    field = build(recipe)
    x = torch.nn.functional.normalize(inside(200), dim=-1) * 0.5
    target = torch.tensor([0.0, 0.0, 1.0])
    optimizer = torch.optim.Adam(field.parameters(), lr=0.02)
    scores = []
    for _ in range(15):
        score = (field(x, normals=True).normal * target).sum(-1).mean()
        scores.append(score.item())
        optimizer.zero_grad()
        (-score).backward()
        optimizer.step()
    assert scores[-1] > scores[0] + 0.1


@every_field
def test_a_few_steps_approach_a_target(recipe):
    """A cube of density 5 and red, green, blue halves, learned from points."""
    field, x = build(recipe, 3), inside(1500)
    solid = (x.abs().amax(-1) < 0.6).float() * 5
    color = (x > 0).float()
    optimizer = torch.optim.Adam(field.parameters(), lr=0.02)
    losses = []
    for _ in range(25):
        found = field(x)
        loss = (found.density - solid).abs().mean() + (found.features.sigmoid() - color).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.75 * losses[0]


@every_field
def test_no_points(recipe):
    found = build(recipe)(torch.zeros(0, 3), normals=True)
    assert found.density.shape == (0,) and found.features.shape == (0, 5) and found.normal.shape == (0, 3)
    assert found.density.requires_grad and found.features.requires_grad


@every_field
def test_same_seed_same_bytes_and_the_state_comes_back(recipe):
    scene = SceneRecipe(VolumeRenderer(), recipe, Albedo(), SolidBackground(), seed=3)
    one, two, other = scene.build(), scene.build(), SceneRecipe(VolumeRenderer(), recipe, Albedo(), SolidBackground(),
                                                                4).build()
    x = inside(20)
    assert torch.equal(one.field(x).features, two.field(x).features)
    assert not torch.equal(one.field(x).features, other.field(x).features)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter += 0.1
    again = scene.trained(one).build()
    assert torch.equal(again.field(x).density, one.field(x).density)
    assert torch.equal(again.field(x).features, one.field(x).features)


@every_field
def test_works_in_inference_mode(recipe):
    field, x = build(recipe), inside(30)
    expected = field(x, normals=True)
    with torch.inference_mode():
        found = field(x.clone(), normals=True)
    torch.testing.assert_close(found.normal, expected.normal.detach())
    assert not found.density.requires_grad and not found.normal.requires_grad
