import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.fields.triplane_volume import TriplaneVolume, TriplaneVolumeNode, _interpolate, _sample


def test_each_plane_sees_its_two_coordinates():
    field = TriplaneVolume(resolution=5, features=1, combine="concat").build(3)
    line = torch.linspace(-1, 1, 5)
    with torch.no_grad():  # first coordinate across, second down
        field.planes.copy_((line[None, :] + 10 * line[:, None]).expand(3, 1, 5, 5))
    x = torch.tensor([[0.3, -0.5, 0.8]])
    encoded = field.encode(x * 1.15, None)
    torch.testing.assert_close(encoded, torch.tensor([[0.3 - 5.0, 0.3 + 8.0, -0.5 + 8.0]]))


def test_sum_and_concat():
    torch.manual_seed(0)
    joined = TriplaneVolume(resolution=6, features=2, combine="concat").build(3)
    torch.manual_seed(0)
    summed = TriplaneVolume(resolution=6, features=2, combine="sum").build(3)
    x = 2 * torch.rand(10, 3) - 1
    torch.testing.assert_close(joined.encode(x, None).view(10, 3, 2).sum(1), summed.encode(x, None))


def test_the_two_ways_to_interpolate_agree():
    planes, place = torch.randn(3, 2, 7, 7, dtype=torch.float64), 2.4 * torch.rand(3, 50, 2, dtype=torch.float64) - 1.2
    torch.testing.assert_close(_sample(planes, place), _interpolate(planes, place))


def test_interpolation_is_differentiable_twice():
    planes = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    place = (1.6 * torch.rand(3, 3, 2, dtype=torch.float64) - 0.8).requires_grad_()
    assert torch.autograd.gradcheck(_interpolate, (planes, place))
    assert torch.autograd.gradgradcheck(_interpolate, (planes, place))


def test_the_node():
    assert TriplaneVolumeNode.execute().args[0] == TriplaneVolume()
    assert TriplaneVolumeNode.execute(combine="concat", resolution=32).args[0].resolution == 32
    with pytest.raises(DistillError, match="product"):
        TriplaneVolumeNode.execute(combine="product")
