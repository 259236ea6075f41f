import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.surface.mesh import vertex_normals
from distill3d.kernels.surface.regularize import laplacian, normal_consistency

TET = torch.tensor([[0., 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
TET_FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
QUAD = torch.tensor([[0., 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=torch.float64)
QUAD_FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_normal_consistency_counts_each_edge_once():
    normals = torch.tensor([[1., 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]])
    # Edges 01 12 02 23 03: cosines 0 0 0 -1 0.
    assert normal_consistency(normals, QUAD_FACES).item() == pytest.approx(6 / 5)
    assert normal_consistency(vertex_normals(QUAD, QUAD_FACES), QUAD_FACES) == 0


def test_laplacian_is_the_mean_length_of_the_rows():
    # In a tetrahedron everything is everyone's neighbour: a row is 4 v - sum of all.
    assert laplacian(TET, TET_FACES).item() == pytest.approx((4 * TET - TET.sum(0)).norm(dim=1).mean().item())
    degree = torch.diag(torch.tensor([3., 2, 3, 2]))
    adjacent = torch.tensor([[0., 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 1], [1, 0, 1, 0]])
    rows = (degree - adjacent).double() @ QUAD
    assert laplacian(QUAD, QUAD_FACES).item() == pytest.approx(rows.norm(dim=1).mean().item())


@pytest.mark.parametrize("measure", [
    laplacian, lambda vertices, faces: normal_consistency(vertex_normals(vertices, faces), faces)])
def test_gradcheck(measure):
    assert torch.autograd.gradcheck(lambda v: measure(v, TET_FACES), TET.clone().requires_grad_())


def test_gradient_is_finite_for_a_vertex_at_the_mean_of_its_neighbours():
    fan = torch.tensor([[0., 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], requires_grad=True)
    laplacian(fan, torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1]])).backward()
    assert fan.grad.isfinite().all()


def test_empty_input_costs_nothing():
    empty = torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)
    assert laplacian(*empty) == 0 and normal_consistency(*empty) == 0


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match="normals"):
        normal_consistency(torch.zeros(4, 2), TET_FACES)
    with pytest.raises(ShapeError, match="vertices"):
        laplacian(torch.zeros(4), TET_FACES)
