import math

import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels import backend, warp_runtime
from distill3d.kernels.checks import ShapeError
from distill3d.kernels.lens import Lens
from distill3d.kernels.quaternion import turning_z_to
from distill3d.kernels.splat.splat import splat
from distill3d.nodes.core.cameras import orbit

NAMES = ("positions", "rotations", "scales", "opacities", "features")


def gaussians(count, seed=0, dtype=torch.float64, size=0.08):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    made = (0.35 * random(count, 3), random(count, 4), size * torch.exp(0.5 * random(count, 3)),
            torch.sigmoid(1.5 * random(count, 1)), torch.sigmoid(random(count, 3)))
    return [one.to(dtype) for one in made]


def view(views=1, height=24, width=32, dtype=torch.float64):
    """c2w, fovy, height, width of cameras around the origin, 2.5 away, 40 degrees."""
    step = torch.arange(views)
    cameras = orbit(0.4 + 1.3 * step, 0.3 + 0.1 * step, 2.5, math.radians(40.0), height, width)
    return cameras.c2w.to(dtype), cameras.fovy.to(dtype), height, width


def ahead(depth, height=9, width=9):
    """A camera whose view direction runs through the origin's pixel (4, 4), at that distance."""
    c2w = torch.eye(4, dtype=torch.float64)[None].clone()
    c2w[0, 2, 3] = depth
    return c2w, torch.tensor([math.radians(60.0)], dtype=torch.float64), height, width


def by_hand(positions, rotations, scales, opacities, features, c2w, fovy, height, width):
    """Every pixel of the first camera by itself, the covariances as Kerbl et al. write them: J W R S S R W J."""
    turn = torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64)) @ c2w[0, :3, :3].T
    focal = height / (2 * math.tan(float(fovy[0]) / 2))
    drawn = torch.zeros(height, width, features.shape[1] + 2, dtype=torch.float64)
    light = torch.ones(height, width, dtype=torch.float64)
    closed = torch.zeros(height, width, dtype=torch.bool)
    centres = (positions - c2w[0, :3, 3]) @ turn.T
    columns, rows = torch.meshgrid(torch.arange(width).double() + 0.5, torch.arange(height).double() + 0.5,
                                   indexing="xy")
    lengths = (1 + ((columns - width / 2) / focal) ** 2 + ((rows - height / 2) / focal) ** 2).sqrt()
    for i in torch.argsort(centres[:, 2], stable=True).tolist():
        x, y, z = centres[i].tolist()
        if z <= 0.01:
            continue
        w, a, b, c = (rotations[i] / rotations[i].norm()).tolist()
        spin = torch.tensor([[1 - 2 * (b * b + c * c), 2 * (a * b - w * c), 2 * (a * c + w * b)],
                             [2 * (a * b + w * c), 1 - 2 * (a * a + c * c), 2 * (b * c - w * a)],
                             [2 * (a * c - w * b), 2 * (b * c + w * a), 1 - 2 * (a * a + b * b)]], dtype=torch.float64)
        most_x, most_y = 1.3 * width / (2 * focal), 1.3 * height / (2 * focal)
        near_x, near_y = z * min(max(x / z, -most_x), most_x), z * min(max(y / z, -most_y), most_y)
        jacobian = torch.tensor([[focal / z, 0, -focal * near_x / z**2], [0, focal / z, -focal * near_y / z**2]],
                                dtype=torch.float64)
        half = jacobian @ turn @ spin @ torch.diag(scales[i])
        inverse = torch.linalg.inv(half @ half.T + 0.3 * torch.eye(2, dtype=torch.float64))
        offset = torch.stack([columns - (focal * x / z + width / 2), rows - (focal * y / z + height / 2)], -1)
        power = 0.5 * torch.einsum("hwi,ij,hwj->hw", offset, inverse, offset)
        alpha = (float(opacities[i]) * torch.exp(-power)).clamp(max=0.999)
        alpha = torch.where(alpha < 1 / 255, 0.0, alpha)
        closed |= light * (1 - alpha) <= 1e-4
        weight = torch.where(closed, 0.0, light * alpha)
        drawn[..., :-2] += weight[..., None] * features[i]
        drawn[..., -2] += weight
        drawn[..., -1] += weight * z * lengths
        light = torch.where(closed, light, light * (1 - alpha))
    return drawn


