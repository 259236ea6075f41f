import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.quaternion import multiply, rotation_matrices, turning_z_to

HALF = math.sqrt(0.5)


@pytest.mark.parametrize("quaternion, matrix", [
    ([1.0, 0, 0, 0], [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]),
    ([HALF, 0, 0, HALF], [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),    # a quarter around z: x -> y
    ([HALF, HALF, 0, 0], [[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),    # around x: y -> z
    ([3.0, 0, 3, 0], [[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]),        # around y: z -> x, and of any length
])
def test_known_rotations(quaternion, matrix):
    found = rotation_matrices(torch.tensor([quaternion]))[0]
    torch.testing.assert_close(found, torch.tensor(matrix), atol=1e-6, rtol=0)


def test_random_rotations_are_rotations():
    matrices = rotation_matrices(torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(50, dtype=torch.float64))


def test_a_product_turns_by_one_and_then_by_the_other():
    left, right = torch.randn(2, 30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(rotation_matrices(multiply(left, right)),
                               rotation_matrices(left) @ rotation_matrices(right))
    torch.testing.assert_close(multiply(left[:1], right), torch.cat([multiply(left[:1], one[None]) for one in right]))


def test_gradients():
    quaternions = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    torch.autograd.gradcheck(rotation_matrices, quaternions)


def test_z_is_turned_to_the_direction():
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(2)), dim=-1)
    directions = torch.cat([directions, torch.eye(3), -torch.eye(3)])
    quaternions = turning_z_to(directions)
    torch.testing.assert_close(quaternions.norm(dim=-1), torch.ones(len(directions)))
    torch.testing.assert_close(rotation_matrices(quaternions)[..., 2], directions, atol=1e-5, rtol=0)
    shortest = torch.acos(directions[:, 2].clamp(-1, 1)) / 2
    torch.testing.assert_close(quaternions[:, 0], torch.cos(shortest), atol=1e-4, rtol=0)


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="quaternions"):
        rotation_matrices(torch.zeros(4))
    with pytest.raises(ShapeError, match="directions"):
        turning_z_to(torch.zeros(2, 4))
