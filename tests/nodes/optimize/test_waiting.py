"""Scenes leave their numbers on the device: a step reads none but those that decide sizes."""

import pytest

from device_reads import unexplained, waits_of_a_step
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.core.material import OwnColor
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.encoded_volume import VolumeSettings
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.gaussians import Gaussians
from distill3d.nodes.fields.hash_grid_sdf import HashGridSDF
from distill3d.nodes.fields.hash_grid_volume import HashGridVolume
from distill3d.nodes.fields.mlp_volume import MLPVolume
from distill3d.nodes.fields.tet_grid import TetGrid
from distill3d.nodes.fields.trainable_mesh import TrainableMesh
from distill3d.nodes.fields.triplane_volume import TriplaneVolume
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.environment_background import EnvironmentBackground
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.pbr import PBR
from distill3d.nodes.materials.random_background import RandomBackground
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from distill3d.nodes.renderers.neus_renderer import NeuSRenderer
from distill3d.nodes.renderers.splat_renderer import SplatRenderer
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from mesh_field import ball

GRID = FeatureGrid(levels=2, log2_size=6, base=4, finest=8, width=8)
BALL = Mesh(*ball(6))
SETTINGS = VolumeSettings(normals="finite difference")
VOXELS = VoxelVolume(resolutions=(4, 8))
RAYS = VolumeRenderer(samples=12, occupancy=16)


def scene(renderer, field, material=Lambertian(), background=RandomBackground(), backend="auto"):
    return SceneRecipe(renderer, field, material, background, backend=backend)


SCENES = {
    "voxels": scene(RAYS, VOXELS),
    "voxels, torch": scene(RAYS, VOXELS, backend="torch"),
    "hash grid": scene(RAYS, HashGridVolume(levels=2, log2_size=6, base=4, finest=8, width=8)),
    "hash grid, differences": scene(RAYS, HashGridVolume(SETTINGS, 2, 2, 6, 4, 8, 8)),
    "planes": scene(RAYS, TriplaneVolume(resolution=4, features=2, width=4)),
    "network": scene(RAYS, MLPVolume(octaves=2, depth=1, width=4), PBR(), EnvironmentBackground()),
    "signed distance": scene(NeuSRenderer(samples=12, occupancy=16), HashGridSDF(grid=GRID)),
    "tetrahedra": scene(MeshRasterizer(), TetGrid(resolution=8, features=GRID)),
    "tetrahedra, torch": scene(MeshRasterizer(), TetGrid(resolution=8, features=GRID), backend="torch"),
    "triangles": scene(MeshRasterizer(), TrainableMesh(BALL, 8, shape=True), PBR()),
    "Gaussians": scene(SplatRenderer(), Gaussians(count=40), OwnColor(), SolidBackground()),
    "Gaussians, torch": scene(SplatRenderer(), Gaussians(count=40), OwnColor(), SolidBackground(), "torch"),
}


@pytest.mark.parametrize("kind", SCENES)
def test_a_step_reads_only_what_decides_sizes(tmp_path, monkeypatch, kind):
    assert unexplained(waits_of_a_step(tmp_path, monkeypatch, SCENES[kind])) == {}


def test_reads_are_found(tmp_path, monkeypatch):
    """An optimiser that is not fused must know whether to step, and every sixteenth step counts the occupied cells."""
    scene = SCENES["voxels, torch"]
    assert any("fused_step.py" in wait for wait in waits_of_a_step(tmp_path, monkeypatch, scene, kind="SGD"))
    assert any("volume_scene.py" in wait for wait in waits_of_a_step(tmp_path, monkeypatch, scene, step=16))
