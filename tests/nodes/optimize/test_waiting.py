"""Which places of a training step stop a CUDA device, found on the processor: there, the same calls read a tensor's
values."""
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import distill3d
from distill3d.nodes.cameras.headlight import CameraLight
from distill3d.nodes.cameras.random_orbit_views import RandomOrbitViews
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prompt import INTERPOLATED, Prompt
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.losses.sparsity import Sparsity
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.random_background import RandomBackground
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.optimize.readings import Readings
from distill3d.nodes.optimize.step import Training
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from gaussian_prior import GaussianPrior

ROOT = Path(distill3d.__file__).parent
READS = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "repeat_interleave", "_unique2",
         "unique_dim", "unique_consecutive", "bincount"}
INDEXING = {"index", "index_put", "index_put_"}  # by a mask: how many elements it leaves is read

# What draws on the host reads nothing of the device.
ON_THE_HOST = {"nodes/cameras/random_orbit_views.py", "nodes/materials/lambertian.py", "nodes/core/cameras.py"}
# How many samples the rays have decides how large the step's tensors are: not known before the device has counted them.
BY_SIZE = {"kernels/ragged.py", "kernels/volume/march.py", "kernels/volume/march_warp.py"}
# These compare tensors on the processor only.
NOT_THERE = {"kernels/volume/box.py", "kernels/volume/segment.py"}


class Reads(TorchDispatchMode):
    """Collects the files of the package from which tensors' values are read."""

    def __init__(self):
        super().__init__()
        self.files = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in READS or name in INDEXING and any(index is not None and index.dtype == torch.bool
                                                     for index in args[1]):
            self.files.add(_caller())
        return function(*args, **(kwargs or {}))


def _caller():
    frame = sys._getframe()
    while frame:
        path = Path(frame.f_code.co_filename)
        # A virtual environment may lie in the folder too.
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ("kernels", "nodes"):
            return path.relative_to(ROOT).as_posix()
        frame = frame.f_back
    return "outside"


@contextmanager
def reads(monkeypatch):
    found = Reads()
    for name in ("tolist", "numpy", "cpu"):  # these pass the dispatcher by on the processor
        plain = getattr(torch.Tensor, name)

        def watched(self, *args, plain=plain, **options):
            found.files.add(_caller())
            return plain(self, *args, **options)

        monkeypatch.setattr(torch.Tensor, name, watched)
    with found:
        yield found.files
    monkeypatch.undo()


def waits_of_a_step(tmp_path, monkeypatch, backend, kind="Adam", step=5, occupancy=16):
    """Files that read values in one step of score distillation."""
    scene = SceneRecipe(VolumeRenderer(samples=12, occupancy=occupancy), VoxelVolume(resolutions=(4, 8)), Lambertian(),
                        RandomBackground(), backend=backend)
    losses = SDS(GaussianPrior(), Prompt("a thing", views=INTERPOLATED)), Sparsity()
    chain = (Objective(RandomOrbitViews(), losses, CameraLight(), Schedule.of(2), Schedule.of(8)),)
    job = Run(scene, chain, OptimizerSettings(kind, clip=1.0), RunSettings(20, save_every=0), Host(tmp_path), "7")
    job.waiting = 1
    advance, found = Training.step, set()

    def watched(training, index):
        if index != step:
            return advance(training, index)
        with reads(monkeypatch) as files:
            result = advance(training, index)
            Readings().send(index, *result)
        found.update(files)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "step", watched)
        job.run()
    return found


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_a_step_reads_only_how_many_samples_there_are(tmp_path, monkeypatch, backend):
    waits = waits_of_a_step(tmp_path, monkeypatch, backend)
    assert waits & BY_SIZE and waits <= ON_THE_HOST | BY_SIZE | NOT_THERE


def test_reads_are_found(tmp_path, monkeypatch):
    """An optimiser that is not fused must know whether to step, and every sixteenth step counts the occupied cells."""
    assert "nodes/optimize/optimizer_settings.py" in waits_of_a_step(tmp_path, monkeypatch, "torch", "SGD")
    assert "nodes/renderers/volume_scene.py" in waits_of_a_step(tmp_path, monkeypatch, "torch", step=16)
