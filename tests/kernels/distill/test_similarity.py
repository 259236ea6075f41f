import math

import pytest
import torch
import torch.nn.functional as F

from distill3d.kernels.distill.similarity import MEASURES, embedding_distance, rank_of_own


def test_distances_of_known_angles():
    one = torch.tensor([[1.0, 0.0]]).double().expand(3, 2)
    other = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]).double()
    assert embedding_distance(one, other).tolist() == [0, 1, 2]
    found = embedding_distance(one, other, "spherical")
    assert found[0] == pytest.approx(0, abs=1e-9) and found[1] == pytest.approx(0.5 * (math.pi / 2)**2, rel=1e-6)
    assert found[2] == pytest.approx(0.5 * math.pi**2, rel=2e-3)


@pytest.mark.parametrize("measure", MEASURES)
def test_gradients(measure):
    torch.manual_seed(0)
    one, other = torch.randn(2, 3, 4).double()
    one.requires_grad_()
    torch.autograd.gradcheck(lambda x: embedding_distance(F.normalize(x, dim=1), F.normalize(other, dim=1), measure),
                             one)
    with pytest.raises(ValueError, match="measure"):
        embedding_distance(one, other, "angle")


def test_rank():
    texts = torch.eye(3)
    pictures = F.normalize(torch.tensor([[3.0, 2, 1], [3, 2, 1], [1, 2, 3]]), dim=1)
    assert rank_of_own(pictures, texts, torch.tensor([0, 2, 1])).tolist() == [0, 2, 1]
