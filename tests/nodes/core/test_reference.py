import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.reference import Reference, StillView
from distill3d.nodes.core.rng import Streams

def reference(**options):
    return Reference(StillView(), torch.arange(48.0).view(1, 4, 4, 3) / 48, torch.ones(1, 4, 4, 1), **options)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_camera_is_always_the_same(batch):
    view = StillView(elevation=30.0, azimuth=270.0, distance=2.0, fovy=25.0)
    cameras = view.sample(batch, 6, 6, 3, 10, Streams(1, 3))
    expected = 2 * torch.tensor([0.0, -math.cos(math.pi / 6), 0.5])
    assert len(cameras) == batch and (cameras.height, cameras.width) == (6, 6)
    torch.testing.assert_close(cameras.position, expected.expand(batch, 3), atol=1e-6, rtol=0)
    assert torch.rad2deg(cameras.azimuth).tolist() == pytest.approx([-90.0] * batch)
    assert torch.rad2deg(cameras.fovy).tolist() == pytest.approx([25.0] * batch)
    assert torch.equal(cameras.c2w, view.sample(batch, 6, 6, 7, 10, Streams(2, 7)).c2w)


@pytest.mark.parametrize("wrong", [{"elevation": 91.0}, {"distance": 0.0}, {"fovy": 180.0}, {"azimuth": math.nan}])
def test_impossible_cameras(wrong):
    with pytest.raises(DistillError, match=str(list(wrong)[0]) if "azimuth" not in wrong else "Reference View"):
        StillView(**wrong)


def test_the_text_is_the_content_in_every_process():
    text = repr(reference())
    assert text == "Reference(f44c260c7e4542e346a4)"
    changed = reference().rgb.clone()
    changed[0, 3, 3, 2] += 1e-6
    others = [replace(reference(), rgb=changed), replace(reference(), view=StillView(azimuth=1.0)),
              reference(is_masked=False), reference(depth=torch.ones(1, 4, 4, 1)), reference(normal=torch.ones(1, 4, 4, 3))]
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
    whole = Reference(StillView(), color, mask, depth=inner * 2 + outer * 900, normal=normal)
    small = whole.at(5, 5)
    assert small.rgb.shape == (1, 5, 5, 3) and small.mask.shape == small.inside.shape == small.depth.shape == (1, 5, 5, 1)
    assert ((0.05 < small.mask) & (small.mask < 0.95)).any()  # the edge is soft, and grey right up to it
    torch.testing.assert_close(small.rgb, 0.5 * small.mask.expand(-1, -1, -1, 3))
    torch.testing.assert_close(small.depth[small.inside], torch.full((int(small.inside.sum()),), 2.0))
    torch.testing.assert_close(small.normal[small.inside[..., 0]],
                               torch.tensor([0.0, 0.6, 0.8]).expand(int(small.inside.sum()), 3))
    assert torch.equal(small.inside, small.mask > 0.5) and small.inside[0, 0, 0, 0] and not small.inside[0, 0, 4, 0]


def test_targets_of_the_hosts_tensors_can_be_learned_from():
    with torch.inference_mode():
        own = Reference(StillView(), torch.rand(1, 4, 4, 3), torch.ones(1, 4, 4, 1), depth=torch.rand(1, 4, 4, 1),
                        normal=torch.rand(1, 4, 4, 3))
    for size in (4, 2):
        target = own.at(size, size)
        for image in (target.rgb, target.mask, target.depth, target.normal):
            assert not image.is_inference()
            torch.ones_like(image).requires_grad_().mul(image).sum().backward()


def test_over_a_color():
    half = Reference(StillView(), torch.full((1, 2, 2, 3), 0.4), torch.full((1, 2, 2, 1), 0.25))
    torch.testing.assert_close(half.over(1.0), torch.full((1, 2, 2, 3), 0.85))
