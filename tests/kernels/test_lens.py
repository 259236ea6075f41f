import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.lens import Lens, clip_matrix, project, ray_lengths, rays, to_clip, toward
from distill3d.kernels.raster.interpolate import interpolate
from distill3d.kernels.raster.rasterize import rasterize


def look_at_origin(position):
    """c2w of an OpenGL camera in a z-up world: columns right, up, -forward, position."""
    position = torch.tensor(position, dtype=torch.float64)
    back = position / position.norm()
    right = torch.linalg.cross(torch.tensor([0., 0, 1], dtype=torch.float64), back)
    right = right / right.norm()
    c2w = torch.eye(4, dtype=torch.float64)
    c2w[:3] = torch.stack([right, torch.linalg.cross(back, right), back, position], 1)
    return c2w


def test_depth_runs_from_minus_one_to_one():
    matrix = clip_matrix(torch.tensor([0.9, 1.1], dtype=torch.float64), 1.5, 0.2, 7.0)
    for distance, depth in ((0.2, -1), (7.0, 1)):
        clip = matrix @ torch.tensor([0, 0, -distance, 1], dtype=torch.float64)
        assert clip[:, 3].tolist() == pytest.approx([distance] * 2)
        assert (clip[:, 2] / clip[:, 3]).tolist() == pytest.approx([depth] * 2)


def test_field_of_view_is_vertical():
    fovy = torch.tensor([0.8], dtype=torch.float64)
    top, side = math.tan(0.4), math.tan(0.4) * 12 / 9
    vertices = torch.tensor([[0, top, -1], [side, 0, -1], [-side, -top, -1]], dtype=torch.float64)
    clip = to_clip(vertices, torch.eye(4, dtype=torch.float64)[None], fovy, 9, 12)[0]
    torch.testing.assert_close(clip[:, :2] / clip[:, 3:], torch.tensor([[0., 1], [1, 0], [-1, -1]]).double())


def test_front_camera_sees_world_up_at_the_top_and_plus_y_on_the_right():
    vertices = torch.tensor([[0., 0, 0.5], [0, 0.5, 0]], dtype=torch.float64)
    clip = to_clip(vertices, look_at_origin([3.0, 0, 0])[None], torch.tensor([0.7]).double(), 8, 8)[0]
    assert clip[0, 1] > 0 and clip[0, 0].abs() < 1e-12
    assert clip[1, 0] > 0 and clip[1, 1].abs() < 1e-12


def test_pixels_show_the_first_hit_of_their_rays():
    height, width, fovy = 10, 14, 0.9
    c2w = torch.stack([look_at_origin([1.4, 0.5, 0.8]), look_at_origin([-0.3, 1.2, -0.9])])
    generator = torch.Generator().manual_seed(0)
    vertices = 0.6 * torch.randn(30, 3, generator=generator, dtype=torch.float64)
    faces = torch.arange(30).view(-1, 3)
    clip = to_clip(vertices, c2w, torch.full((2,), fovy).double(), height, width)
    rast = rasterize(clip, faces, (height, width))
    point = interpolate(vertices, rast, faces)
    focal = height / 2 / math.tan(fovy / 2)
    row, column = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    ray = torch.stack([(column - width / 2) / focal, -(row - height / 2) / focal, -torch.ones_like(row)], -1).double()
    for view in range(2):
        seen = rast[view, ..., 3] > 0
        assert seen.sum() > 10
        direction = (ray @ c2w[view, :3, :3].T)[seen]
        offset = point[view][seen] - c2w[view, :3, 3]
        torch.testing.assert_close(offset, direction * offset.norm(dim=1, keepdim=True)
                                   / direction.norm(dim=1, keepdim=True))


