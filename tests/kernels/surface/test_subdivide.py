import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.surface.marching_tets import marching_tets
from distill3d.kernels.surface.mesh import is_watertight, signed_volume
from distill3d.kernels.surface.subdivide import subdivide, surface_tets
from distill3d.kernels.surface.tet_grid import on_box, tet_edges, tet_grid

from .test_tet_grid import boundary, volumes

COUNTS = (10, 8, 12)


def finer(vertices, sdf, tets, marked):
    edges, tets = subdivide(vertices, tets, marked)
    return (torch.cat([vertices, vertices[edges].mean(1)]), torch.cat([sdf, sdf[edges].mean(1)]), tets)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 1.0])
def test_any_marking_fits_together(share):
    vertices, tets = tet_grid(COUNTS)
    for level in range(2):
        marked = torch.rand(len(tets), generator=torch.Generator().manual_seed(level)) < share
        before = len(tets)
        edges, tets = subdivide(vertices, tets, marked)
        vertices = torch.cat([vertices, vertices[edges].mean(1)])
        volume = volumes(vertices, tets)
        assert volume.min() > 0 and volume.sum().item() == pytest.approx(10 * 8 * 12)
        assert len(tets) >= before + 7 * int(marked.sum())
        flat = vertices[boundary(tets, len(vertices))]
        assert ((flat == 0) | (flat == torch.tensor(COUNTS))).all(1).any(1).all()     # no gap within the box
    assert share > 0 or len(edges) == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_surface_stays_where_it_was_and_closed(seed):
    vertices, tets = tet_grid(COUNTS)
    sdf = torch.randn(len(vertices), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sdf = torch.where(on_box(vertices, COUNTS), sdf.abs() + 0.1, sdf)
    positions, faces = marching_tets(vertices.double(), sdf, tets)
    volume = signed_volume(positions, faces).item()
    for _ in range(2):
        vertices, sdf, tets = finer(vertices, sdf, tets, surface_tets(sdf < 0, tets))
        more, finer_faces = marching_tets(vertices.double(), sdf, tets)
        assert is_watertight(finer_faces) and len(finer_faces) > 3 * len(faces)
        assert signed_volume(more, finer_faces).item() == pytest.approx(volume)
        faces = finer_faces


@pytest.mark.parametrize("seed", range(3))
def test_a_surface_through_fine_and_coarse_has_no_crack(seed):
    vertices, tets = tet_grid(COUNTS)
    sdf = (vertices - torch.tensor(COUNTS) / 2).norm(dim=1) - 2.5
    for _ in range(2):
        vertices, sdf, tets = finer(vertices, sdf, tets, surface_tets(sdf < 0, tets))
    other = torch.randn(len(vertices), generator=torch.Generator().manual_seed(seed))
    other = torch.where(on_box(vertices, COUNTS), other.abs() + 0.1, other)
    positions, faces = marching_tets(vertices, other, tets)
    assert is_watertight(faces) and signed_volume(positions, faces) > 0


def test_edges_shrink_only_in_and_beside_marked_tetrahedra():
    vertices, tets = tet_grid((12, 12, 12))
    marked = (vertices[tets] > 6).all(1).all(1)
    edges, finer_tets = subdivide(vertices, tets, marked)
    middle = vertices[edges].mean(1)
    ends = tet_edges(finer_tets, len(vertices) + len(edges))
    length = torch.cat([vertices, middle])[ends].diff(dim=1).norm(dim=2)
    assert length.max() <= 6**0.5 + 1e-6
    assert middle.amin() > 3 and length.min() < 1.1       # only the marked octant and its closest neighbours


def test_rings_grow_around_the_surface():
    vertices, tets = tet_grid((12, 12, 12))
    inside = (vertices - 6).norm(dim=1) < 3
    sizes = [int(surface_tets(inside, tets, rings).sum()) for rings in (0, 1, 2)]
    assert sizes[0] < sizes[1] < sizes[2] < len(tets)
    crossed = inside[tets].any(1) & ~inside[tets].all(1)
    assert torch.equal(surface_tets(inside, tets), crossed)


def test_wrong_shapes_are_named():
    vertices, tets = tet_grid((4, 4, 4))
    with pytest.raises(ShapeError, match="marked"):
        subdivide(vertices, tets, torch.ones(3, dtype=torch.bool))
