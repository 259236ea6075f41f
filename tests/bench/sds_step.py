"""One step of score distillation, as the shipped workflow "dreamfusion" wires it, with random weights in its prior."""
from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from distill3d.nodes.comfy import Host, io
from distill3d.nodes.core.loss import Look, RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.optimize.initial_scene import InitialScene
from distill3d.nodes.optimize.optimize import OptimizeNode
from distill3d.nodes.train.if_layout import build_text_encoder, build_tokenizer, build_unet, save_if_folder
from distill3d.runner import listing
from distill3d.runner.check import needed_order
from distill3d.runner.graph import Graph
from distill3d.runner.run import run_workflow
from distill3d.runner.schema import default_registry
from distill3d.runner.workflow_file import read_graph

from .case import now, peak_memory

WORKFLOW = listing.find_workflow("dreamfusion")
PARTS = ("render", "prior", "losses", "backward", "optimiser")
WARM_UP = 2


def sds_step(quick: bool, repeats: int, device: torch.device) -> dict[str, Any]:
    """size in words, median milliseconds of PARTS and of the whole step, peak bytes.

    quick: one view and a small prior. Raises MissingPackage without diffusers.
    """
    with tempfile.TemporaryDirectory() as folder:
        host = Host(folder, str(device))
        save_if_folder(str(Path(folder, "prior")), *_random_prior(quick))
        stage = _wired_stage(host, quick)
        step = _Step(stage, device)
        for index in range(WARM_UP):
            step(index)
        times = [step(WARM_UP + index) for index in range(repeats)]
        peak = peak_memory(lambda: step(WARM_UP + repeats), device)
    result = {part: median(one[part] for one in times) for part in PARTS}
    total = median(sum(one.values()) for one in times)
    return {"size": step.size, "parts": result, "step": total, "peak": peak}


def _random_prior(quick: bool):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (build_unet((16, 32), 16) if quick else build_unet()), build_text_encoder(), build_tokenizer()


class _Stage(OptimizeNode):
    """Optimize, as far as its inputs: what arrives is kept."""

    @classmethod
    def define_schema(cls):
        return replace(super().define_schema(), is_output_node=True)

    @classmethod
    def execute(cls, **inputs) -> io.NodeOutput:
        return io.NodeOutput(inputs, None)


def _wired_stage(host: Host, quick: bool) -> dict[str, Any]:
    """What the workflow gives to its Optimize node, with the prior in the host's output folder."""
    registry = {**default_registry(), "Distill3D_Optimize": _Stage}
    graph = read_graph(WORKFLOW, registry)
    place = {node.type: name for name, node in graph.nodes.items()}
    graph = graph.with_input(place["Distill3D_BuiltinPrior"], "folder", "prior")
    if quick:
        graph = graph.with_input(place["Distill3D_Objective"], "batch", 1.0)
    needed = needed_order(graph, registry, [place["Distill3D_Optimize"]])
    graph = Graph({name: graph.nodes[name] for name in needed}, graph.name)
    return run_workflow(graph, host=host, classes=registry).outputs[place["Distill3D_Optimize"]][0]


class _Step:
    """Everything between two steps of Optimize, timed in parts."""

    def __init__(self, stage: dict[str, Any], device: torch.device):
        self.device, self.total, self.seed = device, stage["steps"], stage["seed"]
        self.objective, = stage["objective"]
        self.settings = stage["optimizer"]
        self.scene = stage["scene"].build(device)
        self.initial = InitialScene(stage["scene"], device)
        self.optimizer = self.settings.build(self.scene.parameter_groups())
        loaded = LoadedPriors(device)
        self.prior_time = 0.0
        context = RunContext(device, self.seed, lambda recipe: self._timed(loaded(recipe)))
        self.losses = [loss.prepare(context) for loss in self.objective.losses]
        self.pixels, self.batch = (round(schedule.at(0, self.total))
                                   for schedule in (self.objective.resolution, self.objective.batch))

    @property
    def size(self) -> str:
        weights = sum(parameter.numel() for parameter in self.prior.unet.parameters())
        return f"{self.pixels} x {self.pixels} x {self.batch}, prior of {weights / 1e6:.1f} M weights"

    def __call__(self, step: int) -> dict[str, float]:
        """Milliseconds of PARTS."""
        objective, streams = self.objective, Streams(self.seed, step)
        start = now(self.device)
        self.scene.update(step, self.total, streams.within("scene"))
        cameras = objective.views.sample(self.batch, self.pixels, self.pixels, step, self.total,
                                         streams).to(self.device)
        light = objective.light.sample(cameras, step, self.total, streams) if objective.light else None
        rendering = self.scene.render(cameras, light, objective.wanted, step=step, streams=streams,
                                      shading=None if light is not None else "albedo")
        rendered, self.prior_time = now(self.device), 0.0
        value = sum(loss(Look(rendering, cameras, step, self.total, streams.within(str(index)), self.scene,
                              self.initial)).value
                    for index, loss in enumerate(self.losses))
        judged = now(self.device)
        value.backward(inputs=[p for entry in self.optimizer.param_groups for p in entry["params"]])
        returned = now(self.device)
        self.settings.set_rates(self.optimizer, step, self.total)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return dict(zip(PARTS, (rendered - start, self.prior_time, judged - rendered - self.prior_time,
                                returned - judged, now(self.device) - returned)))

    def _timed(self, prior):
        self.prior, denoise = prior, prior.denoise

        def timed(*arguments):
            start = now(self.device)
            result = denoise(*arguments)
            self.prior_time += now(self.device) - start
            return result

        prior.denoise = timed
        return prior
