from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import trimesh

from distill3d.kernels.image.compare import psnr
from distill3d.kernels.surface.mesh import is_watertight
from distill3d.kernels.uv.bake import covered_texels, sample_texture
from distill3d.kernels.uv.tangent import from_tangent_space
from distill3d.nodes.assets.core_mesh import from_core, to_core
from distill3d.nodes.assets.mesh import Mesh, weld
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.export.bake_texture import BakeTextureNode, bake_texture
from distill3d.nodes.export.extract_mesh import ExtractMeshNode, extract_mesh
from distill3d.nodes.export.load_mesh import load_mesh
from distill3d.nodes.export.render_mesh import render_mesh
from distill3d.nodes.export.save_mesh import save_mesh
from distill3d.nodes.export.unwrap_uv import unwrap_uv
from distill3d.nodes.fields.trainable_mesh import TrainableMesh
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.pbr import PBR
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from distill3d.nodes.surface.silhouette import scene_views
from gltf_rules import Glb
from mesh_field import ball
from painted_surface import painted_recipe


@pytest.fixture(scope="module")
def physical():
    """(recipe, its mesh with all textures)"""
    recipe = painted_recipe(PBR())
    return recipe, bake_texture(unwrap_uv(extract_mesh(recipe).mesh, atlas="boxes"), recipe, 384)


def angles(a, b):
    return torch.rad2deg(torch.acos((a * b).sum(1).clamp(-1, 1)))


def mapped(mesh):
    """Place and normal that the normal map tells, of every texel in a chart."""
    size = len(mesh.normal_map)
    texel, place = covered_texels(mesh.uv, mesh.faces, torch.cat([mesh.vertices, mesh.normals, mesh.tangents], 1),
                                  mesh.faces, size)
    position, normal, tangent = place.split([3, 3, 4], 1)
    return position, from_tangent_space(2 * mesh.normal_map.view(-1,
                                                                 3)[texel] - 1, normal,
                                        tangent), F.normalize(normal, dim=1)


def test_extract_gives_the_scenes_triangles(output_host):
    found = extract_mesh(painted_recipe())
    vertices, faces = ball(24)
    assert len(found.mesh.faces) == len(faces) and is_watertight(found.mesh.faces)
    torch.testing.assert_close(found.mesh.vertices, vertices)
    expected = (1.5 * torch.sin(4 * vertices + torch.arange(3.0))).sigmoid()
    torch.testing.assert_close(found.mesh.vertex_colors, expected)
    assert found.overlap > 0.97 and found.threshold == 0 and found.comparison.shape[0] == 8
    assert str(found).startswith("the scene's own triangles, silhouettes agree ")
    assert extract_mesh(painted_recipe(), colors=False).mesh.vertex_colors is None
    assert output_host.warnings == []


def test_small_parts_are_dropped(output_host):
    recipe = painted_recipe(extra="floater")
    assert (extract_mesh(recipe).found, extract_mesh(recipe).kept) == (2, 1)
    assert len(extract_mesh(recipe).mesh.faces) == len(ball(24)[1])
    assert extract_mesh(recipe, smallest=0.0).kept == 2


def test_texture_coordinates_come_along():
    recipe = painted_recipe(atlas=True)
    mesh, field = extract_mesh(recipe).mesh, recipe.build().field
    torch.testing.assert_close(mesh.uv[mesh.faces], field.uv[field.faces_uv])
    assert is_watertight(weld(mesh.vertices, mesh.faces)[1]) and "watertight" in str(extract_mesh(recipe))
    torch.testing.assert_close(mesh.vertex_colors, field.features(mesh.vertices, mesh.uv).sigmoid())


@pytest.mark.parametrize("again", [False, True])
def test_materials_on_texture_coordinates_can_be_baked(again):
    """On the surface's own atlas, and on another one."""
    recipe = painted_recipe(atlas=True)
    mesh, field = extract_mesh(recipe).mesh, recipe.build().field
    if again:
        mesh = unwrap_uv(Mesh(mesh.vertices, mesh.faces), atlas="boxes", padding=8)
    baked = bake_texture(mesh, recipe, 256)
    assert baked.normal_map is None and baked.metallic_roughness is None
    # In the middle of each face; faces may have another order.
    corner = mesh.uv[mesh.faces].mean(1)
    own = field.uv[field.faces_uv].mean(1)
    order = (mesh.vertices[mesh.faces].mean(1)[:, None] - field.vertices[field.faces].mean(1)).norm(dim=2).argmin(1)
    expected = field.features(None, own[order]).sigmoid()
    assert float((sample_texture(baked.texture, corner) - expected).abs().mean()) < 0.01


