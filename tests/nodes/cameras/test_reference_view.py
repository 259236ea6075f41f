import pytest
import torch

from distill3d.nodes.cameras.reference_view import ReferenceViewNode, make_reference
from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.pictures import orbit_camera

VIEW = orbit_camera("Test", 5.0, 0.0, 3.8, 20.0, 1)


@pytest.fixture
def warnings():
    """What the host was told."""
    told = Host()
    set_host(told)
    yield told.warnings
    set_host(None)


def picture(height=10, width=16, top=2, left=9, tall=4, wide=3):
    """A red block on green, and its mask, 1 on the block."""
    mask = torch.zeros(1, height, width)
    mask[:, top:top + tall, left:left + wide] = 1
    return mask[..., None] * torch.tensor([1.0, 0, 0]) + (1 - mask[..., None]) * torch.tensor([0, 1.0, 0]), mask


def box(mask):
    """Top, bottom, left, right of what a mask [1,S,S,1] marks."""
    rows, columns = (mask[0, ..., 0] > 0.5).nonzero().T
    return [int(edge) for edge in (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)]


def test_mask_conventions():
    image, mask = picture()
    from_load_image = make_reference(VIEW, image, 1 - mask)  # 1 where the picture is transparent
    for other in (make_reference(VIEW, image, mask, mask_marks="object"),
                  make_reference(VIEW, image, mask[0], mask_marks="object"),
                  make_reference(VIEW, torch.cat([image, mask[..., None]], -1)),
                  make_reference(VIEW, torch.cat([image, 1 - mask[..., None]], -1), mask, mask_marks="object")):
        assert torch.equal(other.rgb, from_load_image.rgb) and torch.equal(other.mask, from_load_image.mask)
    assert from_load_image.mask.sum() == mask.sum() and from_load_image.is_masked
    assert torch.equal(from_load_image.rgb[from_load_image.mask[..., 0] > 0.5],
                       torch.tensor([[1.0, 0, 0]]).expand(12, 3))


@pytest.mark.parametrize("place",
                         [dict(), dict(top=0, left=0), dict(height=20, width=6, top=13, left=2), dict(tall=3, wide=7)])
def test_the_object_comes_to_the_middle_undistorted(place):
    image, mask = picture(**place)
    tall, wide = place.get("tall", 4), place.get("wide", 3)
    reference = make_reference(VIEW, image, mask, mask_marks="object", fill=0.5)
    side = reference.rgb.shape[1]
    assert reference.rgb.shape == (1, side, side, 3) and side == 2 * max(tall, wide)
    top, bottom, left, right = box(reference.mask)
    assert (bottom - top, right - left) == (tall, wide)
    assert abs(top + bottom - side) <= 1 and abs(left + right - side) <= 1
    assert torch.equal(reference.over(1.0)[0, top:bottom, left:right], torch.tensor([1.0, 0, 0]).expand(tall, wide, 3))


def test_fill_cuts_too():
    image, mask = picture(30, 40, 5, 20, 8, 8)
    assert make_reference(VIEW, image, mask, mask_marks="object", fill=1.0).rgb.shape == (1, 8, 8, 3)
    assert make_reference(VIEW, image, mask, mask_marks="object", fill=0.8).rgb.shape == (1, 10, 10, 3)


def test_fill_0_only_pads():
    image, mask = picture()
    reference = make_reference(VIEW, image, mask, mask_marks="object", fill=0.0)
    assert torch.equal(reference.rgb[:, 3:13], image) and torch.equal(reference.mask[:, 3:13, :, 0], mask)
    assert reference.mask[:, :3].sum() == reference.mask[:, 13:].sum() == 0


def test_without_a_mask_the_picture_counts_and_margins_do_not(warnings):
    image = picture()[0] * torch.linspace(0, 1, 16)[:, None]  # whose background has several colours
    for mask in (None, torch.zeros(1, 64, 64)):  # Load Image gives the second for a picture without transparency
        reference = ReferenceViewNode.execute(image, mask=mask).args[1]
        assert not reference.is_masked and reference.rgb.shape == (1, 16, 16, 3)
        assert torch.equal(reference.mask[0, :, 0, 0], torch.tensor([0.0] * 3 + [1.0] * 10 + [0.0] * 3))
    assert len(warnings) == 2 and "background remover" in warnings[0]


def test_masks_and_maps_of_other_sizes_are_brought_to_the_pictures():
    image, mask = picture(16, 16, 4, 4, 8, 8)
    large = mask[:, ::2, ::2].repeat_interleave(6, 1).repeat_interleave(6, 2)
    ramp = torch.linspace(0, 1, 40)[None, None, :, None].expand(1, 20, 40, 3)
    reference = make_reference(VIEW, image, large, ramp, ramp, "object", fill=0.0)
    assert (reference.mask[..., 0] - mask).abs().max() < 0.5 and box(reference.mask) == [4, 12, 4, 12]
    assert reference.depth.shape == (1, 16, 16, 1) and reference.normal.shape == (1, 16, 16, 3)