@pytest.fixture(autouse=True, params=["torch", "warp"])
def kernel(request, monkeypatch):
    """Runs every test of this file with every backend, in a dtype that it supports."""
    if request.param == "warp":
        pytest.importorskip("warp")
    monkeypatch.setenv(backend.VARIABLE, request.param)
    for op in "splat", "project_gaussians":
        assert backend.pick(op, torch.device("cpu"), torch.float32) == request.param, backend.reasons()
    return torch.float64 if request.param == "torch" else torch.float32


def close(found, wanted, dtype):
    """To rounding, or to 1e-5 of the range."""
    tolerance = 1e-9 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found.double(), wanted, atol=tolerance * float(wanted.abs().max()), rtol=0)


@pytest.mark.parametrize("seed, count, size", [(0, 60, 0.08), (1, 300, 0.02), (2, 40, 0.4)])
def test_equals_the_papers_formula_pixel_by_pixel(kernel, seed, count, size):
    given, (c2w, fovy, height, width) = gaussians(count, seed, size=size), view()
    found = splat(*(one.to(kernel) for one in given), c2w, fovy, height, width)
    wanted = by_hand(*given, c2w, fovy, height, width)
    assert wanted[..., -2].max() > 0.5
    close(torch.cat([found.features, found.opacity, found.depth], -1)[0], wanted, kernel)


def one_at(position, opacity, scale, dtype, feature=1.0):
    return [torch.tensor([one], dtype=dtype) for one in (position, [1.0, 0, 0, 0], [scale] * 3, [opacity], [feature])]


def test_one_gaussian_in_closed_form(kernel):
    c2w, fovy, height, width = ahead(2.0)
    found = splat(*one_at([0.0, 0, 0], 0.7, 0.3, kernel, 5.0), c2w, fovy, height, width)
    variance = (0.3 * 9 / (2 * math.tan(math.radians(30))) / 2) ** 2 + 0.3
    step = torch.arange(9).double() - 4
    squared = step**2 + step[:, None] ** 2
    alpha = 0.7 * torch.exp(-0.5 * squared / variance)
    alpha = torch.where(alpha < 1 / 255, 0.0, alpha)
    assert found.opacity[0, 4, 4].item() == pytest.approx(0.7, rel=1e-6)
    close(found.opacity[0, ..., 0], alpha, kernel)
    close(found.features[0, ..., 0], 5 * alpha, kernel)
    close(found.depth[0, ..., 0], 2 * alpha * (1 + squared / (9 / (2 * math.tan(math.radians(30)))) ** 2).sqrt(),
          kernel)
    torch.testing.assert_close(found.centers, torch.tensor([[[4.5, 4.5]]], dtype=kernel))
    assert found.radii.item() == pytest.approx(math.sqrt(2 * math.log(0.7 * 255) * variance), rel=1e-5)


def test_of_two_the_nearer_hides_the_other(kernel):
    camera = ahead(2.0)
    red, green = one_at([0.0, 0, 0.2], 0.6, 0.1, kernel), one_at([0.0, 0, -0.2], 0.5, 0.1, kernel)
    pair = [torch.cat(both) for both in zip(red, green)]
    pair[4] = torch.eye(2, dtype=kernel)
    for order in [0, 1], [1, 0]:
        found = splat(*(one[order] for one in pair), *camera)
        shown = found.features[0, 4, 4].double()
        torch.testing.assert_close(shown, torch.tensor([0.6, 0.4 * 0.5]).double(), atol=1e-6, rtol=0)
        assert found.depth[0, 4, 4].item() == pytest.approx(0.6 * 1.8 + 0.2 * 2.2, rel=1e-5)
    pair[0] = -pair[0]
    shown = splat(*pair, *camera).features[0, 4, 4]
    torch.testing.assert_close(shown.double(), torch.tensor([0.5 * 0.6, 0.5]).double(), atol=1e-6, rtol=0)


