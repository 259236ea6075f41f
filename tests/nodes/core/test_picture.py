import math
from types import SimpleNamespace

import pytest
import torch

from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.picture import IMAGES, check_shown, picture
from distill3d.nodes.core.rendering import Rendering

SIDE, RADIUS, DISTANCE = 65, 0.8, 2.6
CAMERAS = orbit([0.0, 1.9], [0.0, 0.6], DISTANCE, math.radians(42), SIDE, SIDE)


def sphere():
    """A white-hot sphere, rendered by hand: distance along rays, and world normals."""
    origins, directions = CAMERAS.rays()
    along = -(origins * directions).sum(-1, keepdim=True)
    square = RADIUS**2 - (origins.square().sum(-1, keepdim=True) - along**2)
    hit = (square > 0).float()
    depth = (along - square.clamp(min=0).sqrt()) * hit
    normal = (origins + depth * directions) / RADIUS * hit
    return Rendering(rgb=hit.expand(-1, -1, -1, 3), opacity=hit, depth=depth, normal=normal,
                     albedo=torch.tensor([0.8, 0.2, 0.1]) * hit)


def test_a_sphere_by_hand():
    """Both cameras see the same sphere: its middle faces them, its left is red, its top green; it is nearest in the
    middle."""
    found = picture(sphere(), CAMERAS, "normal and depth")
    assert found.shape == (2, SIDE, SIDE, 4) and torch.allclose(found[0], found[1], atol=1e-4)
    middle = SIDE // 2
    near = (math.sqrt(3) + RADIUS) / (2 * math.sqrt(3))  # its front is RADIUS nearer than the plane through its centre
    assert found[0, middle, middle].tolist() == pytest.approx([0.5, 0.5, 1.0, near], abs=1e-4)
    assert found[0, 0, 0].tolist() == pytest.approx([0.5, 0.5, 1.0, 0.0])
    # The pixel 15 columns left: where its ray meets the sphere, in the camera's own axes.
    slope = 15 / (0.5 * SIDE / math.tan(math.radians(21)))
    b = DISTANCE / (1 + slope**2)
    z = b - math.sqrt(b**2 - (DISTANCE**2 - RADIUS**2) / (1 + slope**2))  # along the viewing direction
    left, towards = slope * z / RADIUS, (DISTANCE - z) / RADIUS
    expected = [0.5 + 0.5 * left, 0.5, 0.5 + 0.5 * towards, (DISTANCE + math.sqrt(3) - z) / (2 * math.sqrt(3))]
    assert left > 0.3
    assert found[0, middle, middle - 15].tolist() == pytest.approx(expected, abs=1e-4)
    assert found[0, middle - 15, middle].tolist() == pytest.approx([expected[1], expected[0], *expected[2:]], abs=1e-4)


def test_the_other_pictures():
    rendering = sphere()
    nd = picture(rendering, CAMERAS, "normal and depth")
    assert torch.equal(picture(rendering, CAMERAS, "camera normal"), nd[..., :3])
    albedo = picture(rendering, CAMERAS, "albedo and depth")
    assert torch.equal(albedo[..., 3:], nd[..., 3:])
    assert albedo[0, 32, 32, :3].tolist() == pytest.approx([0.8, 0.2,
                                                            0.1]) and albedo[0, 0, 0, :3].tolist() == [1, 1, 1]
    assert picture(rendering, CAMERAS, "rgb") is rendering.rgb
    assert picture(rendering, CAMERAS, "normal")[0, 32, 32].tolist() == pytest.approx([1.0, 0.5, 0.5], abs=1e-4)


@pytest.mark.parametrize("image", IMAGES)
def test_each_needs_what_it_says(image):
    whole = sphere()
    part = Rendering(opacity=whole.opacity, **{name: getattr(whole, name) for name in IMAGES[image].fields})
    assert torch.equal(picture(part, CAMERAS, image), picture(whole, CAMERAS, image))


def test_priors_of_one_picture_are_shown_no_other():
    class Geometry:
        image = "normal and depth"

    check_shown(Geometry(), "normal and depth", "SDS Loss")
    check_shown(SimpleNamespace(image=""), "camera normal", "SDS Loss")
    with pytest.raises(DistillError, match='SDS Loss: this prior accepts the image "normal and depth".*Set "image" to'):
        check_shown(Geometry(), "rgb", "SDS Loss")
    for image, node in (("normal and depth", "Normal-Depth Prior"), ("albedo and depth", "Albedo Prior")):
        with pytest.raises(DistillError, match=f"only the {node} accepts"):
            check_shown(SimpleNamespace(image=""), image, "SDS Loss")
