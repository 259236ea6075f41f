import pytest
import torch

from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import face_areas
from distill3d.kernels.surface.spread import spread_points


def ball(resolution=24):
    line = torch.linspace(-1, 1, resolution)
    place = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    return isosurface(0.7 - place.norm(dim=-1), 0.0, torch.tensor([[-1.0] * 3, [1.0] * 3]))


def points(vertices, faces, count):
    face, weights = spread_points(vertices, faces, count)
    return (vertices[faces[face]] * weights[..., None]).sum(1)


def test_every_face_gets_its_share():
    vertices, faces = ball()
    count = 40_000
    face, weights = spread_points(vertices, faces, count)
    share = face_areas(vertices, faces) / face_areas(vertices, faces).sum() * count
    assert ((torch.bincount(face, minlength=len(faces)) - share).abs() <= 1.01).all()
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(count))


def test_one_face_is_covered_evenly():
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    x, y, _ = points(corners, torch.tensor([[0, 1, 2]]), 4000).unbind(1)
    for cut in (0.1, 0.3, 0.6):
        assert abs(float((x < cut).float().mean()) - (1 - (1 - cut) ** 2)) < 0.01
        assert abs(float((y < cut).float().mean()) - (1 - (1 - cut) ** 2)) < 0.01
        assert abs(float((x + y < cut).float().mean()) - cut ** 2) < 0.01


def test_more_even_than_chance():
    """Nearest neighbours of random points are 0.5 sqrt(area per point) away on average (Clark and Evans 1954)."""
    vertices, faces = ball()
    found = points(vertices, faces, 3000)
    apart = torch.cdist(found, found)
    apart.fill_diagonal_(torch.inf)
    assert float(apart.amin(1).mean()) > 0.55 * float(face_areas(vertices, faces).sum() / 3000) ** 0.5
    assert torch.equal(found, points(vertices, faces, 3000))


def test_no_area():
    with pytest.raises(ValueError, match="2 faces without area"):
        spread_points(torch.zeros(3, 3), torch.zeros(2, 3, dtype=torch.int64), 5)
    with pytest.raises(ValueError, match="0 faces"):
        spread_points(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64), 5)
