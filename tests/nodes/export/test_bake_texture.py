import pytest
import torch

from distill3d.kernels.image.compare import psnr
from distill3d.nodes.assets.core_mesh import from_core, to_core
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.export.bake_texture import BakeTextureNode, bake_texture
from distill3d.nodes.export.render_mesh import render_mesh
from distill3d.nodes.surface.color import surface_color
from distill3d.nodes.surface.silhouette import scene_views


def test_the_baked_mesh_looks_like_the_scene(soft_scene, unwrapped):
    scene, mesh = unwrapped
    baked = bake_texture(mesh, scene, 256)
    assert baked.texture.shape == (256, 256, 3) and baked.vertex_colors is None
    views = scene_views(scene.build(), 64)
    rgb, _ = render_mesh(baked, views.cameras)
    assert float(psnr(rgb, views.rgb).min()) > 26
    # The colours themselves, away from the soft silhouette, are closer than the pictures as a whole.
    inner = torch.nn.functional.max_pool2d(1 - views.opaque[:, None].float(), 7, 1, 3)[:, 0] == 0
    assert float((rgb - views.rgb)[inner].square().mean()) < 10**-3.4


def test_charts_continue_outwards(unwrapped):
    scene, mesh = unwrapped
    narrow, wide = (bake_texture(mesh, scene, 128, padding) for padding in (1, 16))
    mean = narrow.texture[0, 0]                          # the corner of the atlas is far from any chart
    assert int((wide.texture == mean).all(-1).sum()) < int((narrow.texture == mean).all(-1).sum())


def test_the_visible_layer_gives_the_colour(soft_scene):
    """A white ball in a thin black skin that lies outside the threshold surface: what is seen is black."""
    scene = soft_scene(size=0.6, softness=0.002, peak=500.0).build()
    field = type(scene.field)

    class Skinned(field):
        def forward(self, x, variance=None, normals=False):
            found = super().forward(x)
            found.features = (x.norm(dim=-1, keepdim=True) < 0.59).float().expand(-1, 3)
            return found

    scene.field.__class__ = Skinned
    outward = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    assert float(surface_color(scene, 0.6 * outward, outward).max()) < 0.05
    # A point that the mesh moved deep inside still looks out through its segment only, and sees white.
    assert float(surface_color(scene, 0.5 * outward, outward).min()) > 0.95
    # In emptiness the densest point of the segment decides.
    assert torch.equal(surface_color(scene, 0.9 * outward, outward), torch.zeros(50, 3))


def test_without_uvs_the_message_gives_advice(soft_scene, unwrapped):
    _, mesh = unwrapped
    with pytest.raises(DistillError, match="Bake Texture: .* Put Unwrap UV before"):
        bake_texture(Mesh(mesh.vertices, mesh.faces), soft_scene())
    with pytest.raises(DistillError, match="cover no texel"):
        bake_texture(Mesh(mesh.vertices, mesh.faces, mesh.uv + 5), soft_scene(), 16)


def test_a_texture_larger_than_memory_is_refused_at_once(soft_scene, unwrapped):
    scene, mesh = unwrapped
    with pytest.raises(DistillError, match="memory is too small for a texture of 1000000 x 1000000. Lower "
                                           "texture_size"):
        bake_texture(mesh, scene, 1_000_000)


def test_faces_without_area_are_baked_around(soft_scene):
    """A triangle, one that is a point in the texture, and one that is a point on the mesh."""
    vertices = torch.tensor([[0.6, -0.3, -0.3], [0.6, 0.3, -0.3], [0.6, 0, 0.3], [0.6, 0.0, 0.0]])
    uv = torch.tensor([[0.1, 0.9], [0.9, 0.9], [0.5, 0.1], [0.5, 0.5]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [3, 3, 3], [0, 0, 1]]), uv)
    baked = bake_texture(mesh, soft_scene(kind="box"), 32)
    assert bool(baked.texture.isfinite().all()) and baked.texture.shape == (32, 32, 3)


def test_node_in_inference_mode(unwrapped, output_host):
    scene, mesh = unwrapped
    with torch.inference_mode():
        core = BakeTextureNode.execute(to_core(mesh), scene, texture_size=64).args[0]
    torch.testing.assert_close(from_core(core, "Test").texture, bake_texture(mesh, scene, 64).texture)
