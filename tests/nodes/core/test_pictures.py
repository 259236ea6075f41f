import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.pictures import Pictures, join, orbit_camera

CAMERA = orbit_camera("Test", 5.0, 0.0, 3.8, 20.0, 4)


def reference(**options):
    return Pictures(CAMERA, torch.arange(48.0).view(1, 4, 4, 3) / 48, torch.ones(1, 4, 4, 1), **options)


def test_a_camera_on_the_sphere():
    cameras = orbit_camera("Test", 30.0, 270.0, 2.0, 25.0, 6)
    torch.testing.assert_close(cameras.position, 2 * torch.tensor([[0.0, -math.cos(math.pi / 6), 0.5]]), atol=1e-6,
                               rtol=0)
    assert (cameras.height, cameras.width) == (6, 6)
    assert torch.rad2deg(cameras.azimuth).tolist() == pytest.approx([-90.0])
    assert torch.rad2deg(cameras.fovy).tolist() == pytest.approx([25.0])
    assert float(orbit_camera("Test", 0.0, 0.0, 2.0, 25.0, 6, 0.8).scale) == pytest.approx(0.8)


@pytest.mark.parametrize("wrong", [{"elevation": 91.0}, {"distance": 0.0}, {"fovy": 180.0}, {"azimuth": math.nan}])
def test_impossible_cameras(wrong):
    with pytest.raises(DistillError, match=f"Test: .*{list(wrong)[0]}"):
        orbit_camera("Test", **{"elevation": 5.0, "azimuth": 0.0, "distance": 3.8, "fovy": 20.0, "size": 4, **wrong})


def test_the_text_is_the_content_in_every_process():
    text = repr(reference())
    assert text == f"Pictures({reference().digest})" and len(text) == 30
    changed = reference().rgb.clone()
    changed[0, 3, 3, 2] += 1e-6
    others = [replace(reference(), rgb=changed),
              replace(reference(), cameras=orbit_camera("Test", 5.0, 1.0, 3.8, 20.0, 4)),
              reference(is_masked=False), reference(depth=torch.ones(1, 4, 4, 1)),
              reference(normal=torch.ones(1, 4, 4, 3))]
    assert len({text, *map(repr, others)}) == 6


def test_it_cannot_be_rewired():
    with pytest.raises(FrozenInstanceError):
        reference().rgb = torch.zeros(1, 4, 4, 3)


def test_nothing_from_outside_the_mask_comes_in():
    """On the left a grey object with depth and normal; on the right everything is loud."""
    mask = torch.zeros(1, 12, 12, 1)
    mask[:, :, :7] = 1
    inner, outer = mask, 1 - mask
    color = inner * 0.5 + outer * torch.tensor([1.0, 0.0, 1.0])
    normal = inner * torch.tensor([0.0, 0.6, 0.8]) + outer * torch.tensor([1.0, 0.0, 0.0])
    whole = Pictures(CAMERA, color, mask, depth=inner * 2 + outer * 900, normal=normal)
    small = whole.at(5, 5)
    assert small.rgb.shape == (1, 5, 5, 3) and small.mask.shape == small.inside.shape == small.depth.shape == (1, 5, 5,
                                                                                                               1)
    assert ((0.05 < small.mask) & (small.mask < 0.95)).any()  # the edge is soft, and grey right up to it
    torch.testing.assert_close(small.rgb, 0.5 * small.mask.expand(-1, -1, -1, 3))
    torch.testing.assert_close(small.depth[small.inside], torch.full((int(small.inside.sum()),), 2.0))
    torch.testing.assert_close(small.normal[small.inside[..., 0]],
                               torch.tensor([0.0, 0.6, 0.8]).expand(int(small.inside.sum()), 3))
    assert torch.equal(small.inside, small.mask > 0.5) and small.inside[0, 0, 0, 0] and not small.inside[0, 0, 4, 0]


def test_targets_of_the_hosts_tensors_can_be_learned_from():
    with torch.inference_mode():
        own = Pictures(CAMERA, torch.rand(1, 4, 4, 3), torch.ones(1, 4, 4, 1), depth=torch.rand(1, 4, 4, 1),
                        normal=torch.rand(1, 4, 4, 3))
    for size in (4, 2):
        target = own.at(size, size)
        for image in (target.rgb, target.mask, target.depth, target.normal):
            assert not image.is_inference()
            torch.ones_like(image).requires_grad_().mul(image).sum().backward()


def test_over_a_color():
    half = Pictures(CAMERA, torch.full((1, 2, 2, 3), 0.4), torch.full((1, 2, 2, 1), 0.25))
    torch.testing.assert_close(half.over(1.0), torch.full((1, 2, 2, 3), 0.85))


def several(count=3, size=4, start=0.0, **options):
    turn = torch.arange(count) + start
    cameras = orbit(turn, 0.2, 3.0, 0.7, size, size)
    rgb = (turn / 10).view(-1, 1, 1, 1).expand(-1, size, size, 3)
    return Pictures(cameras, rgb, torch.ones(count, size, size, 1), **options)


def test_cameras_find_their_pictures():
    pictures = several()
    named = pictures.views([2, 0, 2], 8, 8)
    assert pictures.index_of(named) == (2, 0, 2) and pictures.index_of(named.take([1])) == (0,)
    moved = replace(named, c2w=named.c2w + 0.1)                      # a learned pose still belongs to its picture
    assert pictures.index_of(moved) == (2, 0, 2)
    assert pictures.index_of(orbit([2.0, 1.0], 0.2, 3.0, 0.7, 8, 8)) == (2, 1)
    for stranger in (orbit(2.1, 0.2, 3.0, 0.7, 8, 8), orbit(2.0, 0.2, 3.0, 0.8, 8, 8),
                     orbit(2.0, 0.2, 3.0, 0.7, 8, 8, 1.0), replace(moved, source="another")):
        assert pictures.index_of(stranger) is None


def test_targets_of_several_pictures():
    target = several().at(2, 2).take([2, 0])
    assert target.rgb.shape == (2, 2, 2, 3)
    torch.testing.assert_close(target.rgb[:, 0, 0, 0], torch.tensor([0.2, 0.0]))


def test_joined_pictures_keep_what_each_of_them_has():
    first = several(2, is_masked=False)
    second = several(3, 8, 5.0, depth=torch.rand(3, 8, 8, 1), normal=torch.rand(3, 8, 8, 3),
                     weight=torch.tensor([1.0, 2, 3]))
    both = join([first, second])
    assert len(both) == 5 and both.rgb.shape == (5, 8, 8, 3) and both.cameras.height == 8 and not both.is_masked
    assert both.depth[:2].isnan().all() and torch.equal(both.depth[2:], second.depth)
    assert not both.normal[:2].any() and torch.equal(both.normal[2:], second.normal)
    assert both.weight.tolist() == [1, 1, 1, 2, 3] and join([first, first]).weight is None
    torch.testing.assert_close(both.cameras.azimuth, torch.tensor([0.0, 1, 5, 6, 7]))
    target = both.at(4, 4)
    assert target.depth[:2].isnan().all() and target.depth[2:].isfinite().all() and target.normal.isfinite().all()
    flat = replace(second, cameras=orbit(torch.arange(3.0), 0.2, 3.0, 0.7, 8, 8, 1.0))
    with pytest.raises(DistillError, match="Join Pictures: .*lens"):
        join([first, flat])