def test_at_the_same_depth_the_first_is_in_front(kernel):
    pair = [torch.cat([one, one]) for one in one_at([0.0, 0, 0], 0.5, 0.1, kernel)]
    pair[4] = torch.eye(2, dtype=kernel)
    torch.testing.assert_close(splat(*pair, *ahead(2.0)).features[0, 4, 4], torch.tensor([0.5, 0.25], dtype=kernel))


def test_the_limits_of_alpha_and_light(kernel):
    # Full opacity hides 0.999. What the second would leave, 1e-6, is too little: the pixel is closed before it.
    three = [one.repeat(3, 1) for one in one_at([0.0, 0, 0], 1.0, 0.2, kernel)]
    found = splat(*three, *ahead(2.0))
    assert found.opacity[0, 4, 4].item() == pytest.approx(0.999, abs=1e-6)
    for opacity, seen in (1.001 / 255, True), (0.999 / 255, False), (0.0, False):
        found = splat(*one_at([0.0, 0, 0], opacity, 0.2, kernel), *ahead(2.0))
        assert bool(found.opacity.any()) is seen and bool(found.radii.any()) is seen


def test_up_is_up_and_right_is_right(kernel):
    c2w, fovy, height, width = ahead(2.0)
    found = splat(*one_at([0.4, 0.8, 0], 0.9, 0.02, kernel), c2w, fovy, height, width)
    focal = 9 / (2 * math.tan(math.radians(30)))
    row, column = divmod(int(found.opacity[0].argmax()), 9)
    assert (row, column) == (int(4.5 - focal * 0.4), int(4.5 + focal * 0.2))
    turned = one_at([0.0, 0, 0], 0.9, 0.02, kernel)                            # a needle along x, turned to lie along y
    turned[1], turned[2] = torch.tensor([[3.0, 0, 0,
                                          3.0]], dtype=kernel), torch.tensor([[0.5, 0.02, 0.02]], dtype=kernel)
    opacity = splat(*turned, c2w, fovy, height, width).opacity[0, ..., 0]
    assert opacity[:, 4].sum() > 3 * opacity[4].sum()


def test_gaussians_outside_the_view_have_no_gradient(kernel):
    camera = ahead(2.0)
    places = [[0.0, 0, 2.5], [0, 0, 2.0], [0, 0, 1.9999], [50, 0, 0], [0, -50, 1.5], [0, 0, 0]]
    inputs = [torch.cat(all_).requires_grad_() for all_ in zip(*(one_at([float(x) for x in place], 0.8, 0.1, kernel)
                                                                for place in places))]
    found = splat(*inputs, *camera)
    (found.features.sum() + found.depth.sum()).backward()
    assert (found.radii > 0).tolist() == [[False] * 5 + [True]]
    for one in inputs:
        assert one.grad.isfinite().all() and not one.grad[:5].any()
    assert inputs[0].grad[5].any() and inputs[4].grad[5].any()


def test_centers_keep_their_gradient(kernel):
    given = [one.to(kernel).requires_grad_() for one in gaussians(40, 5)]
    c2w, fovy, height, width = (one.to(kernel) if torch.is_tensor(one) else one for one in view(2))
    found = splat(*given, c2w, fovy, height, width)
    found.centers.retain_grad()
    weights = torch.rand(2, height, width, 3, generator=torch.Generator().manual_seed(0),
                         dtype=torch.float64).to(kernel)
    (found.features * weights).sum().backward()
    assert found.centers.grad.shape == (2, 40, 2) and not found.centers.grad[found.radii == 0].any()
    assert (found.centers.grad[found.radii > 0].abs().sum(-1) > 0).float().mean() > 0.9


