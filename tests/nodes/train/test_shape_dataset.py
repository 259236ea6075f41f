import numpy as np
import pytest

from distill3d.nodes.shapes.caption import COLORS, parse_shape
from distill3d.nodes.train.shape_dataset import ShapeDataset, load_or_render


def test_same_recipe_same_images_and_prefix():
    first, again = ShapeDataset(40, resolution=16, seed=3).render(), ShapeDataset(40, resolution=16, seed=3).render()
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one, other)
    longer = ShapeDataset(70, resolution=16, seed=3).render()
    np.testing.assert_array_equal(longer.captions[:32], first.captions[:32])
    assert (ShapeDataset(40, resolution=16, seed=4).render().captions != first.captions).mean() > 0.8


def test_contents():
    seen = []
    data = ShapeDataset(96, resolution=16, seed=0).render(lambda done, size: seen.append((done, size)))
    assert seen[-1] == (96, 96)
    assert data.images.shape == (96, 16, 16, 3) and data.images.dtype == np.uint8
    assert data.elevation.min() >= -40 and data.elevation.max() <= 70
    assert data.elevation.max() - data.elevation.min() > 80
    assert data.azimuth.min() < 40 and data.azimuth.max() > 320
    for caption in data.captions:
        assert parse_shape(str(caption)).caption == caption
    white = (data.images[:, 0, 0] == 255).all(-1).mean()
    assert 0.2 < white < 0.5


def test_images_show_the_colour_of_their_caption():
    # No shading, so that a pixel inside a single shape has its colour exactly.
    data = ShapeDataset(64, resolution=16, seed=5, albedo_share=1.0).render()
    checked = 0
    for image, caption in zip(data.images, data.captions):
        parts = parse_shape(str(caption)).parts
        if len(parts) == 1 and parts[0].primitive != "torus" and parts[0].pattern == "plain":
            np.testing.assert_allclose(image[8, 8], np.array(COLORS[parts[0].color]) * 255, atol=1)
            checked += 1
    assert checked > 10


def test_cache_is_read_back_and_not_mistaken(tmp_path):
    path = str(tmp_path / "work" / "pool.npz")
    first = load_or_render(ShapeDataset(8, resolution=8), path)
    calls = []
    again = load_or_render(ShapeDataset(8, resolution=8), path, lambda *done: calls.append(done))
    assert not calls
    np.testing.assert_array_equal(first.images, again.images)
    load_or_render(ShapeDataset(8, resolution=8, seed=1), path, lambda *done: calls.append(done))
    assert calls


def test_damaged_cache_is_drawn_anew(tmp_path):
    path = tmp_path / "pool.npz"
    first = load_or_render(ShapeDataset(8, resolution=8), str(path))
    path.write_bytes(path.read_bytes()[:300])
    np.testing.assert_array_equal(load_or_render(ShapeDataset(8, resolution=8), str(path)).images, first.images)
    with np.load(path) as stored:
        assert "images" in stored


@pytest.mark.parametrize("numbers, words", [
    ({"size": 0}, "size is 0"),
    ({"min_elevation": 30, "max_elevation": 20}, "in this order"),
    ({"max_elevation": 100}, "-90 .. 90"),
    ({"distance": 0.1}, "distance is 0.1"),
    ({"fovy": 180}, "field of view"),
])
def test_numbers_that_make_no_picture_are_refused(numbers, words):
    with pytest.raises(ValueError, match=words):
        ShapeDataset(**numbers)
