import math

import pytest
import torch

from distill3d.kernels import backend
from distill3d.kernels.checks import ShapeError
from distill3d.kernels.lens import to_clip
from distill3d.kernels.raster.triangle_ids import triangle_ids


@pytest.fixture(autouse=True, params=["torch", "warp"])
def kernel(request, monkeypatch):
    """Runs every test of this file with every backend."""
    if request.param == "warp":
        pytest.importorskip("warp")
    monkeypatch.setenv(backend.VARIABLE, request.param)
    assert backend.pick("triangle_ids", torch.device("cpu"), torch.float32) == request.param, backend.reasons()


def by_hand(positions, faces, height, width):
    """Every pixel against every face: solve [p0 p1 p2] a = (X, Y, 1), keep a >= 0 and the nearest z/w."""
    ids = torch.zeros(len(positions), height, width, dtype=torch.int64)
    for view, points in enumerate(positions.double()):
        for row in range(height):
            for column in range(width):
                pixel = torch.tensor([(2 * column + 1) / width - 1, 1 - (2 * row + 1) / height, 1]).double()
                nearest = math.inf
                for i, face in enumerate(faces.tolist()):
                    corner = points[face]
                    a = torch.linalg.solve(corner[:, [0, 1, 3]].T, pixel)
                    depth = float(a @ corner[:, 2])                           # a sums to 1/w, so this is z/w
                    if (a >= 0).all() and -1 <= depth <= 1 and depth < nearest:
                        nearest, ids[view, row, column] = depth, i + 1
    return ids


def random_soup(seed, count, spread):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(count, 1, 3, generator=generator)
    vertices = (centre + spread * torch.randn(count, 3, 3, generator=generator)).view(-1, 3)
    faces = torch.arange(3 * count).view(-1, 3)
    turn = torch.linalg.qr(torch.randn(2, 3, 3, generator=generator))[0]
    c2w = torch.eye(4).repeat(2, 1, 1)
    c2w[:, :3, :3] = turn * torch.linalg.det(turn)[:, None, None]
    c2w[1, :3, 3] = 2 * c2w[1, :3, 2]
    return to_clip(vertices, c2w, torch.tensor([1.2, 0.8]), 9, 12, 0.1, 10.0), faces


@pytest.mark.parametrize("seed, count, spread", [(0, 14, 0.4), (1, 12, 1.5), (2, 10, 4.0)])
def test_perspective_scene_around_the_camera(seed, count, spread):
    positions, faces = random_soup(seed, count, spread)
    expected = by_hand(positions, faces, 9, 12)
    w = positions[0, faces, 3]
    assert ((w > 0).any(1) & (w < 0).any(1)).any() and expected.unique().numel() > 4
    assert torch.equal(triangle_ids(positions, faces, 9, 12), expected)


@pytest.mark.parametrize("seed", range(3))
def test_arbitrary_clip_coordinates(seed):
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randn(2, 24, 4, generator=generator, dtype=torch.float64)
    positions[..., 2] *= 0.3
    faces = torch.randint(0, 24, (16, 3), generator=generator)
    faces = faces[(faces != faces.roll(1, 1)).all(1)]
    expected = by_hand(positions, faces, 8, 7)
    assert expected.unique().numel() > 4
    assert torch.equal(triangle_ids(positions, faces, 8, 7), expected)


def test_memory_pieces_do_not_change_the_picture():
    positions, faces = random_soup(3, 30, 0.6)
    whole = triangle_ids(positions, faces, 40, 30)
    assert (whole > 0).any()
    assert torch.equal(triangle_ids(positions, faces, 40, 30, chunk=13), whole)


@pytest.mark.parametrize("count, spread, size", [(3000, 0.03, (96, 128)), (400, 3.0, (64, 50))])
def test_backends_agree_in_every_pixel(monkeypatch, count, spread, size):
    positions, faces = random_soup(5, count, spread)
    found = triangle_ids(positions, faces, *size)
    monkeypatch.setenv(backend.VARIABLE, "torch")
    assert found.unique().numel() > 10 and torch.equal(found, triangle_ids(positions, faces, *size))


