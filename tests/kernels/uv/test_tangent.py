import pytest
import torch
import torch.nn.functional as F

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.uv.tangent import from_tangent_space, to_tangent_space, vertex_tangents

# A square in the plane z = 0, seen from +z: x to the right, y up, and a texture that lies upright on it.
SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
UPRIGHT = torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0]])
NORMALS = torch.tensor([[0.0, 0, 1]]).expand(4, 3)


def test_the_tangent_follows_u_and_y_points_to_the_top_of_the_texture():
    tangent = vertex_tangents(SQUARE, FACES, UPRIGHT, NORMALS)
    torch.testing.assert_close(tangent, torch.tensor([[1.0, 0, 0, 1]]).expand(4, 4))
    mirrored = vertex_tangents(SQUARE, FACES, UPRIGHT * torch.tensor([-1.0, 1]) + torch.tensor([1.0, 0]), NORMALS)
    torch.testing.assert_close(mirrored, torch.tensor([[-1.0, 0, 0, -1]]).expand(4, 4))
    for frame in (tangent, mirrored):
        up = from_tangent_space(torch.tensor([[0.0, 1, 0]]).expand(4, 3), NORMALS, frame)
        torch.testing.assert_close(up, torch.tensor([[0.0, 1, 0]]).expand(4, 3))


def test_round_trip_with_interpolated_frames():
    generator = torch.Generator().manual_seed(0)
    normal = F.normalize(torch.randn(500, 3, generator=generator), dim=1)
    tangent = torch.randn(500, 3, generator=generator)
    tangent = torch.cat([tangent, torch.randint(2, (500, 1), generator=generator) * 2.0 - 1], 1)
    direction = F.normalize(normal + 0.3 * torch.randn(500, 3, generator=generator), dim=1)
    back = from_tangent_space(to_tangent_space(direction, 0.7 * normal, tangent), 0.7 * normal, tangent)
    apart = torch.rad2deg(torch.acos((back * direction).sum(1).clamp(-1, 1)))
    sine = torch.linalg.cross(normal, F.normalize(tangent[:, :3], dim=1)).norm(dim=1)
    assert float(apart[sine > 0.1].max()) < 0.1
    assert torch.allclose(to_tangent_space(normal, normal, tangent)[sine > 0.1], torch.tensor([0.0, 0, 1]), atol=1e-4)


def test_uvs_without_area_give_some_tangent():
    tangent = vertex_tangents(SQUARE, FACES, torch.zeros(4, 2), NORMALS)
    torch.testing.assert_close(tangent[:, :3].norm(dim=1), torch.ones(4))
    assert float((tangent[:, :3] * NORMALS).sum(1).abs().max()) < 1e-6 and bool((tangent[:, 3].abs() == 1).all())


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match="uv"):
        vertex_tangents(SQUARE, FACES, UPRIGHT[:3], NORMALS)
