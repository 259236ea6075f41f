import math

import pytest
import torch

from distill3d.kernels.surface.marching_tets import marching_tets
from distill3d.kernels.surface.mesh import is_watertight, signed_volume
from distill3d.kernels.surface.tet_grid import LONGEST, SHORTEST, cell_tets, on_box, tet_edges, tet_grid


def volumes(vertices, tets):
    corners = vertices[tets].double()
    return torch.linalg.det(corners[:, 1:] - corners[:, :1]) / 6


def boundary(tets, count):
    """Triangles [N,3] that belong to one tetrahedron alone; no triangle may belong to more than two."""
    triangles = torch.cat([tets[:, corners] for corners in ([1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1])]).sort(1).values
    unique, times = torch.unique((triangles[:, 0] * count + triangles[:, 1]) * count + triangles[:, 2],
                                 return_counts=True)
    assert times.max() == 2
    single = unique[times == 1]
    return torch.stack([single // count**2, single // count % count, single % count], 1)


def test_the_cell_is_a15():
    tets = cell_tets()
    assert tets.shape == (46, 4, 3)
    assert volumes(tets.reshape(-1, 3), torch.arange(184).view(46, 4)).sum() == pytest.approx(64)
    squares = [int((tet[i] - tet[j]).square().sum()) for tet in tets for i in range(4) for j in range(i)]
    assert {length: squares.count(length) for length in set(squares)} == {4: 36, 5: 120, 6: 120}


@pytest.mark.parametrize("counts", [(4, 4, 4), (6, 8, 10), (16, 18, 12)])
def test_the_box_is_filled_exactly(counts):
    vertices, tets = tet_grid(counts)
    volume = volumes(vertices, tets)
    assert volume.min() > 0.33 and volume.sum().item() == pytest.approx(math.prod(counts))
    flat = boundary(tets, len(vertices))
    on_face = (vertices[flat] == 0) | (vertices[flat] == torch.tensor(counts))
    assert on_face.all(1).any(1).all()                    # the three corners lie on one and the same face
    assert torch.equal(on_box(vertices, counts).nonzero().squeeze(1), flat.unique())
    edges = tet_edges(tets, len(vertices))
    length = (vertices[edges[:, 0]] - vertices[edges[:, 1]]).norm(dim=1)
    inner = ~on_box(vertices, counts)[edges].any(1)
    assert length.min() >= 1 and length.max() <= LONGEST + 1e-6
    assert not inner.any() or length[inner].min() >= SHORTEST


def test_the_known_size():
    vertices, tets = tet_grid((64, 64, 64))               # Quartet's 64 grid: 36,562 vertices and 192,492 tetrahedra
    assert len(vertices) == pytest.approx(36_562, rel=0.01) and len(tets) == pytest.approx(192_492, rel=0.01)


@pytest.mark.parametrize("counts", [(5, 8, 8), (2, 8, 8)])
def test_odd_and_tiny_counts_are_refused(counts):
    with pytest.raises(ValueError, match="even and at least 4"):
        tet_grid(counts)


@pytest.mark.parametrize("seed", range(3))
def test_any_field_gives_a_closed_surface(seed):
    counts = (12, 8, 10)
    vertices, tets = tet_grid(counts)
    sdf = torch.randn(len(vertices), generator=torch.Generator().manual_seed(seed))
    sdf = torch.where(on_box(vertices, counts), sdf.abs() + 0.1, sdf)
    positions, faces = marching_tets(vertices, sdf, tets)
    assert is_watertight(faces) and signed_volume(positions, faces) > 0


def test_a_sphere_converges_with_the_square_of_the_resolution():
    errors = []
    for count in (16, 32, 64):
        vertices, tets = tet_grid((count, count, count))
        positions, faces = marching_tets(vertices.double(), vertices.double().sub(count / 2).norm(dim=1) - 0.4 * count,
                                         tets)
        errors.append(1 - signed_volume(positions, faces).item() / (4 / 3 * math.pi * (0.4 * count)**3))
    assert errors[0] < 0.05 and all(3.5 < coarse / fine < 4.5 for coarse, fine in zip(errors, errors[1:]))


def test_gradcheck_in_sdf_and_positions():
    vertices, tets = tet_grid((4, 4, 4))
    vertices = vertices.double()
    sdf = ((vertices - 2) * torch.tensor([1.0, 1.3, 0.8])).norm(dim=1) - 1.27
    assert torch.autograd.gradcheck(lambda v, s: marching_tets(v, s, tets)[0],
                                    (vertices.requires_grad_(), sdf.detach().requires_grad_()))
