from dataclasses import replace

import pytest
import torch

from distill3d.kernels import backend
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.optimize.fingerprint import fingerprint
from distill3d.nodes.renderers import volume_scene
from distill3d.nodes.renderers.kernel_backend import KernelBackendNode, with_backend
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer

RECIPE = SceneRecipe(VolumeRenderer(samples=24, occupancy=8), VoxelVolume(resolutions=(4, 8)), Albedo(),
                     SolidBackground())
CAMERAS = turntable(2, 15, 3, 40, 12)


@pytest.fixture
def asked(monkeypatch):
    """The backend that holds while a picture is made."""
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    found, composite = [], volume_scene.composite

    def spy(*arguments):
        found.append(backend.pick("composite", torch.device("cpu"), torch.float32))
        return composite(*arguments)

    monkeypatch.setattr(volume_scene, "composite", spy)
    return found


def test_the_node_hands_on_the_scene():
    found = KernelBackendNode.execute(RECIPE, "torch").args[0]
    assert found == replace(RECIPE, backend="torch") and RECIPE.backend == "auto"
    assert with_backend(found, "auto") == RECIPE


def test_a_scene_keeps_to_its_backend(asked):
    pytest.importorskip("warp")
    pictures = []
    for name in "torch", "warp", "auto":
        scene = with_backend(RECIPE, name).build()
        scene.update(0, 1, Streams(0, 0))
        pictures.append(scene.render(CAMERAS).rgb)
    assert asked == ["torch", "warp", "warp"]
    assert torch.equal(pictures[1], pictures[2])
    torch.testing.assert_close(pictures[0], pictures[1], atol=1e-5, rtol=0)


def test_training_keeps_to_it_and_the_result_stays_so(asked):
    recipe = with_backend(RECIPE, "torch")
    scene = recipe.build()
    scene.render(CAMERAS, streams=Streams(0, 0)).rgb.sum().backward()
    assert all(one.grad is not None for group in scene.parameter_groups().values() for one in group)
    recipe.trained(scene).build().render(CAMERAS)
    assert asked == ["torch", "torch"]


def test_a_run_resumes_under_another_backend():
    assert fingerprint(RECIPE) == fingerprint(with_backend(RECIPE, "torch"))
