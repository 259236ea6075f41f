"""The measures against the pack's own renderer and extraction: a voxel scene made from the true shape scores high.

Axes, handedness and units of truth, scene and mesh must all agree for that: the shape looks different from every side.
"""
from dataclasses import replace

import pytest
import torch

from distill3d.kernels.shapes.sdf import Parts, shape_sdf
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.evaluate.compare_geometry import CompareGeometryNode
from distill3d.nodes.evaluate.score_views import score_scene
from distill3d.nodes.export.extract_mesh import ExtractMeshNode
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from distill3d.nodes.shapes.caption import parse_shape, shape_parts

CAPTION = "a red sphere with a blue nose"


def carved(caption, size=48):
    recipe = SceneRecipe(VolumeRenderer(samples=96, occupancy=0), VoxelVolume(resolutions=(size,)), Albedo(),
                         SolidBackground())
    scene = recipe.build()
    parts = Parts(*(value[0] for value in shape_parts([parse_shape(caption)])))
    line = torch.linspace(-1.15, 1.15, size)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    points = torch.stack([x, y, z], -1).view(-1, 3)
    alone = torch.stack([shape_sdf(Parts(*(value[i:i + 1] for value in parts)), points)
                         for i in range(len(parts.kind))])
    with torch.no_grad():
        distance = alone.amin(0).view(1, 1, size, size, size)
        scene.field.raw_density[0].copy_((-distance * 400).clamp(-40, 40) - scene.field.blob)
        color = parts.color[alone.argmin(0)].clamp(0.02, 0.98).logit()
        scene.field.raw_features[0].copy_(color.T.reshape(1, 3, size, size, size))
    return replace(recipe, state={name: value.clone() for name, value in scene.state_dict().items()})


@pytest.fixture(scope="module")
def scene():
    return carved(CAPTION)


def test_views(scene):
    scores, _ = score_scene(scene, CAPTION, 32)
    assert scores.iou > 0.93 and scores.psnr > 22 and scores.color_error < 0.06 and scores.normal_error < 8
    other, _ = score_scene(scene, "a blue sphere with a red nose", 32)
    assert abs(other.iou - scores.iou) < 1e-6 and other.psnr < scores.psnr - 5


def test_mesh(scene):
    mesh = ExtractMeshNode.execute(scene, resolution=48, vertex_colors=False).args[0]
    assert CompareGeometryNode.execute(mesh, CAPTION, 10_000).args[0] < 0.012
    assert CompareGeometryNode.execute(mesh, "a red sphere", 10_000).args[0] > 0.03
