import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.surface.components import component_labels
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import is_watertight, signed_volume
from distill3d.kernels.surface.shell import fill_interior, outer_shell, solid

BOUNDS = [[-1.0] * 3, [1.0] * 3]
NEIGHBOURS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)]


def radius(size):
    axis = torch.linspace(-1, 1, size, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1)


def onion(size=24):
    """A hollow ball with a small ball floating in its cavity."""
    r = radius(size)
    return torch.maximum(0.15 - (r - 0.7).abs(), 0.25 - r)


def flood(empty):
    """Breadth-first search from outside, sample by sample."""
    shape = empty.shape
    inside_grid = {tuple(p) for p in empty.nonzero().tolist()}
    border = [p for p in inside_grid if any(x in (0, n - 1) for x, n in zip(p, shape))]
    seen, queue = set(border), list(border)
    steps = NEIGHBOURS + [tuple(-x for x in step) for step in NEIGHBOURS]
    while queue:
        here = queue.pop()
        for step in steps:
            there = tuple(a + b for a, b in zip(here, step))
            if there in inside_grid and there not in seen:
                seen.add(there)
                queue.append(there)
    reached = torch.zeros(shape, dtype=torch.bool)
    for p in seen:
        reached[p] = True
    return reached


@pytest.mark.parametrize("level", [-1.2, -0.7, 0.0])
def test_fill_matches_breadth_first_search(level):
    values = torch.randn(9, 11, 10, generator=torch.Generator().manual_seed(5))
    cavity = (values <= level) & ~flood(values <= level)
    filled = fill_interior(values, level)
    assert torch.equal(filled[~cavity], values[~cavity])
    assert (filled[cavity] > level).all()
    assert level > -0.5 or cavity.any()


def test_a_hollow_ball_becomes_solid():
    filled = fill_interior(onion(), 0.0)
    assert torch.equal(filled > 0, radius(24) < 0.85)
    vertices, faces = isosurface(filled, 0.0, BOUNDS)
    assert is_watertight(faces) and component_labels(faces, len(vertices)).max() == 0


def test_a_tunnel_of_any_shape_stays_open():
    values = torch.ones(15, 15, 15)
    values[5:10, 5:10, 5:10] = 0.0
    closed = fill_interior(values, 0.5)
    assert closed.min() == 1
    for i in range(5):                                    # from a corner of the cavity along a diagonal
        values[i, i, i] = 0.0
    assert torch.equal(fill_interior(values, 0.5), values)
    values[2, 2, 2] = 1.0
    assert (fill_interior(values, 0.5) == 0).nonzero().tolist() == [[0, 0, 0], [1, 1, 1]]


def test_a_spiral_of_walls_is_followed_to_its_end():
    values = torch.ones(17, 17, 3)
    x = y = 0
    dx, dy = 0, 1
    values[:, :, 1] = 1
    values[0, 0, 1] = 0
    for length in (16, 16, 16, 14, 14, 12, 12, 10, 10, 8, 8, 6, 6, 4, 4, 2):
        for _ in range(length):
            x, y = x + dx, y + dy
            values[x, y, 1] = 0
        dx, dy = dy, -dx
    assert torch.equal(fill_interior(values, 0.5), values)


@pytest.mark.parametrize("level", [-1.1, -0.8])
def test_both_methods_give_the_same_mesh(level):
    values = torch.randn(14, 14, 14, generator=torch.Generator().manual_seed(2))
    vertices, faces = isosurface(values, level, BOUNDS)
    shell, shell_faces = outer_shell(vertices, faces)
    assert len(shell_faces) < len(faces)
    expected, expected_faces = isosurface(fill_interior(values, level), level, BOUNDS)
    assert torch.equal(shell, expected)
    assert torch.equal(shell_faces, expected_faces)


def test_fill_keeps_gradients_of_the_rest():
    values = onion(12).requires_grad_()
    filled = fill_interior(values, 0.0)
    filled.sum().backward()
    assert torch.equal(values.grad == 1, filled == values) and (values.grad == 0).any()


def test_fill_of_empty_and_full_grids():
    for values in (torch.zeros(3, 4, 5), torch.ones(3, 4, 5), torch.zeros(1, 1, 1)):
        assert torch.equal(fill_interior(values, 0.5), values)


def test_outer_shell_keeps_one_ball_of_the_onion():
    vertices, faces = isosurface(onion(), 0.0, BOUNDS)
    assert component_labels(faces, len(vertices)).max() == 2
    kept, kept_faces = outer_shell(vertices.requires_grad_(), faces)
    assert is_watertight(kept_faces) and kept.requires_grad
    assert component_labels(kept_faces, len(kept)).max() == 0
    assert (kept.norm(dim=1) > 0.8).all() and signed_volume(kept, kept_faces) > 2


def test_neighbours_and_open_sheets_enclose_nothing():
    ball, faces = isosurface(0.4 - radius(8), 0.0, BOUNDS)
    sheet = torch.tensor([[9., -9, -9], [9, 9, -9], [9, 0, 9]], dtype=torch.float64)
    sheet = torch.cat([sheet, -sheet])
    vertices = torch.cat([ball, ball + 0.9, sheet])
    many = torch.cat([faces, faces + len(ball), torch.tensor([[0, 1, 2], [3, 4, 5]]) + 2 * len(ball)])
    kept, kept_faces = outer_shell(vertices, many)
    assert torch.equal(kept, vertices) and torch.equal(kept_faces, many)
    # One missing triangle is enough to make a large ball around a small one a sheet.
    vertices, many = torch.cat([2 * ball, ball]), torch.cat([faces[1:], faces + len(ball)])
    assert torch.equal(outer_shell(vertices, many)[1], many)
    # Turned inside out the outer ball still hides the inner one.
    kept, _ = outer_shell(torch.cat([2 * ball, ball]), torch.cat([faces.flip(1), faces + len(ball)]))
    assert torch.equal(kept, 2 * ball)


def test_outer_shell_of_nothing():
    vertices, faces = outer_shell(torch.rand(2, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert vertices.shape == (0, 3) and faces.shape == (0, 3)


def test_solid_fills_cavities_and_drops_small_parts():
    line = torch.arange(12)                               # a path of vertices: outside at both ends
    edges = torch.stack([line[:-1], line[1:]], 1)
    border = (line == 0) | (line == 11)
    inside = torch.tensor([0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0], dtype=torch.bool)
    #  the cavities at 2 and 5..7 have no way out, whatever they hold
    assert solid(inside, edges, border).tolist() == [False] + 9 * [True] + [False] * 2
    border[6] = True
    assert solid(inside, edges, border).tolist() == [False] + 4 * [True] + 3 * [False] + 2 * [True] + 2 * [False]
    assert solid(inside, edges, border, smallest=0.6).tolist() == [False] + 4 * [True] + 7 * [False]
    assert not solid(torch.zeros_like(inside), edges, border, smallest=1.0).any()


def test_vertices_of_the_shell_have_gradients():
    """An octahedron inside another."""
    tips = torch.eye(3, dtype=torch.float64).repeat(2, 1) * torch.tensor([1.0] * 3 + [-1.0] * 3).double()[:, None]
    faces = torch.tensor([[x, y, z] if (x + y + z) % 2 else [x, z, y] for x in (0, 3) for y in (1, 4) for z in (2, 5)])
    vertices, faces = torch.cat([tips, 0.3 * tips]), torch.cat([faces, faces + 6])
    assert torch.equal(outer_shell(vertices, faces)[0], tips)
    assert gradcheck(lambda vertices: outer_shell(vertices, faces)[0], vertices.requires_grad_())
