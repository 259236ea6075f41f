import itertools

import pytest
import torch

from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.export.turntable import TurntableNode, render_turntable
from distill3d.nodes.fields.trainable_mesh import TrainableMesh
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer


def test_it_turns_from_the_front_towards_y(soft_scene):
    pictures = render_turntable(soft_scene(), 4, 24, elevation=0.0, shading="normal", background="black")
    assert pictures.shape == (4, 24, 24, 3)
    middle = pictures[:, 12, 12]                         # 0.5 + 0.5 n of the side that is seen
    expected = 0.5 + 0.5 * torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    torch.testing.assert_close(middle, expected, atol=0.1, rtol=0)
    torch.testing.assert_close(pictures[:, 0, 0], torch.zeros(4, 3))


def test_backgrounds(soft_scene):
    corner, middle = [], []
    for background in ("scene", "white", "grey", "black"):
        picture = render_turntable(soft_scene(), 1, 16, background=background)[0]
        corner.append(picture[0, 0])
        middle.append(picture[8, 8])
    torch.testing.assert_close(torch.stack(corner), torch.tensor([1.0, 1, 0.5, 0])[:, None].expand(-1, 3))
    torch.testing.assert_close(torch.stack(middle), middle[0].expand(4, 3), atol=1e-4, rtol=0)


def test_the_bounds_fill_the_picture(soft_scene):
    # The ball of radius 1 that the bounds hold reaches nearly, but not quite, to the edge of the picture.
    picture = render_turntable(soft_scene(size=0.97, softness=0.001), 1, 64, elevation=0.0)[0]
    columns = (picture < 0.99).any(-1).any(0).nonzero()
    assert 52 <= int(columns.max() - columns.min()) + 1 <= 62
    far = render_turntable(soft_scene(size=0.97, softness=0.001), 1, 64, elevation=0.0, distance=8.0)[0]
    assert int((far < 0.99).any(-1).sum()) < int((picture < 0.99).any(-1).sum()) / 3


def test_a_mesh_that_reaches_into_the_corners_of_its_bounds_is_seen_whole():
    import scipy.spatial

    corners = torch.tensor(list(itertools.product((-0.5, 0.5), repeat=3)))
    faces = torch.tensor(scipy.spatial.ConvexHull(corners.numpy()).simplices).long()
    scene = SceneRecipe(MeshRasterizer(), TrainableMesh(Mesh(corners, faces), 64), Albedo(),
                        SolidBackground((1.0, 1.0, 1.0)))
    pictures = render_turntable(scene, 4, 64, elevation=35.0)
    edge = torch.cat([pictures[:, [0, -1]].flatten(), pictures[:, :, [0, -1]].flatten()])
    assert bool((edge == 1).all()) and float((pictures < 0.99).any(-1).float().mean()) > 0.15


def test_unknown_names(soft_scene):
    with pytest.raises(DistillError, match='shading "x" must be one of albedo'):
        render_turntable(soft_scene(), shading="x")


def test_node(soft_scene, output_host):
    with torch.inference_mode():
        images = TurntableNode.execute(soft_scene(), frames=2, size=16).args[0]
    assert images.shape == (2, 16, 16, 3) and 0 <= float(images.min()) and float(images.max()) <= 1
    output_host.cancelled = True
    with pytest.raises(Cancelled):
        TurntableNode.execute(soft_scene())
