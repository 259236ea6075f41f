"""Finds which places of a training step stop a CUDA device, on the processor: there, the same calls read a tensor's
values."""
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import distill3d
from distill3d.nodes.cameras.headlight import CameraLight
from distill3d.nodes.cameras.random_orbit_views import RandomOrbitViews
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.host_buffers import HostBuffers
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prompt import INTERPOLATED, Prompt
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.losses.sparsity import Sparsity
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.optimize.readings import Readings
from distill3d.nodes.optimize.step import Training
from gaussian_prior import GaussianPrior

ROOT = Path(distill3d.__file__).parent
READS = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "repeat_interleave", "_unique2",
         "unique_dim", "unique_consecutive", "bincount"}
INDEXING = {"index", "index_put", "index_put_"}  # by a mask: how many elements it leaves is read

# Functions that may read, by reason. Everything else must leave its numbers on the device.
ON_THE_HOST = {  # what is drawn or kept on the host: reading it stops no device
    "nodes/cameras/random_orbit_views.py:", "nodes/cameras/given_views.py:draw", "nodes/core/cameras.py:angles",
    "nodes/losses/vsd.py:_train", "nodes/materials/lambertian.py:draw_mode", "nodes/materials/random_background.py:",
    "nodes/priors/dreambooth_prior.py:learn", "nodes/priors/repaint.py:repaint", "nodes/priors/zero123.py:take",
    "nodes/priors/zero123.py:_rows"}
BY_SIZE = {  # how many samples, triangles, pixels or tiles there are decides how large the step's tensors are
    "kernels/ragged.py:", "kernels/volume/march.py:", "kernels/volume/march_warp.py:march",
    "kernels/surface/marching_tets.py:", "kernels/surface/mesh.py:unique_edges",
    "kernels/raster/", "nodes/renderers/mesh_scene.py:_draw",
    "kernels/splat/tiles.py:tiles_of", "kernels/splat/splat.py:_by_torch"}
ONCE = {  # once for all views of a step: the clip planes, which the projection needs as numbers
    "nodes/renderers/mesh_scene.py:_planes"}
NOT_THERE = {  # compares tensors on the processor only
    "kernels/volume/box.py:", "kernels/volume/segment.py:"}

class Reads(TorchDispatchMode):
    """Collects the functions of the package in which tensors' values are read."""

    def __init__(self):
        super().__init__()
        self.functions = Counter()
        self.on_host = set()  # addresses of buffers that no device has

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in READS and args[0].data_ptr() in self.on_host:
            return function(*args, **(kwargs or {}))
        if name in READS or name in INDEXING and any(index is not None and index.dtype == torch.bool
                                                     for index in args[1]):
            self.functions[_caller()] += 1
        return function(*args, **(kwargs or {}))


def _caller():
    frame = sys._getframe()
    while frame:
        path = Path(frame.f_code.co_filename)
        # A virtual environment may lie in the folder too.
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ("kernels", "nodes"):
            return f"{path.relative_to(ROOT).as_posix()}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "outside"


@contextmanager
def reads(monkeypatch):
    found = Reads()
    for name in ("tolist", "numpy", "cpu"):  # these pass the dispatcher by on the processor
        plain = getattr(torch.Tensor, name)

        def watched(self, *args, plain=plain, **options):
            found.functions[_caller()] += 1
            return plain(self, *args, **options)

        monkeypatch.setattr(torch.Tensor, name, watched)
    with found:
        yield found
    monkeypatch.undo()


def waits_of_a_step(tmp_path, monkeypatch, scene, losses=None, kind="Adam", step=5, views=RandomOrbitViews(), batch=2):
    """Functions that read values in one step of training, and how often."""
    losses = losses or (SDS(GaussianPrior(), Prompt("a thing", views=INTERPOLATED)), Sparsity())
    chain = (Objective(views, tuple(losses), CameraLight(), Schedule.of(batch), Schedule.of(8)),)
    job = Run(scene, chain, OptimizerSettings(kind, clip=1.0), RunSettings(20, save_every=0), Host(tmp_path), "7")
    job.waiting = 1
    advance, found = Training.step, Counter()

    def watched(training, index):
        if index != step:
            return advance(training, index)
        with reads(monkeypatch) as seen:
            seen.on_host |= {module.get_buffer(name).data_ptr() for module in training.scene.modules()
                             if isinstance(module, HostBuffers) for name in module.on_host}
            result = advance(training, index)
            Readings().send(index, *result)
        found.update(seen.functions)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "step", watched)
        job.run()
    return found


def unexplained(waits):
    known = (*ON_THE_HOST, *BY_SIZE, *NOT_THERE)
    return {wait: count for wait, count in waits.items()
            if not wait.startswith(known) and not (wait in ONCE and count == 1)}
