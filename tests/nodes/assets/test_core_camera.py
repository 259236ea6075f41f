"""Numbers of three.js, which core's viewers are made of: right-handed, Y up, cameras look along their own -z."""
import math

import pytest
import torch

from distill3d.nodes.assets.core_camera import camera_from_core
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError

HALF = math.sqrt(0.5)


def xyz(*values, **more):
    return dict(zip("xyz", values), **more)


def viewer(position=(0, 0, 4), target=(0, 0, 0), **more):
    return {"position": xyz(*position), "target": xyz(*target), "zoom": 1, "cameraType": "perspective", "fov": 40,
            **more}


def camera(info, models=None, height=8, width=8):
    return camera_from_core(info, height, width, "Test", models)


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("position, azimuth, elevation", [
    ((0, 0, 4), 0, 0),                              # the viewer's +z is the front
    ((4, 0, 0), 90, 0), ((0, 0, -4), 180, 0), ((-4, 0, 0), -90, 0),
    ((0, 4 * HALF, 4 * HALF), 0, 45), ((2, -2 * math.sqrt(2), 2), 45, -45)])
def test_a_camera_that_looks_at_the_origin_is_the_orbit_one(position, azimuth, elevation):
    found, ours = camera(viewer(position)), orbit(math.radians(azimuth), math.radians(elevation), 4.0, math.radians(40),
                                                  8, 8)
    for name in ("c2w", "fovy", "elevation", "distance"):
        close(getattr(found, name), getattr(ours, name))
    close(torch.cos(found.azimuth - ours.azimuth), torch.ones(1))


def test_straight_down():
    found = camera(viewer((0, 4, 0)))
    close(found.position, torch.tensor([[0.0, 0, 4]]))
    close(found.c2w[0, :3, 2], torch.tensor([0.0, 0, 1]))
    close(torch.linalg.det(found.c2w), torch.ones(1))


def test_the_target_is_in_the_middle_of_the_picture():
    found = camera(viewer((1, 2, 5), target=(1, 2, -3)), height=9, width=9)
    _, direction = found.rays()
    close(found.position, torch.tensor([[5.0, 1, 2]]))
    close(direction[0, 4, 4], torch.tensor([-1.0, 0, 0]))
    close(found.distance, torch.tensor([math.sqrt(30)]))


@pytest.mark.parametrize("quaternion, right, up, backward", [
    (xyz(0, 0, 0, w=1), (0, 1, 0), (0, 0, 1), (1, 0, 0)),          # viewer's x is our y, y our z, z our x
    (xyz(0, HALF, 0, w=HALF), (-1, 0, 0), (0, 0, 1), (0, 1, 0)),   # turned left by a quarter: it stands at +x
    (xyz(0, 0, HALF, w=HALF), (0, 0, 1), (0, -1, 0), (1, 0, 0)),   # rolled: its right is up
])
def test_the_quaternion_counts_rather_than_the_target(quaternion, right, up, backward):
    found = camera(viewer((0, 0, 4), target=(9, 9, 9), quaternion=quaternion))
    close(found.c2w[0, :3, :3].T, torch.tensor([right, up, backward]).float())


def test_zoom_and_a_missing_field_of_view():
    close(camera(viewer(zoom=2.0)).fovy, torch.tensor([2 * math.atan(math.tan(math.radians(20)) / 2)]))
    close(camera({"position": xyz(0, 0, 3)}).fovy, torch.tensor([math.radians(35.0)]))


def test_an_orthographic_camera_stays_orthographic():
    frustum = {"left": -2, "right": 2, "top": 1.5, "bottom": -1.5}
    close(camera(viewer(cameraType="orthographic", frustum=frustum, zoom=0.5)).scale, torch.tensor([3.0]))
    without = camera(viewer(cameraType="orthographic"))
    perspective = camera(viewer())
    close(without.fovy, torch.tensor([math.radians(40)]))
    close(without.view_size, perspective.view_size)
    scaled = camera(viewer(cameraType="orthographic", frustum=frustum), [{"scale": xyz(5, 5, 5)}])
    close(scaled.scale, torch.tensor([0.3]))
    with pytest.raises(DistillError, match="covers a height of -3"):
        camera(viewer(cameraType="orthographic", frustum={"top": -1.5, "bottom": 1.5}))


def test_an_object_that_was_moved_in_the_viewer():
    """The same picture: the camera is moved with the object."""
    alone = camera(viewer((1, 2, 4), target=(0.5, 0, 0)))
    scaled = camera(viewer((5, 10, 20), target=(2.5, 0, 0)), [{"scale": xyz(5, 5, 5), "quaternion": xyz(0, 0, 0, w=1)}])
    moved = camera(viewer((1, 5, 4), target=(0.5, 3, 0)), [{"position": xyz(0, 3, 0), "scale": xyz(1, 1, 1)}])
    # A quarter around the viewer's y: x -> -z, z -> x.
    turned = camera(viewer((4, 2, -1), target=(0, 0, -0.5)), [{"quaternion": xyz(0, HALF, 0, w=HALF)}])
    for other in (scaled, moved, turned):
        close(other.c2w, alone.c2w)
    close(camera(viewer((1, 2, 4), target=(0.5, 0, 0)), []).c2w, alone.c2w)


@pytest.mark.parametrize("info, models, message", [
    (None, None, "holds a NoneType without a position"), ({"target": xyz(0, 0, 0)}, None, "dict without a position"),
    (viewer((0, 0, 0)), None, "is at the point"), (viewer(quaternion=xyz(0, 0, 0, w=0)), None, "not a rotation"),
    (viewer(fov=190), None, "field of view of 190"), (viewer(zoom=-1), None, "at zoom -1"),
    (viewer(), [{"scale": xyz(1, 2, 1)}], "alike along all axes"),
    (viewer(), [{"scale": xyz(-1, -1, -1)}], "scaled by")])
def test_what_is_no_camera(info, models, message):
    with pytest.raises(DistillError, match="^Test: .*" + message):
        camera(info, models)
