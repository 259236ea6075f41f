import pytest
import torch

from distill3d.kernels.raster.rasterize import rasterize

HEIGHT, WIDTH = 7, 9


def scene(dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    positions = torch.randn(2, 12, 4, generator=generator, dtype=torch.float64)
    positions[..., 2] *= 0.2
    positions[..., 3] = positions[..., 3].abs() + 0.5
    positions[0, 0, 3] = -0.7                             # one corner behind the camera
    return positions.to(dtype), torch.arange(12).view(4, 3)


def pixel_centres():
    y = 1 - (2 * torch.arange(HEIGHT, dtype=torch.float64) + 1) / HEIGHT
    x = (2 * torch.arange(WIDTH, dtype=torch.float64) + 1) / WIDTH - 1
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_barycentrics_give_back_the_pixel(dtype, tolerance):
    positions, faces = scene(dtype)
    rast = rasterize(positions, faces, (HEIGHT, WIDTH))
    assert rast.dtype == dtype
    for view in range(2):
        seen = rast[view, ..., 3] > 0
        assert seen.any() and rast[view][~seen].eq(0).all()
        u, v, depth, face = rast[view][seen].double().unbind(1)
        weight = torch.stack([u, v, 1 - u - v], 1)
        assert weight.min() > -tolerance
        point = (weight[..., None] * positions[view, faces[face.long() - 1]]).sum(1)
        torch.testing.assert_close(point[:, :2] / point[:, 3:], pixel_centres()[seen], rtol=0, atol=tolerance)
        torch.testing.assert_close(point[:, 2] / point[:, 3], depth, rtol=0, atol=tolerance)


def test_gradcheck():
    positions, faces = scene()
    ids = rasterize(positions, faces, (HEIGHT, WIDTH))[..., 3]
    assert ids.unique().numel() > 3
    assert torch.autograd.gradcheck(lambda p: rasterize(p, faces, (HEIGHT, WIDTH))[..., :3], positions.requires_grad_())


def test_second_derivatives():
    positions, faces = scene()
    positions = positions[:1, :3].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda p: rasterize(p, faces[:1], (3, 3))[..., :3], positions)


def test_faces_much_smaller_than_a_pixel_keep_their_weights_in_float32():
    # 59 x 59 quads of side 7e-6 around one pixel centre: in float32 arithmetic the weights would be noise.
    axis = torch.linspace(-2e-4, 2e-4, 60) + 2 / 3
    xy = torch.cartesian_prod(axis, axis)
    positions = torch.cat([xy, torch.zeros(3600, 1), torch.ones(3600, 1)], 1)[None]
    corner = (torch.arange(59)[:, None] * 60 + torch.arange(59)).flatten()
    faces = torch.cat([torch.stack([corner, corner + 60, corner + 61], 1),
                       torch.stack([corner, corner + 61, corner + 1], 1)])
    rast = rasterize(positions, faces, (3, 3))[0]
    assert (rast[..., 3] > 0).nonzero().tolist() == [[0, 2]]
    u, v, _, face = rast[0, 2].double()
    weight = torch.stack([u, v, 1 - u - v])
    assert (weight >= 0).all()
    offset = (weight[:, None] * (positions[0, faces[int(face) - 1], :2].double() - 2 / 3)).sum(0)
    assert offset.abs().max() < 1e-5 * 7e-6


def test_an_empty_picture_is_differentiable():
    positions = torch.rand(1, 4, 4, requires_grad=True)
    rast = rasterize(positions, torch.zeros(0, 3, dtype=torch.int64), (2, 3))
    assert rast.shape == (1, 2, 3, 4) and rast.eq(0).all()
    rast.sum().backward()
    assert positions.grad.eq(0).all()


def test_ids_that_do_not_fit_are_refused():
    faces = torch.zeros(1, 3, dtype=torch.int64).expand(3000, 3)
    with pytest.raises(ValueError, match="3000 faces.*float16"):
        rasterize(torch.rand(1, 4, 4, dtype=torch.float16), faces, (2, 2))
