import pytest
import torch

from distill3d.nodes.cameras.plain_background import plain_background
from distill3d.nodes.cameras.reference_view import make_reference
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.pictures import orbit_camera

VIEW = orbit_camera("Test", 5.0, 0.0, 3.8, 20.0, 1)


def ring(size=64, background=(1.0, 1.0, 1.0), noise=0.0):
    """A red disk on `background` with a hole of the background's colour, and its silhouette with the hole filled."""
    x = torch.linspace(-1, 1, size)
    radius = (x[:, None] ** 2 + x ** 2).sqrt()
    disk, hole = radius < 0.6, radius < 0.2
    picture = torch.where((disk & ~hole)[..., None], torch.tensor([0.9, 0.1, 0.1]), torch.tensor(background))
    picture = picture + noise * (2 * torch.rand(picture.shape, generator=torch.Generator().manual_seed(0)) - 1)
    return picture[None].clamp(0, 1), disk


@pytest.mark.parametrize("background", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.2, 0.7, 0.3)])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_plain_background_of_any_colour_is_found_and_a_hole_stays(background, noise):
    picture, disk = ring(background=background, noise=noise)
    opacity, color = plain_background(picture)
    assert torch.equal(opacity[0, ..., 0] > 0.5, disk)
    assert torch.allclose(color, torch.tensor(background), atol=0.03)


def test_a_background_behind_bends_is_found():
    """A spiral of white between red walls, which is reached only around its corners."""
    picture = torch.ones(1, 21, 21, 3)
    red = torch.tensor([1.0, 0, 0])
    for k in range(1, 9, 2):
        picture[0, k, k:21 - k], picture[0, 20 - k, k:21 - k] = red, red
        picture[0, k:21 - k, k], picture[0, k:21 - k, 20 - k] = red, red
        picture[0, k + 1 if k % 4 == 1 else 20 - k - 1, k if k % 4 == 1 else 20 - k] = 1.0  # a door
    opacity, _ = plain_background(picture)
    assert torch.equal(opacity[0, ..., 0] > 0.5, picture[0, ..., 1] < 0.5)


def test_several_colours_and_an_empty_picture_are_none():
    slope = torch.linspace(0, 1, 32).view(1, 32, 1, 1).expand(1, 32, 32, 3)
    assert plain_background(slope) is None
    assert plain_background(torch.ones(1, 32, 32, 3)) is None


def test_a_reference_of_a_white_background_has_its_silhouette():
    picture, disk = ring()
    empty = torch.zeros(1, 64, 64)  # Load Image's, of a picture without transparency
    reference = make_reference(VIEW, picture, empty, fill=0.0)
    assert reference.is_masked and torch.equal(reference.mask[0, ..., 0] > 0.5, disk)


def test_an_inverted_mask_is_named():
    picture, disk = ring()
    with pytest.raises(DistillError, match="inverted.*mask_marks"):
        make_reference(VIEW, picture, disk.float()[None])
    assert make_reference(VIEW, picture, disk.float()[None], mask_marks="object").is_masked


def test_an_object_that_leaves_the_picture_below_is_none():
    picture, disk = ring()
    disk[32:, 10:54] = True
    assert make_reference(VIEW, picture, disk.float()[None], mask_marks="object").is_masked
