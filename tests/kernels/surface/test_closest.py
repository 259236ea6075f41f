import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.surface.closest import barycentric_of_nearest, closest_points
from distill3d.kernels.surface.isosurface import isosurface


def ball(size=17):
    line = torch.linspace(-1, 1, size)
    x = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    return isosurface(0.7 - x.norm(dim=-1), 0.0, [[-1] * 3, [1] * 3])


def brute_force(points, vertices, faces):
    corners = vertices[faces].expand(len(points), -1, -1, -1)
    weights = barycentric_of_nearest(points.repeat_interleave(len(faces), 0), corners.reshape(-1, 3, 3))
    place = (weights[..., None] * corners.reshape(-1, 3, 3)).sum(1).view(len(points), len(faces), 3)
    return (place - points[:, None]).norm(dim=2).amin(1)


def distance_of(points, vertices, faces, face, weights):
    return ((weights[..., None] * vertices[faces[face]]).sum(1) - points).norm(dim=1)


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.5])
def test_it_is_the_nearest(spread):
    vertices, faces = ball()
    generator = torch.Generator().manual_seed(0)
    points = vertices[::23] + spread * torch.randn(len(vertices[::23]), 3, generator=generator)
    face, weights = closest_points(points, vertices, faces, 10.0)
    assert int(face.min()) >= 0
    assert float(weights.min()) >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(len(points)))
    torch.testing.assert_close(distance_of(points, vertices, faces, face, weights),
                               brute_force(points, vertices, faces), atol=1e-5, rtol=1e-4)


def test_points_out_of_reach_have_no_face():
    vertices, faces = ball()
    points = torch.tensor([[0.0, 0, 0.75], [0, 0, 0.85], [0, 0, 0], [9, 9, 9]])
    face, weights = closest_points(points, vertices, faces, 0.1)
    assert (face >= 0).tolist() == [True, False, False, False]
    assert weights.sum(1).tolist() == pytest.approx([1, 0, 0, 0])


def test_faces_of_all_sizes_and_without_area():
    # A large floor, a tiny triangle above it, a segment and a point.
    vertices = torch.tensor([[-50.0, -50, 0], [50, -50, 0], [0, 90, 0], [0, 0, 1], [0.01, 0, 1], [0, 0.01, 1],
                             [3, 0, 1], [3, 0, 2], [6, 0, 1]])
    faces = torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 6], [8, 8, 8]])
    points = torch.tensor([[0.0, 0, 0.4], [0.0, 0, 0.9], [2.9, 0, 1.5], [6, 0.1, 1], [20.0, 0, -0.3]])
    face, weights = closest_points(points, vertices, faces, 5.0)
    assert face.tolist() == [0, 1, 2, 3, 0]
    torch.testing.assert_close(distance_of(points, vertices, faces, face, weights),
                               torch.tensor([0.4, 0.1, 0.1, 0.1, 0.3]), atol=1e-5, rtol=0)


def test_chunks_change_nothing():
    vertices, faces = ball(13)
    points = 0.1 + 1.2 * vertices[::3]
    whole, pieces = (closest_points(points, vertices, faces, 2.0, chunk=chunk) for chunk in (1 << 20, 997))
    assert torch.equal(whole[0], pieces[0]) and torch.equal(whole[1], pieces[1])


def test_nothing_to_find_and_wrong_shapes():
    nothing = closest_points(torch.zeros(2, 3), torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), 1.0)
    assert nothing[0].tolist() == [-1, -1]
    assert len(closest_points(torch.zeros(0, 3), *ball(9), 1.0)[0]) == 0
    with pytest.raises(ShapeError, match="points"):
        closest_points(torch.zeros(2, 2), *ball(9), 1.0)


def test_gradients_of_barycentric_coordinates():
    """Points above the inside, an edge and a corner of their triangle, where none of it changes."""
    corners = torch.tensor([[[0.0, 0, 0], [1, 0, 0.1], [0, 1, 0.2]]] * 3).double()
    points = torch.tensor([[0.2, 0.3, 0.5], [0.5, -0.4, 0.3], [-0.3, -0.5, 0.2]]).double()
    weights = barycentric_of_nearest(points, corners)
    assert [(row > 0).sum().item() for row in weights] == [3, 2, 1]
    assert gradcheck(barycentric_of_nearest, (points.requires_grad_(), corners.requires_grad_()))
