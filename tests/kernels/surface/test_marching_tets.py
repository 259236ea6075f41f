import math
from itertools import permutations

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.surface.marching_tets import marching_tets, surface_distance
from distill3d.kernels.surface.mesh import (
    face_areas,
    face_cross,
    face_normals,
    is_watertight,
    signed_volume,
    unique_edges,
)

TET = torch.tensor([[0., 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)


def lattice(size):
    """Cube lattice on [-1,1]^3 cut into positive-volume tetrahedra."""
    axis = torch.linspace(-1, 1, size, dtype=torch.float64)
    vertices = torch.cartesian_prod(axis, axis, axis)
    cell = torch.cartesian_prod(*[torch.arange(size - 1)] * 3)
    tets = []
    for order in permutations(range(3)):
        path = torch.zeros(4, 3, dtype=torch.int64)
        for i, axis in enumerate(order):
            path[i + 1:, axis] = 1
        tets.append(((cell[:, None] + path) * torch.tensor([size * size, size, 1])).sum(2))
    tets = torch.cat(tets)
    corner = vertices[tets]
    negative = torch.linalg.det(corner[:, 1:] - corner[:, :1]) < 0
    tets[negative] = tets[negative][:, [1, 0, 2, 3]]
    return vertices, tets


@pytest.mark.parametrize("case", range(16))
def test_every_case_separates_the_signs_and_faces_outward(case):
    size = torch.tensor([0.3, 0.8, 0.5, 1.1], dtype=torch.float64)
    sdf = torch.where(torch.tensor([case >> i & 1 for i in range(4)]) == 1, -size, size)
    positions, faces = marching_tets(TET, sdf, torch.tensor([[0, 1, 2, 3]]))
    inside = bin(case).count("1")
    assert len(faces) == (0, 1, 2, 1, 0)[inside] and len(positions) == (0, 3, 4, 3, 0)[inside]
    gradient = sdf[1:] - sdf[0]                           # of the linear interpolant, which grows outward
    torch.testing.assert_close(positions @ gradient, -sdf[0].expand(len(positions)))
    if len(faces):
        direction = gradient / gradient.norm()
        torch.testing.assert_close(face_normals(positions, faces), direction.expand(len(faces), 3))


def test_sphere_is_closed_outward_and_round():
    vertices, tets = lattice(15)
    positions, faces = marching_tets(vertices, vertices.norm(dim=1) - 0.7, tets)
    assert is_watertight(faces)
    assert len(positions) - len(unique_edges(faces)[0]) + len(faces) == 2
    assert faces.unique().numel() == len(positions)
    assert (positions.norm(dim=1) - 0.7).abs().max() < 3 / 7**2 / (8 * 0.7)           # sagitta of the longest edge
    centre = positions[faces].mean(1)
    large = face_areas(positions, faces) > 1e-9
    assert ((face_cross(positions, faces) * centre).sum(1)[large] > 0).all()
    assert signed_volume(positions, faces).item() == pytest.approx(4 / 3 * math.pi * 0.7**3, rel=0.03)


def test_torus_has_euler_number_zero():
    vertices, tets = lattice(21)
    x, y, z = vertices.unbind(1)
    sdf = ((x.square() + y.square()).sqrt() - 0.6).square() + z.square() - 0.3**2
    positions, faces = marching_tets(vertices, sdf, tets)
    assert is_watertight(faces)
    assert len(positions) - len(unique_edges(faces)[0]) + len(faces) == 0


def test_zero_counts_as_outside_and_stays_closed():
    vertices, tets = lattice(5)                           # samples exactly on the surface of the octahedron
    positions, faces = marching_tets(vertices, vertices.abs().sum(1) - 1, tets)
    assert is_watertight(faces)
    torch.testing.assert_close(positions.abs().sum(1), torch.ones(len(positions), dtype=torch.float64))


def test_radius_gradient_is_the_surface_area():
    vertices, tets = lattice(15)
    radius = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    positions, faces = marching_tets(vertices, vertices.norm(dim=1) - radius, tets)
    gradient, = torch.autograd.grad(signed_volume(positions, faces), radius)
    assert gradient.item() == pytest.approx(4 * math.pi * 0.7**2, rel=0.02)


def test_gradcheck():
    vertices, tets = lattice(3)
    sdf = vertices.norm(dim=1) - 0.63
    sdf, vertices = sdf.requires_grad_(), vertices.requires_grad_()
    assert torch.autograd.gradcheck(lambda v, s: marching_tets(v, s, tets)[0], (vertices, sdf))


def test_no_crossing_and_empty_lattice():
    vertices, tets = lattice(3)
    for sdf in (torch.ones(27), -torch.ones(27)):
        positions, faces = marching_tets(vertices.float(), sdf, tets)
        assert positions.shape == (0, 3) and faces.shape == (0, 3) and faces.dtype == torch.int64
    positions, faces = marching_tets(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, 4, dtype=torch.int64))
    assert positions.shape == (0, 3) and faces.shape == (0, 3)


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match=r"sdf must have shape \[4\]"):
        marching_tets(TET, torch.ones(4, 1), torch.tensor([[0, 1, 2, 3]]))
    with pytest.raises(ShapeError, match="tets"):
        marching_tets(TET, torch.ones(4), torch.tensor([[0, 1, 2]]))


def test_surface_distance_is_exact_for_a_plane():
    vertices, tets = lattice(9)
    normal = torch.tensor([2.0, -1.0, 3.0], dtype=torch.float64) / 14**0.5
    true = vertices @ normal - 0.137
    found = surface_distance(vertices, tets, true < 0, lambda x: x @ normal < 0.137, far=0.3)
    touched = torch.zeros(len(true), dtype=torch.bool)
    touched[tets[(true < 0)[tets].any(1) & (true >= 0)[tets].any(1)].flatten()] = True
    assert torch.equal(found < 0, true < 0) and (found[~touched].abs() == 0.3).all()
    inner = touched & (vertices.abs() < 1).all(1)
    torch.testing.assert_close(found[inner], true[inner], atol=0.003, rtol=0)


def test_surface_distance_finds_a_ball_between_the_corners():
    vertices, tets = lattice(17)
    found = surface_distance(vertices, tets, vertices.norm(dim=1) < 0.7, lambda x: x.norm(dim=1) < 0.7, far=0.2)
    positions, faces = marching_tets(vertices, found, tets)
    assert is_watertight(faces) and (positions.norm(dim=1) - 0.7).abs().max() < 0.02
    assert (positions.norm(dim=1) - 0.7).abs().mean() < 0.003


def test_surface_distance_follows_inside():
    vertices, tets = lattice(9)
    found = surface_distance(vertices, tets, vertices.norm(dim=1) < 0.7,
                             lambda x: (x.norm(dim=1) - 0.5).abs() < 0.2, far=0.1)
    positions, faces = marching_tets(vertices, found, tets)
    assert is_watertight(faces) and positions.norm(dim=1).min() > 0.6       # no wall of the cavity is left