def test_depth_grows_away_from_the_camera():
    image, mask = picture(4, 4, 1, 1, 2, 2)
    depth = torch.linspace(0, 1, 16).view(1, 4, 4, 1)
    options = dict(depth=depth.expand(-1, -1, -1, 3), mask_marks="object", fill=0.0)
    torch.testing.assert_close(make_reference(VIEW, image, mask, depth_bright="far", **options).depth, depth)
    torch.testing.assert_close(make_reference(VIEW, image, mask, depth_bright="near", **options).depth, 1 - depth)


def test_normal_axes(warnings):
    image, mask = picture(16, 16, 4, 4, 8, 8)
    opengl = torch.tensor([0.6, 0.0, 0.8]), torch.tensor([0.0, 0.6, 0.8])  # right of the middle; above it
    for flips, signs in (("none", (1, 1, 1)), ("y", (1, -1, 1)), ("y z", (1, -1, -1)), ("x y z", (-1, -1, -1))):
        for direction in opengl:
            drawn = (direction * torch.tensor(signs) * 0.5 + 0.5).expand(1, 16, 16, 3)
            reference = ReferenceViewNode.execute(image, mask=mask, mask_marks="object", normal=drawn, fill=0.0,
                                                  normal_flips=flips).args[1]
            torch.testing.assert_close(reference.normal[0, 8, 8], direction)
    assert not warnings
    away = torch.tensor([0.5, 0.5, 0.0]).expand(1, 16, 16, 3)
    ReferenceViewNode.execute(image, mask=mask, mask_marks="object", normal=away)
    assert len(warnings) == 1 and "normal_flips" in warnings[0]


def test_what_the_node_gives(warnings):
    image, mask = picture()
    views, reference, shown, marked = ReferenceViewNode.execute(
        image, elevation=20.0, azimuth=-30.0, distance=2.0, fovy=30.0, mask=1 - mask, fill=0.5).args
    cameras = views.sample(2, 6, 6)
    torch.testing.assert_close(cameras.c2w, orbit_camera("Test", 20.0, -30.0, 2.0, 30.0, 6).c2w.expand(2, 4, 4))
    assert cameras.picture == (0, 0) and cameras.source == reference.digest and len(reference) == 1
    assert shown.shape == (1, 8, 8, 3) and marked.shape == (1, 8, 8)
    assert torch.equal(shown[marked < 0.5], torch.ones(52, 3)) and marked.sum() == 12
    assert len(warnings) == 1 and "only 3 x 4 pixels" in warnings[0]


@pytest.mark.parametrize("tall, wide, is_small", [(1, 1, True), (2, 7, True), (8, 1, False), (12, 12, False)])
def test_an_object_of_few_pixels_is_told(tall, wide, is_small, warnings):
    image, mask = picture(32, 32, 5, 6, tall, wide)
    reference = ReferenceViewNode.execute(image, mask=mask, mask_marks="object").args[1]
    assert torch.isfinite(reference.at(16, 16).rgb).all() and bool(reference.at(16, 16).inside.any())
    assert [f"only {wide} x {tall} pixels" in text for text in warnings] == [True] * is_small


def test_the_hosts_tensors_are_left_alone():
    image, mask = picture(8, 8, 2, 2, 4, 4)
    before = image.clone(), mask.clone()
    with torch.inference_mode():
        ReferenceViewNode.execute(image, mask=1 - mask, depth=image.mean(-1, keepdim=True), normal=image)
    assert torch.equal(image, before[0]) and torch.equal(mask, before[1])


@pytest.mark.parametrize("change, words", [
    (dict(image=torch.rand(2, 4, 4, 3)), "several Reference Views"),
    (dict(image=torch.rand(4, 4, 3)), '"image"'),
    (dict(mask=torch.zeros(1, 4, 4)), "mask_marks"),
    (dict(mask=torch.zeros(2, 4, 4)), '"mask"'),
    (dict(depth=torch.rand(2, 4, 4, 3)), '"depth"'),
    (dict(depth=torch.tensor([1.0, 0, 0]).expand(1, 4, 4, 3)), "coloured"),
    (dict(normal=torch.rand(1, 4, 4, 1)), "1 channel"),
    (dict(fill=1.5), '"fill"'),
])
def test_wrong_pictures(change, words):
    arguments = dict(image=torch.rand(1, 4, 4, 3), mask=torch.eye(4)[None], mask_marks="object")
    with pytest.raises(DistillError, match=words):
        make_reference(VIEW, **{**arguments, **change})
