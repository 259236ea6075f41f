import pytest
import torch

from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import face_normals, is_watertight, signed_volume
from distill3d.kernels.surface.smooth import taubin_smooth

TETRAHEDRON = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def stepped_ball():
    """A ball of 0 and 1: its isosurface has the steps of the grid."""
    line = torch.linspace(-1, 1, 25)
    x = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    return isosurface((x.norm(dim=-1) < 0.7).float(), 0.5, [[-1] * 3, [1] * 3])


def slant(vertices, faces):
    """Mean squared sine between the faces of a ball and the sphere."""
    outward = torch.nn.functional.normalize(vertices[faces].mean(1), dim=1)
    return float((1 - (face_normals(vertices, faces) * outward).sum(1).square()).mean())


def test_one_iteration_by_hand():
    # All are neighbours of all: the mean of the others is (4 m - v) / 3, so v - m is scaled by 1 - 4/3 step.
    moved = taubin_smooth(TETRAHEDRON, FACES, 1, shrink=0.3, inflate=-0.4)
    middle = TETRAHEDRON.mean(0)
    expected = middle + (1 - 0.4) * (1 + 1.6 / 3) * (TETRAHEDRON - middle)
    torch.testing.assert_close(moved, expected)


def test_smooths_steps_and_keeps_volume():
    vertices, faces = stepped_ball()
    smooth = taubin_smooth(vertices, faces, 10)
    assert slant(smooth, faces) < 0.6 * slant(vertices, faces)
    assert abs(float(signed_volume(smooth, faces) / signed_volume(vertices, faces)) - 1) < 0.02
    assert is_watertight(faces)


def test_nothing_to_do():
    vertices, faces = stepped_ball()
    assert taubin_smooth(vertices, faces, 0) is vertices
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert torch.equal(taubin_smooth(vertices, none, 3), vertices)


def test_lonely_vertices_stay():
    vertices = torch.cat([TETRAHEDRON, torch.tensor([[5.0, 6, 7]], dtype=torch.float64)])
    assert torch.equal(taubin_smooth(vertices, FACES, 3)[4], vertices[4])


def test_gradient():
    vertices = TETRAHEDRON.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: taubin_smooth(v, FACES, 2), vertices)


@pytest.mark.parametrize("numbers",
                         [dict(iterations=-1), dict(iterations=1, shrink=0), dict(iterations=1, inflate=0.1)])
def test_numbers_out_of_range(numbers):
    with pytest.raises(ValueError, match="taubin_smooth"):
        taubin_smooth(TETRAHEDRON, FACES, **numbers)