def test_antialiased_fades_gaussians_smaller_than_a_pixel(kernel):
    given, camera = one_at([0.0, 0, 0], 0.5, 0.01, kernel), ahead(2.0)
    focal = 9 / (2 * math.tan(math.radians(30)))
    sharp = (0.01 * focal / 2) ** 2
    faded = splat(*given, *camera, antialiased=True)
    # 0.5 * sharp / (sharp + 0.3) is below 1/255
    assert faded.opacity[0, 4, 4].item() == 0.0 and faded.radii.item() == 0.0
    given[2] = given[2] * 20
    sharp *= 400
    faded = splat(*given, *camera, antialiased=True)
    assert faded.opacity[0, 4, 4].item() == pytest.approx(0.5 * sharp / (sharp + 0.3), rel=1e-5)


def surface(count, dtype):
    """Flat Gaussians on a bumpy sphere, as large as their spacing: typical of the end of training."""
    generator = torch.Generator().manual_seed(6)
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64), dim=1)
    positions = normal * (0.7 + 0.1 * torch.sin(7 * normal).prod(1, keepdim=True))
    scales = torch.tensor([1.0, 1.0, 0.1], dtype=torch.float64) * 0.9 / count**0.5
    scales = scales * torch.exp(0.3 * torch.randn(count, 3, generator=generator, dtype=torch.float64))
    opacities = torch.rand(count, 1, generator=generator, dtype=torch.float64)
    # So that float32 shows the same: the inputs are numbers that it can hold.
    rounded = (positions, turning_z_to(normal), scales, opacities, 0.5 + 0.5 * normal)
    return [one.float().to(dtype).requires_grad_() for one in rounded]


def test_equals_the_reference_in_double_precision_on_a_surface(kernel, monkeypatch):
    camera = view(3, 96, 80, torch.float32)

    def draw(dtype):
        inputs = surface(3000, dtype)
        found = splat(*inputs, *(one.to(dtype) if torch.is_tensor(one) else one for one in camera))
        return inputs, torch.cat([found.features, found.opacity, found.depth], -1)

    inputs, found = draw(torch.float32)
    monkeypatch.setenv(backend.VARIABLE, "torch")
    exact, wanted = draw(torch.float64)
    assert wanted[..., 3].mean() > 0.3
    # A Gaussian whose alpha is 1/255 up to rounding counts in the one and not in the other.
    same = ((found - wanted).abs() < 1e-4 * wanted.abs().max()).all(-1, keepdim=True)
    assert (~same).sum() <= 3
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(0)) * same
    gradients = torch.autograd.grad((found * weights).sum(), inputs)
    for name, one, other in zip(NAMES, gradients, torch.autograd.grad((wanted * weights).sum(), exact)):
        off = float((one - other).abs().max() / other.abs().max())
        assert off < 1e-4, f"{name} {off:.2g}"


def test_repeats_bit_for_bit(kernel, monkeypatch):
    def run(threads):
        monkeypatch.setattr(warp_runtime.torch, "get_num_threads", lambda: threads)
        inputs = surface(3000, torch.float32)
        drawn = splat(*inputs, *view(2, 64, 80, torch.float32))
        return *drawn, *torch.autograd.grad(drawn.features.square().sum() + drawn.depth.sum(), inputs)

    first = run(1)
    for again in run(1), run(3):
        assert all(torch.equal(one, other) for one, other in zip(first, again))


