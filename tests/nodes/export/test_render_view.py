import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.export.render_view import RenderViewNode, render_view
from distill3d.nodes.export.turntable import render_turntable


def test_without_a_camera_it_is_a_frame_of_the_turntable(soft_scene):
    picture, mask = render_view(soft_scene(), 24, 24, azimuth=90.0, shading="normal")
    assert torch.equal(picture, render_turntable(soft_scene(), 4, 24, shading="normal")[1:2])
    assert mask.shape == (1, 24, 24) and float(mask[0, 12, 12]) > 0.99 and float(mask[0, 0, 0]) < 0.01


def test_a_viewers_camera_shows_its_own_side(soft_scene):
    """Level, at the viewer's +x (our +y): the box's long side is across. Its tip at the far right is our -x."""
    info = {"position": {"x": 5.0, "y": 0.0, "z": 0.0}, "target": {"x": 0, "y": 0, "z": 0}, "fov": 30.0, "zoom": 1}
    _, mask = render_view(soft_scene(kind="box"), 32, 64, camera=info)
    rows, columns = (mask[0] > 0.5).any(1).nonzero()[:, 0], (mask[0] > 0.5).any(0).nonzero()[:, 0]
    high, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    assert abs(wide / high - 0.6 / 0.35) < 0.25
    # 0.35 above and below at a distance of 5 - 0.45, where 32 rows are 2 * 4.55 tan(15 deg).
    assert abs(high - 32 * 0.35 / (4.55 * 0.268)) < 2
    assert abs(float(rows.float().mean()) - 15.5) < 1 and abs(float(columns.float().mean()) - 31.5) < 1


def test_colours_are_where_the_camera_projects_them(soft_scene):
    """Red grows along our x, see the scene: from the viewer's +x, where our -x is on the right, it falls to the
    right."""
    info = {"position": {"x": 5.0, "y": 0.0, "z": 0.0}, "target": {"x": 0, "y": 0, "z": 0}, "fov": 20.0}
    picture, mask = render_view(soft_scene(), 32, 32, camera=info, background="black")
    left, right = picture[0, 16, 8:12, 0].mean(), picture[0, 16, 20:24, 0].mean()
    assert float(mask[0, 16, 8:24].min()) > 0.9 and float(left - right) > 0.2


def test_node(soft_scene, output_host):
    with torch.inference_mode():
        image, mask = RenderViewNode.execute(soft_scene(), width=24, height=16).args
    assert image.shape == (1, 16, 24, 3) and mask.shape == (1, 16, 24)
    assert not image.is_inference() and 0 <= float(image.min()) and float(image.max()) <= 1
    with pytest.raises(DistillError, match="Render View: the camera input holds a str"):
        RenderViewNode.execute(soft_scene(), camera_info="front")
    with pytest.raises(DistillError, match='Render View: shading "x"'):
        RenderViewNode.execute(soft_scene(), shading="x")
