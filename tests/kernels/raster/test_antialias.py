import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.raster.antialias import EdgeFaces, antialias
from distill3d.kernels.raster.rasterize import rasterize
from mesh_field import ball
from outline import camera, draw, motions_of, slopes


def joined(*meshes):
    """One mesh of (vertices, faces, colour) and its colours per vertex."""
    first, vertices, faces, colors = 0, [], [], []
    for points, triangles, color in meshes:
        vertices.append(points)
        faces.append(triangles + first)
        colors.append(torch.full((len(points),), color, dtype=torch.float64))
        first += len(points)
    return torch.cat(vertices), torch.cat(faces), torch.cat(colors)


def bumpy(rings, radius=0.8):
    vertices, faces = ball(rings, radius, torch.float64)
    x, y, z = vertices.unbind(1)
    return vertices * (1 + 0.1 * (9 * x).sin() * (11 * y + 1).sin() * (10 * z).sin())[:, None], faces


def torus(rings=24, tube=0.3):
    angle = torch.arange(rings, dtype=torch.float64) * (2 * math.pi / rings)
    u, v = torch.meshgrid(angle, angle, indexing="ij")
    away = 0.6 + tube * v.cos()
    i, j = torch.meshgrid(torch.arange(rings), torch.arange(rings), indexing="ij")
    a, b = i * rings + j, (i + 1) % rings * rings + j
    c, d = (i + 1) % rings * rings + (j + 1) % rings, i * rings + (j + 1) % rings
    faces = torch.cat([torch.stack([a, b, c], -1).view(-1, 3), torch.stack([a, c, d], -1).view(-1, 3)])
    return torch.stack([away * u.cos(), away * u.sin(), tube * v.sin()], -1).view(-1, 3), faces


def white(vertices):
    return torch.ones(len(vertices), dtype=torch.float64)


def agree(found, true, gross, tolerance=0.08):
    """To a few per cent of what all vertices add up to: a line of pixels more or less at the ends of an outline."""
    assert ((found - true).abs() <= tolerance * gross).all(), f"{found.tolist()}, {true.tolist()}, {gross.tolist()}"


@pytest.mark.parametrize("rings, size", [(4, 80), (12, 80), (40, 80), (40, 32)])
def test_outlines_of_few_and_many_triangles(rings, size):
    """40 to 6240 of them; the last has many triangles in a pixel."""
    vertices, faces = bumpy(rings)
    found, true, gross = slopes(vertices, faces, white(vertices), size, motions_of(vertices))
    assert 0.9 < found[0] / true[0] < 1.1
    agree(found, true, gross)


@pytest.mark.slow
@pytest.mark.parametrize("rings, size", [(70, 256), (224, 256), (224, 512)])
def test_outlines_of_very_many_triangles(rings, size):
    """20,000 and 200,000."""
    vertices, faces = bumpy(rings)
    found, true, _ = slopes(vertices, faces, white(vertices), size, [vertices], factor=3)
    print(len(faces), size, (found / true).tolist())
    assert 0.9 < found[0] / true[0] < 1.1


def test_an_object_in_front_of_another():
    """The one in front uncovers the other; of the other only what is not hidden counts."""
    back, front = ball(12, 0.6, torch.float64), ball(12, 0.35, torch.float64)
    towards = camera()[0, :3, 2]
    vertices, faces, colors = joined((back[0], back[1], 0.3), (front[0] + towards + 0.1, front[1], 1.0))
    is_front = (torch.arange(len(vertices)) >= len(back[0]))[:, None]
    motions = motions_of(vertices)
    agree(*slopes(vertices, faces, colors, 80, [motion * is_front for motion in motions[1:]]))
    agree(*slopes(vertices, faces, colors, 80, [motion * ~is_front for motion in motions]))


def test_hidden_edges_have_no_gradient():
    back, front = ball(8, 0.2, torch.float64), ball(12, 0.5, torch.float64)
    vertices, faces, colors = joined((back[0], back[1], 0.3), (front[0] + camera()[0, :3, 2], front[1], 1.0))
    leaf = vertices.requires_grad_()
    draw(leaf, faces, colors, 48, camera(), soft=True).sum().backward()
    assert leaf.grad[:len(back[0])].eq(0).all() and leaf.grad[len(back[0]):].ne(0).any()


def test_folds_in_front_of_the_object_itself():
    """A torus seen from aside: half of its inner outline lies before its own far side, whose colour is another."""
    vertices, faces = torus()
    color = 1 + 0.8 * vertices @ camera()[0, :3, 2]
    low = camera(0.4, 0.35)
    centre = torch.nn.functional.normalize(vertices * torch.tensor([1.0, 1, 0]), dim=1) * 0.6
    agree(*slopes(vertices, faces, color, 80, [vertices - centre, *motions_of(vertices)], low))