def test_metallic_and_roughness_are_the_materials(physical):
    recipe, mesh = physical
    scene, middle = recipe.build(), mesh.vertices[mesh.faces].mean(1)
    expected = scene.material.textures(scene.field.features(middle), middle)
    found = sample_texture(mesh.metallic_roughness, mesh.uv[mesh.faces].mean(1))
    assert float((found[:, 1:2] - expected["roughness"]).abs().max()) < 0.03 > float(
        (found[:, 2:] - expected["metallic"]).abs().max())
    assert float(found[:, 0].abs().max()) == 0


def test_bumps_become_a_normal_map(physical):
    recipe, mesh = physical
    position, told, plain = mapped(mesh)
    bumped = recipe.build().material.textures(recipe.build().field.features(position), plain)["normal"]
    assert float(angles(told, bumped).quantile(0.99)) < 1 < 5 < float(angles(plain, bumped).mean())


def test_the_shape_that_a_coarse_mesh_lacks_becomes_a_normal_map():
    recipe = painted_recipe(rings=64, bumps=0.05)
    smooth = unwrap_uv(Mesh(*ball(12)), atlas="boxes")
    position, told, plain = mapped(bake_texture(smooth, recipe, 256))
    surface = recipe.build().field.surface()
    nearest = (position[::37, None] - surface.vertices).norm(dim=2).argmin(1)
    true = surface.normals[nearest].detach()
    assert float(angles(told[::37], true).mean()) < 3 < 0.4 * float(angles(plain[::37], true).mean())


def test_the_same_surface_needs_no_normal_map():
    recipe = painted_recipe(bumps=0.02)
    assert bake_texture(unwrap_uv(extract_mesh(recipe).mesh, atlas="boxes"), recipe, 128).normal_map is None


def reloaded(path):
    """What trimesh reads: the mesh, and its pictures by name."""
    material = trimesh.load(path, force="mesh", process=False).visual.material
    return load_mesh(f"{path.name} [output]"), material


def test_a_reloaded_file_renders_like_the_scene(physical, output_host):
    """Eight views all around, at least 30 dB each."""
    recipe, mesh = physical
    path = save_mesh(mesh, "ball", "glb")[0]
    Glb(path.read_bytes())
    back, material = reloaded(path)
    views = scene_views(recipe.build(), 128)
    rgb, _ = render_mesh(back, views.cameras, supersample=4)
    quality = psnr(rgb, views.rgb)
    assert len(quality) == 8 and float(quality.min()) >= 30
    assert material.metallicRoughnessTexture.size == material.normalTexture.size == (384, 384)


def test_a_trainable_mesh_is_saved_as_it_renders(physical, output_host):
    """On the texture coordinates that it was trained with."""
    painted = replace(physical[1], metallic_roughness=None, normal_map=None, tangents=None)
    recipe = SceneRecipe(MeshRasterizer(), TrainableMesh(painted, 128), Albedo(), SolidBackground((1.0, 1.0, 1.0)))
    mesh = extract_mesh(recipe).mesh
    path = save_mesh(bake_texture(mesh, recipe, 256), "trained", "glb")[0]
    back, _ = reloaded(path)
    views = scene_views(recipe.build(), 128)
    rgb, _ = render_mesh(back, views.cameras, supersample=4)
    assert float(psnr(rgb, views.rgb).min()) >= 30


def test_another_mesh_is_refused():
    far = unwrap_uv(Mesh(ball(12)[0] + 5, ball(12)[1]), atlas="boxes")
    with pytest.raises(DistillError, match="Bake Texture: only 0% of the mesh is near the scene's surface"):
        bake_texture(far, painted_recipe(), 64)


@pytest.mark.parametrize("extra, message", [("nothing", "has no triangles"), ("nan", "1 of 1106 vertices .* not "
                                                                              "finite")])
def test_a_broken_surface_is_named(extra, message):
    recipe = painted_recipe(extra=extra)
    with pytest.raises(DistillError, match=f"Extract Mesh: .*{message}"):
        extract_mesh(recipe)
    with pytest.raises(DistillError, match=f"Bake Texture: .*{message}"):
        bake_texture(unwrap_uv(Mesh(*ball(12)), atlas="boxes"), recipe, 64)


def test_nodes_in_inference_mode(output_host):
    recipe = painted_recipe(PBR())
    with torch.inference_mode():
        mesh, threshold, _, report = ExtractMeshNode.execute(recipe).args
        core = to_core(unwrap_uv(from_core(mesh, "Test"), atlas="boxes"))
        baked = from_core(BakeTextureNode.execute(core, recipe, texture_size=64).args[0], "Test")
    assert threshold == 0 and "IoU" in report
    assert baked.texture.shape == baked.normal_map.shape == baked.metallic_roughness.shape == (64, 64, 3)
    assert output_host.warnings == []
