import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.uv.bake import covered_texels, dilate, sample_texture, texel_positions

# A unit square with two charts: the lower-left triangle and the upper-right one, drawn apart in uv.
VERTICES = torch.tensor([[0., 0, 1], [2, 0, 2], [2, 3, 0], [0, 3, -1]], dtype=torch.float64)
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
UV = torch.tensor([[0.05, 0.10], [0.55, 0.10], [0.55, 0.60], [0.40, 0.95], [0.90, 0.45], [0.95, 0.95]],
                  dtype=torch.float64)
FACES_UV = torch.tensor([[0, 1, 2], [3, 4, 5]])


def texel_centres(height, width):
    v = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    u = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    return torch.stack(torch.meshgrid(v, u, indexing="ij")[::-1], -1)


def test_positions_are_the_affine_map_of_each_chart():
    position, mask, face = texel_positions(UV, FACES_UV, VERTICES, FACES, (40, 30))
    assert torch.equal(mask, face >= 0) and position[~mask].eq(0).all()
    centres = texel_centres(40, 30)
    for i in range(2):
        corner = torch.cat([UV[FACES_UV[i]], torch.ones(3, 1).double()], 1)
        weight = torch.cat([centres, torch.ones(40, 30, 1).double()], 2) @ torch.linalg.inv(corner)
        inside = (weight > 0).all(2)
        assert torch.equal(face == i, inside) and inside.sum() > 50
        torch.testing.assert_close(position[inside], (weight @ VERTICES[FACES[i]])[inside])


@pytest.mark.parametrize("chunk", [1 << 20, 200, 7])
def test_covered_texels_are_those_positions_in_bands(chunk):
    uv = UV + torch.tensor([0.003, 0.001])               # no texel's centre on an edge, where rounding decides
    position, mask, _ = texel_positions(uv, FACES_UV, VERTICES, FACES, 40)
    attributes = torch.cat([VERTICES, 2 * VERTICES], 1)
    texel, values = covered_texels(uv, FACES_UV, attributes, FACES, 40, chunk=chunk)
    assert torch.equal(texel, mask.flatten().nonzero().squeeze(1))
    torch.testing.assert_close(values, torch.cat([position[mask], 2 * position[mask]], 1))
    with pytest.raises(ShapeError, match="attributes"):
        covered_texels(UV, FACES_UV, VERTICES[0], FACES, 40)


