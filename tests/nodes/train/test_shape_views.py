import math

import numpy as np
import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.shapes.caption import parse_shape
from distill3d.nodes.train.dataset_preview import preview_dataset
from distill3d.nodes.train.shape_dataset import load_or_render
from distill3d.nodes.train.shape_views import ANYWHERE, ShapeViews

SMALL = dict(resolution=16, supersample=1)


def test_views_stand_evenly_around_at_one_elevation_or_each_on_its_own():
    data = ShapeViews(9, views=3, **SMALL).render()
    assert data.images.shape == (9, 3, 16, 16, 3) and data.images.dtype == np.uint8 and len(data.captions) == 9
    gaps = np.diff(data.azimuth, axis=1) % (2 * math.pi)
    assert np.allclose(gaps, 2 * math.pi / 3, atol=1e-5) and len(np.unique(data.azimuth[:, 0])) == 9
    assert np.ptp(data.elevation, axis=1).max() == 0 and np.ptp(data.elevation) > 0.5
    # The plane through the origin shows 1 +- 0.03 world units to either side.
    assert np.allclose(data.distance * np.tan(data.fovy / 2), 1.0, atol=0.031)
    apart = ShapeViews(9, views=3, cameras=ANYWHERE, **SMALL).render()
    assert np.ptp(apart.elevation, axis=1).min() > 0


def test_the_same_recipe_gives_the_same_views_however_many_are_drawn(tmp_path):
    whole, part = ShapeViews(16, **SMALL).render(), ShapeViews(8, **SMALL).render()
    for ours, theirs in zip(part, whole):
        np.testing.assert_array_equal(ours, theirs[:8])
    path = str(tmp_path / "views.npz")
    load_or_render(ShapeViews(8, **SMALL), path)
    calls = []
    again = load_or_render(ShapeViews(8, **SMALL), path, lambda *done: calls.append(done))
    assert not calls and np.array_equal(again.images, part.images) and np.array_equal(again.fovy, part.fovy)


def test_objects_stand_on_white_and_the_light_stays_with_them():
    data = ShapeViews(16, albedo_share=0.0, **SMALL).render()
    assert (data.images[:, :, 0, 0] == 255).all()
    assert all(parse_shape(str(caption)) for caption in data.captions)
    assert sum("nose" in caption for caption in data.captions) >= 2


def test_normals_face_the_camera_and_what_is_near_is_bright():
    data = ShapeViews(16, picture="normal and depth", **SMALL).render()
    assert data.images.shape[-1] == 4
    background = data.images[:, :, 0, 0]
    assert np.abs(background.astype(int) - [128, 128, 255, 0]).max() <= 1
    near = data.images[..., 3]
    # What is hit lies within the unit ball, so about the middle of the range of +-sqrt(3).
    assert (near[:, :, 8, 8] > 90).mean() > 0.9 and near.max() < 255 * (0.5 + 1.2 / (2 * math.sqrt(3)))
    assert (data.images[..., 2] >= 120).mean() > 0.99  # no surface that is seen turns its back


def test_one_shape_is_the_same_in_all_of_its_views():
    data = ShapeViews(32, views=2, albedo_share=1.0, **SMALL).render()
    for images, caption in zip(data.images, data.captions):
        if "striped" in caption or "dotted" in caption or "nose" in caption:
            continue
        # Unlit: the same colours in both views.
        colors = [set(map(tuple, np.unique(image.reshape(-1, 3), axis=0).tolist())) for image in images]
        assert colors[0] == colors[1]


@pytest.mark.parametrize("bad", [dict(size=0), dict(views=0), dict(min_elevation=50.0, max_elevation=10.0),
                                 dict(view_size=0.01), dict(fovy=180.0)])
def test_numbers_that_make_no_picture_are_refused(bad):
    with pytest.raises(DistillError, match="Shape Views"):
        ShapeViews(**bad)


def test_the_preview_lays_views_side_by_side():
    dataset = ShapeViews(8, views=3, picture="normal and depth", **SMALL)
    images, captions = preview_dataset(dataset, 2, enlarge=2)
    assert images.shape == (2, 32, 96, 3) and len(captions) == 2
    expected = torch.from_numpy(dataset.render().images[1, 2, ..., :3]).float() / 255
    assert torch.equal(images[1, ::2, 64::2], expected)