def test_gradients_equal_finite_differences(kernel):
    if kernel == torch.float64:
        given, camera = gaussians(7, 3, size=0.15), view(2, 7, 9)
        given[4] = torch.rand(2, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        inputs = [one.requires_grad_() for one in (*given, *camera[:2])]
        for antialiased in False, True:
            assert gradcheck(lambda *given: splat(*given, 7, 9, antialiased=antialiased)[:3], inputs, eps=1e-7,
                             atol=1e-5, fast_mode=True)
        return
    # In single precision along one direction at a time, of sums over the picture; of a few that are larger than it,
    # because at 1/255 the picture jumps.
    generator = torch.Generator().manual_seed(1)
    inputs = [one.float().requires_grad_() for one in gaussians(5, 3, size=1.0)]
    camera, weights = view(1, 10, 12, torch.float32), torch.rand(1, 10, 12, 3, generator=generator)
    gradients = torch.autograd.grad((splat(*inputs, *camera).features * weights).sum(), inputs)
    for place, gradient in enumerate(gradients):
        along = torch.randn(gradient.shape, generator=generator)
        along = along / along.norm()
        ends = []
        for sign in -1, 1:
            moved = [one.detach() + sign * 1e-3 * along if k == place else one.detach() for k, one in enumerate(inputs)]
            ends.append((splat(*moved, *camera).features.double() * weights).sum())
        slope = (ends[1] - ends[0]) / 2e-3
        torch.testing.assert_close((gradient * along).sum().double(), slope, atol=0.01 * float(gradient.norm()), rtol=0)


def test_second_derivatives(kernel, monkeypatch):
    def run():
        inputs = [one.float().requires_grad_() for one in gaussians(12, 3, size=0.2)]
        drawn = splat(*inputs, *view(1, 24, 32, torch.float32))
        first = torch.autograd.grad(drawn.features.square().sum() + drawn.depth.sum(), inputs, create_graph=True)
        return first, torch.autograd.grad(sum(one.square().sum() for one in first), inputs)

    found = run()
    monkeypatch.setenv(backend.VARIABLE, "torch")
    for one, other in zip(sum(found, ()), sum(run(), ())):
        torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=0)


def test_chunks_and_recomputation_do_not_change_the_result(kernel):
    inputs = [one.to(kernel).requires_grad_() for one in gaussians(200, 4)]
    found = []
    for chunk in 1 << 20, 1 << 12:
        drawn = splat(*inputs, *view(2), chunk=chunk)
        value = drawn.features.square().sum() + drawn.depth.sum() + drawn.opacity.sum()
        found.append((drawn.features, drawn.depth, *torch.autograd.grad(value, inputs)))
    for whole, pieces in zip(*found):
        torch.testing.assert_close(pieces, whole)


def test_features_of_each_view_and_none(kernel):
    given, camera = [one.to(kernel) for one in gaussians(50)], view(2)
    both = torch.stack([given[4], 2 * given[4]])
    alone, each = splat(*given, *camera), splat(*given[:4], both, *camera)
    torch.testing.assert_close(each.features, alone.features * torch.tensor([1, 2]).view(2, 1, 1, 1))
    none = splat(*given[:4], given[4][:, :0], *camera)
    assert none.features.shape == (2, 24, 32, 0) and torch.equal(none.opacity, alone.opacity)
    many = splat(*given[:4], given[4].repeat(1, 13), *camera).features
    torch.testing.assert_close(many, alone.features.repeat(1, 1, 1, 13))


def test_nothing_to_draw(kernel):
    given = [one.to(kernel).requires_grad_() for one in gaussians(5)]
    none = [one[:0].detach().requires_grad_() for one in given]
    found = splat(*none, *view(2))
    found.features.sum().backward()
    assert found.features.shape == (2, 24, 32, 3) and not found.opacity.any() and found.radii.shape == (2, 0)
    assert none[0].grad.shape == (0, 3)
    c2w, fovy, height, width = view(1)
    found = splat(*given, c2w[:0], fovy[:0], height, width)
    found.depth.sum().backward()
    assert found.features.shape == (0, 24, 32, 3) and found.centers.shape == (0, 5, 2) and not given[0].grad.any()
    away = c2w.clone()
    away[:, :3, 3] *= -1                                                        # looks away from all of them
    given[0].grad = None
    found = splat(*given, away, fovy, height, width)
    found.features.sum().backward()
    assert not found.opacity.any() and given[0].grad.shape == (5, 3) and not given[0].grad.any()