def coverage(positions, faces, height, width):
    """How many of the faces, drawn alone, own each pixel."""
    return sum((triangle_ids(positions, face[None], height, width)[0] > 0).long() for face in faces)


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_a_quad_owns_each_pixel_once(size):
    # The diagonal of the square picture runs exactly through pixel centres.
    positions = torch.tensor([[[-1., -1, 0, 1], [1, -1, 0, 1], [1, 1, 0, 1], [-1, 1, 0, 1]]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    ids = triangle_ids(positions, faces, *size)
    assert set(ids.unique().tolist()) == {1, 2}
    assert (coverage(positions, faces, *size) == 1).all()
    assert (coverage(positions, faces.flip(1), *size) == 1).all()
    assert (coverage(positions, torch.stack([faces[0], faces[1].flip(0)]), *size) == 1).all()


def test_corners_and_edges_on_pixel_centres_have_one_owner():
    # A 9x9 lattice whose vertices are every third pixel centre, exactly, with random diagonals and perspective.
    generator = torch.Generator().manual_seed(0)
    axis = (2 * torch.arange(9) * 3 + 1) / 32 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    index = torch.arange(81).view(9, 9)
    a, b, c, d = (index[s].flatten() for s in ((slice(8), slice(8)), (slice(8), slice(1, 9)),
                                               (slice(1, 9), slice(1, 9)), (slice(1, 9), slice(8))))
    turned = torch.rand(64, generator=generator) < 0.5
    faces = torch.cat([torch.where(turned, torch.stack([a, b, c]), torch.stack([a, b, d])).T,
                       torch.where(turned, torch.stack([a, c, d]), torch.stack([b, c, d])).T])
    w = 2.0 ** torch.randint(-2, 3, (81,), generator=generator)
    positions = torch.stack([x.flatten() * w, y.flatten() * w, 0 * w, w], 1)[None]
    inner = coverage(positions, faces, 32, 32)[8:31, 1:24]
    assert (inner == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shared_edges_leave_no_hole_and_no_overlap(dtype):
    # A fan of needles with random perspective: every edge at a random angle.
    generator = torch.Generator().manual_seed(4)
    angle = torch.arange(40, dtype=dtype) * (2 * math.pi / 40)
    ring = torch.stack([3 * angle.cos(), 3 * angle.sin()], 1)
    xy = torch.cat([torch.tensor([[0.013, -0.021]], dtype=dtype), ring])
    w = torch.rand(41, 1, generator=generator, dtype=dtype) + 0.3
    positions = torch.cat([xy * w, 0 * w, w], 1)[None]
    index = torch.arange(40)
    faces = torch.stack([torch.zeros_like(index), index + 1, (index + 1) % 40 + 1], 1)
    assert (coverage(positions, faces, 33, 33) == 1).all()


def test_row_0_is_the_top_and_column_0_the_left():
    positions = torch.tensor([[[-1., 0, 0, 1], [-1, 1, 0, 1], [0, 1, 0, 1]]])
    ids = triangle_ids(positions, torch.tensor([[0, 1, 2]]), 8, 8)[0]
    assert ids[0, 0] == 1 and ids[4:].sum() == 0 and ids[:, 4:].sum() == 0


def test_the_nearest_and_at_equal_depth_the_first_face_wins():
    square = torch.tensor([[-1., -1], [3, -1], [-1, 3]])
    layers = [torch.cat([square, torch.full((3, 1), z), torch.ones(3, 1)], 1) for z in (0.5, -0.2, -0.2, 2.0, -2.0)]
    ids = triangle_ids(torch.cat(layers)[None], torch.arange(15).view(5, 3), 4, 4)
    assert (ids == 2).all()


def test_near_plane_cuts_within_a_face():
    positions = torch.tensor([[[-9., -9, 8.5, 1], [9, -9, 8.5, 1], [0, 9, -9.5, 1]]])     # z/w falls with y
    ids = triangle_ids(positions, torch.tensor([[0, 1, 2]]), 64, 64)[0]
    y = 1 - (2 * torch.arange(64) + 1) / 64
    depth = -0.5 - y
    assert torch.equal(ids[:, 32] > 0, depth.abs() <= 1) and (ids[:, 32] > 0).any() and (ids[:, 32] == 0).any()


def test_degenerate_and_non_finite_faces_are_not_seen():
    positions = torch.tensor([[[-1., -1, 0, 1], [1, 1, 0, 1], [-1, -1, 0, 1], [0, 0, 0, 1], [math.nan, 0, 0, 1],
                               [math.inf, 1, 0, 1], [0, 0, 0, 0], [1, -1, 0, -1]]])
    faces = torch.tensor([[0, 1, 2], [0, 3, 1], [0, 1, 4], [0, 1, 5], [6, 6, 6], [0, 0, 0], [6, 1, 4], [7, 7, 6]])
    assert (triangle_ids(positions, faces, 8, 8) == 0).all()


def test_empty_inputs():
    faces = torch.zeros(0, 3, dtype=torch.int64)
    assert triangle_ids(torch.rand(2, 5, 4), faces, 3, 4).eq(0).all()
    assert triangle_ids(torch.rand(0, 5, 4), faces, 3, 4).shape == (0, 3, 4)
    assert triangle_ids(torch.rand(1, 0, 4), faces, 3, 4).shape == (1, 3, 4)


def test_runs_in_inference_mode():
    positions, faces = random_soup(0, 14, 0.4)
    wanted = triangle_ids(positions, faces, 9, 12)
    with torch.inference_mode():
        assert wanted.any() and torch.equal(triangle_ids(positions.clone(), faces, 9, 12), wanted)


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match="positions"):
        triangle_ids(torch.rand(5, 4), torch.zeros(1, 3, dtype=torch.int64), 3, 4)
    with pytest.raises(ShapeError, match="faces"):
        triangle_ids(torch.rand(1, 5, 4), torch.zeros(1, 4, dtype=torch.int64), 3, 4)
