import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.fields.mlp_volume import MLPVolume, MLPVolumeNode


def test_depth_and_width():
    field = MLPVolume(octaves=4, depth=2, width=10).build(3)
    assert [tuple(p.shape) for p in field.trunk.parameters()] == [(10, 27), (10,), (10, 10), (10,)]


def test_without_variance_the_two_encodings_see_the_same_waves():
    """Both count half waves per radius; the plain one has the position in front."""
    plain = MLPVolume(octaves=3, depth=1, width=8, encoding="frequency").build(3)
    integrated = MLPVolume(octaves=3, depth=1, width=8, encoding="integrated").build(3)
    plain.trunk = integrated.trunk = torch.nn.Identity()
    x = 2 * torch.rand(5, 3) - 1
    torch.testing.assert_close(plain.encode(x, None)[:, 3:], integrated.encode(x, None), atol=1e-5, rtol=1e-4)


def test_variance_fades_the_fine_waves():
    field = MLPVolume(octaves=6, depth=1, width=8, encoding="integrated").build(3)
    field.trunk = torch.nn.Identity()
    x = 2 * torch.rand(50, 3) - 1
    waves = field.encode(x, torch.full((50, 3), 0.01)).view(50, 3, 6, 2).norm(dim=-1)
    assert waves[..., 0].min() > 0.9 and waves[..., 5].max() < 1e-3


def test_wants_variance():
    assert MLPVolume(encoding="integrated").build(3).wants_variance and not MLPVolume().build(3).wants_variance


def test_the_node():
    assert MLPVolumeNode.execute().args[0] == MLPVolume()
    recipe = MLPVolumeNode.execute(encoding="integrated", network_activation="softplus").args[0]
    assert recipe.encoding == "integrated" and recipe.activation == "softplus"
    with pytest.raises(DistillError, match="wavelet"):
        MLPVolumeNode.execute(encoding="wavelet")
