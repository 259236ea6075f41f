import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import (
    compact,
    face_areas,
    face_normals,
    is_watertight,
    non_manifold_edges,
    signed_volume,
    unique_edges,
    vertex_normals,
)

TET = torch.tensor([[0., 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
TET_FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def test_normals_areas_and_volume_of_a_tetrahedron():
    third = 3 ** -0.5
    expected = torch.tensor([[0, 0, -1], [0, -1, 0], [-1, 0, 0], [third, third, third]], dtype=torch.float64)
    torch.testing.assert_close(face_normals(TET, TET_FACES), expected)
    torch.testing.assert_close(face_areas(TET, TET_FACES), torch.tensor([.5, .5, .5, 3 ** .5 / 2]).double())
    assert signed_volume(TET + 5, TET_FACES).item() == pytest.approx(1 / 6)
    assert signed_volume(TET, TET_FACES.flip(1)).item() == pytest.approx(-1 / 6)


def test_vertex_normals_weigh_by_area():
    # One unit right triangle facing +z, one of four times the area facing +x, sharing the origin.
    vertices = torch.tensor([[0., 0, 0], [1, 0, 0], [0, 1, 0], [0, 2, 0], [0, 0, 2], [9, 9, 9]])
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 3, 4]]))
    torch.testing.assert_close(normals[0], torch.tensor([4.0, 0, 1]) / 17 ** 0.5)
    torch.testing.assert_close(normals[4], torch.tensor([1.0, 0, 0]))
    assert normals[5].eq(0).all()


def test_vertex_normals_of_a_sphere_are_radial():
    axis = torch.linspace(-1, 1, 24)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    vertices, faces = isosurface(0.8 - points.norm(dim=-1), 0.0, [[-1.0] * 3, [1.0] * 3])
    radial = vertices / vertices.norm(dim=1, keepdim=True)
    assert (vertex_normals(vertices, faces) * radial).sum(1).mean() > 0.995


def test_a_face_without_area_has_no_normal_and_no_gradient():
    vertices = torch.tensor([[0., 0, 0], [1, 1, 1], [2, 2, 2]], requires_grad=True)
    normals = face_normals(vertices, torch.tensor([[0, 1, 2], [1, 1, 0]]))
    normals.sum().backward()
    assert normals.eq(0).all() and vertices.grad.eq(0).all()


@pytest.mark.parametrize("size", [1e-3, 1e-7, 1e-9])
def test_normals_of_small_triangles_keep_their_gradient(size):
    # A surface that just misses a corner of the lattice cuts off triangles of any size.
    vertices = (size * TET.float()).requires_grad_()
    weights = torch.tensor([[1., 2, 3], [4, 5, 6], [-7, 8, 9], [1, 1, -2]])
    (vertex_normals(vertices, TET_FACES) * weights).sum().backward()
    unit = TET.clone().requires_grad_()
    (vertex_normals(unit, TET_FACES) * weights).sum().backward()
    torch.testing.assert_close(vertices.grad * size, unit.grad.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("function", [face_normals, vertex_normals, signed_volume])
def test_gradcheck(function):
    assert torch.autograd.gradcheck(lambda v: function(v, TET_FACES), TET.clone().requires_grad_())


def test_unique_edges():
    edges, face_edges = unique_edges(TET_FACES)
    assert edges.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    following = TET_FACES.roll(-1, 1)
    expected = torch.stack([torch.minimum(TET_FACES, following), torch.maximum(TET_FACES, following)], 2)
    assert torch.equal(edges[face_edges], expected)
    edges, face_edges = unique_edges(TET_FACES[:0])
    assert edges.shape == (0, 2) and face_edges.shape == (0, 3)


def test_is_watertight():
    assert is_watertight(TET_FACES)
    assert is_watertight(torch.cat([TET_FACES, TET_FACES + 4]))
    assert not is_watertight(TET_FACES[:3])
    turned = TET_FACES.clone()
    turned[0] = turned[0].flip(0)
    assert not is_watertight(turned)
    assert not is_watertight(torch.cat([TET_FACES, TET_FACES]))
    assert not is_watertight(torch.tensor([[0, 0, 1], [0, 1, 1]]))
    assert not is_watertight(TET_FACES[:0])


def test_non_manifold_edges():
    assert non_manifold_edges(TET_FACES) == 0 == non_manifold_edges(TET_FACES[:0])
    fin = torch.tensor([[0, 1, 4], [1, 0, 5], [4, 5, 6]])
    # four faces at one edge count once
    assert non_manifold_edges(torch.cat([TET_FACES, fin])) == 1


def test_compact_keeps_geometry():
    vertices = torch.arange(21.0).view(7, 3)
    faces = torch.tensor([[6, 2, 4], [4, 2, 6]])
    renumbered, kept = compact(faces, 7)
    assert kept.tolist() == [2, 4, 6]
    assert torch.equal(vertices[kept][renumbered], vertices[faces])


def test_empty_mesh():
    vertices, faces = torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)
    assert face_normals(vertices, faces).shape == (0, 3) and vertex_normals(vertices, faces).shape == (0, 3)
    assert compact(faces, 3)[1].shape == (0,)


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match="vertices"):
        face_normals(torch.zeros(1, 4, 3), TET_FACES)
    with pytest.raises(ShapeError, match="faces"):
        vertex_normals(TET, TET_FACES[:, :2])