def test_gradcheck():
    c2w = look_at_origin([1.4, 0.5, 0.8])[None].requires_grad_()
    vertices = torch.rand(4, 3, dtype=torch.float64, requires_grad=True)
    fovy = torch.tensor([0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, c, f: to_clip(v, c, f, 9, 12), (vertices, c2w, fovy))


def test_empty_and_wrong_input():
    assert to_clip(torch.zeros(0, 3), torch.eye(4)[None], torch.ones(1), 4, 4).shape == (1, 0, 4)
    assert to_clip(torch.zeros(5, 3), torch.zeros(0, 4, 4), torch.ones(0), 4, 4).shape == (0, 5, 4)
    with pytest.raises(ShapeError, match=r"fovy must have shape \[1\]"):
        to_clip(torch.zeros(5, 3), torch.eye(4)[None], torch.ones(2), 4, 4)
    with pytest.raises(ValueError, match="near is 2.0"):
        clip_matrix(torch.ones(1), 1.0, 2.0, 1.0)


LENSES = {"pinhole": Lens(torch.tensor([0.4, 0.7], dtype=torch.float64)),
          "orthographic": Lens(torch.tensor([1.1, 0.6], dtype=torch.float64), True)}


def two_cameras():
    return torch.stack([look_at_origin([1.4, 0.5, 0.8]), look_at_origin([-0.3, 1.2, -2.9])])


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
def test_projection_undoes_rays(lens):
    c2w, height, width = two_cameras(), 6, 9
    origin, direction = rays(lens, c2w, height, width)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(2, height, width).double())
    far = torch.linspace(0.3, 4.0, height * width).double().view(1, height, width, 1)
    points = (origin + far * direction).flatten(1, 2)
    pixels, ahead = project(lens, c2w, points, height, width)
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    torch.testing.assert_close(pixels, torch.stack([columns, rows], -1).double().flatten(0, 1).expand(2, -1, -1))
    cosine = -torch.einsum("bhwi,bi->bhw", direction, c2w[:, :3, 2]).flatten(1)
    torch.testing.assert_close(ahead, far.flatten() * cosine)
    torch.testing.assert_close(toward(lens, c2w, points), (far * direction).flatten(1, 2))
    torch.testing.assert_close(ahead * ray_lengths(lens, height, width).flatten(1), far.flatten().expand(2, -1))


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
def test_clip_space_agrees_with_projection(lens):
    c2w, height, width, near, far = two_cameras(), 10, 14, 0.1, 9.0
    points = 0.4 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    clip = to_clip(points, c2w, lens, height, width, near, far)
    pixels, ahead = project(lens, c2w, points, height, width)
    assert (ahead > near).all()
    seen = clip[..., :3] / clip[..., 3:]
    found = torch.stack([(seen[..., 0] + 1) * width / 2, (1 - seen[..., 1]) * height / 2], -1)
    torch.testing.assert_close(found, pixels)
    order = ahead[0].argsort()
    assert (seen[0, order, 2].diff() > 0).all()
    planes = c2w[:, :3, 3] - c2w[:, :3, 2] * near, c2w[:, :3, 3] - c2w[:, :3, 2] * far
    for plane, depth in zip(planes, (-1.0, 1.0)):
        at = to_clip(plane, c2w, lens, height, width, near, far).diagonal(dim1=0, dim2=1)
        torch.testing.assert_close(at[2] / at[3], torch.full((2,), depth, dtype=torch.float64))


def test_an_orthographic_lens_shows_its_scale_at_any_distance():
    lens, c2w = Lens(torch.tensor([1.5], dtype=torch.float64), True), torch.eye(4, dtype=torch.float64)[None]
    points = torch.tensor([[0.0, 1.5, -1.0], [0, 1.5, -50], [3, -1.5, -2]], dtype=torch.float64)
    pixels, _ = project(lens, c2w, points, 8, 16)
    torch.testing.assert_close(pixels[0], torch.tensor([[8.0, 0], [8, 0], [16, 8]], dtype=torch.float64))


@pytest.mark.parametrize("orthographic", [False, True])
def test_lenses_have_gradients(orthographic):
    c2w = two_cameras().requires_grad_()
    points = torch.rand(4, 3, dtype=torch.float64, requires_grad=True)
    half = torch.tensor([0.9, 0.6], dtype=torch.float64, requires_grad=True)
    for ask in (lambda p, c, h: project(Lens(h, orthographic), c, p, 9, 12),
                lambda p, c, h: rays(Lens(h, orthographic), c, 3, 2),
                lambda p, c, h: to_clip(p, c, Lens(h, orthographic), 9, 12),
                lambda p, c, h: toward(Lens(h, orthographic), c, p)):
        assert torch.autograd.gradcheck(ask, (points, c2w, half))