def test_v_grows_with_the_row():
    quad = torch.tensor([[0., 0], [1, 0], [1, 1], [0, 1]])
    corners = torch.tensor([[0., 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])          # position = (u, v, 0)
    position, mask, _ = texel_positions(quad, FACES, corners, FACES, 4)
    assert mask.all()
    torch.testing.assert_close(position[..., :2], texel_centres(4, 4).float())


def test_gradcheck():
    for vertices, uv in ((VERTICES.clone().requires_grad_(), UV), (VERTICES, UV.clone().requires_grad_())):
        inputs = vertices if vertices.requires_grad else uv
        assert torch.autograd.gradcheck(
            lambda x: texel_positions(x if uv.requires_grad else uv, FACES_UV,
                                      x if vertices.requires_grad else vertices, FACES, 9)[0], inputs)


def cylinder(around=24):
    """Open unit cylinder unwrapped to one chart, with a seam."""
    turn = torch.linspace(0, 1, around + 1, dtype=torch.float64)
    angle = 2 * math.pi * turn
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    vertices = torch.cat([torch.cat([ring, torch.full((around + 1, 1), z).double()], 1) for z in (0.0, 1.0)])
    uv = torch.cat([torch.stack([0.05 + 0.9 * turn, torch.full_like(turn, v)], 1) for v in (0.1, 0.9)])
    i = torch.arange(around)
    faces = torch.cat([torch.stack([i, i + 1, i + around + 2], 1), torch.stack([i, i + around + 2, i + around + 1], 1)])
    return vertices, uv, faces


@pytest.mark.parametrize("size, tolerance", [(64, 0.03), (128, 0.008)])
def test_a_baked_function_is_found_again_on_the_surface(size, tolerance):
    def function(p):
        return torch.stack([torch.sin(3 * p[..., 0]) * p[..., 1], torch.cos(4 * p[..., 2])], -1)

    vertices, uv, faces = cylinder()
    position, mask, _ = texel_positions(uv, faces, vertices, faces, size)
    texture = dilate(function(position) * mask[..., None], mask, 2)
    weight = torch.rand(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = (weight / weight.sum(1, keepdim=True))[..., None]
    chosen = faces[torch.arange(500) % len(faces)]
    error = sample_texture(texture, (weight * uv[chosen]).sum(1)) - function((weight * vertices[chosen]).sum(1))
    assert error.abs().max() < 3 * tolerance              # at the edge of the chart padding is nearest, first order
    assert error.abs().quantile(0.9) < tolerance


@pytest.mark.parametrize("pixels", [0, 1, 3, 50])
def test_dilate_takes_the_nearest_texel(pixels):
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(13, 17, generator=generator) < 0.04
    texture = torch.rand(13, 17, 2, generator=generator)
    grid = torch.cartesian_prod(torch.arange(13), torch.arange(17))
    result = dilate(texture, mask, pixels)
    sources = mask.nonzero()
    squared = (grid[:, None] - sources).square().sum(2)
    nearest = squared.amin(1)
    for here, value, row, best in zip(grid.tolist(), result.view(-1, 2), squared, nearest):
        if best > pixels ** 2:
            assert torch.equal(value, texture[here[0], here[1]])
        else:
            candidates = texture[tuple(sources[row == best].T)]
            assert (candidates == value).all(1).any()
    assert (nearest <= pixels ** 2).sum() > mask.sum() or pixels == 0


def test_dilate_without_texels_and_gradient():
    texture = torch.rand(3, 4, 1, dtype=torch.float64, requires_grad=True)
    assert torch.equal(dilate(texture, torch.zeros(3, 4, dtype=torch.bool), 9), texture)
    assert dilate(torch.rand(0, 0, 3), torch.zeros(0, 0, dtype=torch.bool), 2).shape == (0, 0, 3)
    mask = torch.zeros(3, 4, dtype=torch.bool)
    mask[1, 1] = True
    dilate(texture, mask, 9).sum().backward()
    assert texture.grad[1, 1] == 12 and texture.grad.sum() == 12


def test_sample_texture():
    texture = torch.rand(5, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(sample_texture(texture, texel_centres(5, 7)), texture)
    middle = torch.tensor([2.0 / 7, 0.5 / 5]).double()    # between texels (0,1) and (0,2)
    torch.testing.assert_close(sample_texture(texture, middle), (texture[0, 1] + texture[0, 2]) / 2)
    corner = sample_texture(texture, torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double())
    torch.testing.assert_close(corner, torch.stack([texture[4, 0], texture[0, 6]]))
    assert sample_texture(texture, torch.zeros(0, 2).double()).shape == (0, 3)


def test_sample_texture_gradcheck():
    texture = torch.rand(4, 3, 2, dtype=torch.float64, requires_grad=True)
    uv = (0.1 + 0.8 * torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert torch.autograd.gradcheck(sample_texture, (texture, uv.requires_grad_()))


def test_no_faces_and_wrong_shapes():
    none = FACES[:0]
    position, mask, face = texel_positions(UV, none, VERTICES, none, 4)
    assert not mask.any() and position.eq(0).all() and face.eq(-1).all()
    with pytest.raises(ShapeError, match=r"faces must have shape \[2, 3\]"):
        texel_positions(UV, FACES_UV, VERTICES, FACES[:1], 4)
    with pytest.raises(ShapeError, match=r"mask must have shape \[3, 4\]"):
        dilate(torch.rand(3, 4, 1), torch.ones(4, 3, dtype=torch.bool), 1)
    with pytest.raises(ShapeError, match="uv"):
        sample_texture(torch.rand(3, 4, 1), torch.rand(5, 3))