def test_runs_in_inference_mode_and_leaves_its_inputs(kernel):
    given, camera = [one.to(kernel) for one in gaussians(50)], view(1)
    before = [one.clone() for one in (*given, *camera[:2])]
    wanted = splat(*given, *camera)
    with torch.inference_mode():
        found = splat(*(one.clone() for one in given), *camera)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted))
    assert all(torch.equal(one, other) for one, other in zip((*given, *camera[:2]), before))


def test_half_precision_is_raised():
    found = splat(*(one.half() for one in gaussians(20)), *view(1))
    assert found.features.dtype == torch.float32 and found.opacity.max() > 0.5


def test_wrong_shapes_are_named():
    given, camera = gaussians(5), view(2)
    for place, name in enumerate(NAMES):
        wrong = list(given)
        wrong[place] = wrong[place][:, :1] if place < 3 else wrong[place][:3]
        with pytest.raises(ShapeError, match=name):
            splat(*wrong, *camera)
    with pytest.raises(ShapeError, match="c2w"):
        splat(*given, camera[0][:, :3], *camera[1:])
    with pytest.raises(ShapeError, match="fovy"):
        splat(*given, camera[0], camera[1][:1], *camera[2:])
    with pytest.raises(ValueError, match="near"):
        splat(*given, *camera, near=0.0)


def test_an_orthographic_lens_draws_sizes_that_no_distance_changes(kernel):
    c2w, _, height, width = ahead(2.0, 33, 33)
    lens = Lens(torch.tensor([1.0], dtype=torch.float64), True)
    found = []
    for place in ([0.25, 0.5, 0.0], [0.25, 0.5, -30.0]):
        drawn = splat(*one_at(place, 0.9, 0.2, kernel), c2w, lens, height, width)
        torch.testing.assert_close(drawn.centers[0, 0].double(), torch.tensor([20.625, 8.25]).double(), atol=1e-5,
                                   rtol=0)
        torch.testing.assert_close(drawn.depth, drawn.opacity * (2.0 - place[2]), atol=1e-4, rtol=1e-5)
        found.append(drawn.opacity)
    torch.testing.assert_close(*found)
    # exp(-r^2 / (2 sigma^2)) with sigma = 0.2 world units = 3.3 pixels, and the low-pass filter.
    row, column = torch.meshgrid(torch.arange(33) + 0.5, torch.arange(33) + 0.5, indexing="ij")
    wanted = 0.9 * torch.exp(-0.5 * ((column - 20.625) ** 2 + (row - 8.25) ** 2) / (3.3**2 + 0.3)).double()
    torch.testing.assert_close(found[0][0, ..., 0].double(), torch.where(wanted < 1 / 255, 0.0, wanted), atol=2e-5,
                               rtol=1e-4)


def test_orthographic_gradients_equal_finite_differences_and_the_reference(kernel, monkeypatch):
    given, (c2w, _, height, width) = gaussians(7, 3, size=0.15), view(2, 7, 9)
    half = torch.tensor([1.0, 0.8], dtype=torch.float64)
    if kernel == torch.float64:
        inputs = [one.requires_grad_() for one in (*given, c2w, half)]
        for antialiased in False, True:
            assert gradcheck(lambda *given: splat(*given[:-1], Lens(given[-1], True), 7, 9,
                                                  antialiased=antialiased)[:3],
                             inputs, eps=1e-7, atol=1e-5, fast_mode=True)
        return

    def draw(dtype):
        inputs = [one.detach().float().to(dtype).requires_grad_() for one in given]
        drawn = splat(*inputs, c2w.to(dtype), Lens(half.to(dtype), True), height, width)
        seen = torch.cat([drawn.features, drawn.opacity, drawn.depth], -1)
        return seen, *torch.autograd.grad(seen.square().sum() + seen.sum(), inputs)

    found = draw(torch.float32)
    monkeypatch.setenv(backend.VARIABLE, "torch")
    for one, wanted in zip(found, draw(torch.float64)):
        close(one, wanted, torch.float32)