def test_borders_of_open_surfaces():
    """Half a ball, seen from outside, from aside and from inside, where a strip beside its border is thinner than a
    pixel; and a sheet."""
    vertices, faces = ball(12, 0.8, torch.float64)
    half = faces[(vertices[faces].mean(1)[:, 0] > 0)]
    for azimuth in (0.4, 1.3, math.pi - 0.5):
        agree(*slopes(vertices, half, white(vertices), 80, motions_of(vertices), camera(azimuth)))
    sheet = torch.tensor([[0.0, -0.5, -0.4], [0, 0.6, -0.5], [0, 0.5, 0.7], [0, -0.6, 0.4]], dtype=torch.float64)
    corners = [torch.eye(4, dtype=torch.float64)[k, :, None] * axis for k in range(4) for axis in camera()[0, :3, :2].T]
    agree(*slopes(sheet, torch.tensor([[0, 1, 2], [0, 2, 3]]), white(sheet), 80, corners))


def test_an_edge_between_two_faces_is_no_outline():
    """Moving the middle of a flat fan of one colour changes nothing."""
    points = torch.tensor([[0.0, -0.5, -0.5], [0, 0.5, -0.5], [0, 0.5, 0.5], [0, -0.5, 0.5], [0, 0.05, 0.02]],
                          dtype=torch.float64, requires_grad=True)
    fan = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    draw(points, fan, white(points), 40, camera(0, 0), soft=True).sum().backward()
    assert points.grad[4].abs().max() < 1e-6 * points.grad.abs().max()


def test_an_edge_of_three_faces():
    """A fin on a sheet: its foot is no outline, its rim is, whichever faces are listed first."""
    points = torch.tensor([[0.0, -0.6, 0], [0, 0.6, 0], [0, 0, 0.7], [0, 0, -0.7], [0.5, 0.1, 0]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    tip = torch.eye(5, dtype=torch.float64)[4, :, None]
    for order in ([0, 1, 2], [2, 1, 0]):
        view = camera(0.4, 0.9)
        agree(*slopes(points, faces[order], points[:, 0] + 0.3, 80, [tip * axis for axis in view[0, :3, :2].T], view))


def test_coverage_is_that_of_a_fine_picture():
    vertices, faces = bumpy(10)
    color = white(vertices)
    soft, fine, hard = (draw(vertices, faces, color, 32, camera(), **how)
                        for how in (dict(soft=True), dict(factor=16), dict()))
    assert soft.min() >= 0 and soft.max() <= 1
    assert (soft - fine).abs().mean() < 0.25 * (hard - fine).abs().mean()


def test_gradcheck():
    vertices, faces = bumpy(3)
    color = torch.rand(1, 9, 11, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = vertices[:, 2:] * 0.1 + 1
    clip = torch.cat([vertices[:, :1] * 1.1, vertices[:, 1:2], vertices[:, 2:] * 0.3, w], 1)[None]
    # No vertex on a line of pixel centres, where an edge may be counted with this line or not.
    clip = clip + 0.02 * torch.randn(clip.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    rast = rasterize(clip, faces, (9, 11))
    assert torch.autograd.gradcheck(lambda c, p: antialias(c, rast, p, faces),
                                    (color.requires_grad_(), clip.requires_grad_()), fast_mode=True)


def test_pixels_stay_mixes_of_their_neighbours():
    """A hole around one pixel's centre, whose sides all reach into it."""
    square = [(-1, 1), (1, 1), (1, -1), (-1, -1)]
    points = torch.tensor([(x * r, y * r, 0, 1) for r in (0.9, 0.1) for x, y in square], dtype=torch.float64)[None]
    faces = torch.tensor([face for k in range(4)
                          for face in ((k, (k + 1) % 4, 4 + k), ((k + 1) % 4, 4 + (k + 1) % 4, 4 + k))])
    rast = rasterize(points, faces, (5, 5))
    found = antialias((rast[..., 3:] > 0).double(), rast, points, faces)[0, ..., 0]
    assert rast[0, 2, 2, 3] == 0 and found[2, 2] == 1 and found.max() <= 1 and found.min() >= 0


def test_nothing_to_soften():
    rast = torch.zeros(2, 3, 3, 4)
    color = torch.rand(2, 3, 3, 1)
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert torch.equal(antialias(color, rast, torch.rand(2, 4, 4), none), color)
    broken = torch.full((2, 4, 4), torch.nan, requires_grad=True)
    assert torch.equal(antialias(color, rast, broken, torch.tensor([[0, 1, 2]])), color)
    behind = torch.rand(2, 4, 4) * torch.tensor([1.0, 1, 1, -1])
    assert torch.equal(antialias(color, rast, behind, torch.tensor([[0, 1, 2]])), color)
    with pytest.raises(ShapeError, match="color"):
        antialias(color[0], rast, behind, none)


def test_the_table_of_edges_can_be_kept():
    vertices, faces = bumpy(6)
    clip = torch.cat([vertices[:, :2], vertices[:, 2:] * 0.3, torch.ones(len(vertices), 1)], 1)[None]
    rast = rasterize(clip, faces, (20, 20))
    color = (rast[..., 3:] > 0).double()
    assert torch.equal(antialias(color, rast, clip, faces), antialias(color, rast, clip, faces, EdgeFaces.of(faces)))
