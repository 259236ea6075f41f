"""What a workflow makes from a prompt: the scene of its last stage, and its mesh."""
from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..nodes.comfy import Node, io
from ..nodes.core.errors import DistillError
from ..nodes.core.scene import SceneRecipe
from . import schema
from .check import checked, needed_order
from .console import Console
from .graph import Graph, GraphNode, Link
from .run import RunResult, run_workflow
from .schema import Registry
from .setting import PROMPT_NODE, STAGE_NODE, with_settings
from .true_picture import Viewpoint, viewpoint_of, with_true_pictures
from .weights import weights_of


class Stage(NamedTuple):
    """One Optimize node: its title, its scene and its run time."""

    name: str
    scene: SceneRecipe
    seconds: float


class Product(NamedTuple):
    """mesh: a core MESH, or None if the workflow makes none. seconds: of the whole run; of its Optimize nodes. stages:
    in running order. viewpoint: of the reference image, if there is one."""

    scene: SceneRecipe
    mesh: Any | None
    seconds: float
    optimize_seconds: float
    stages: tuple[Stage, ...] = ()
    viewpoint: Viewpoint | None = None


@dataclass(frozen=True)
class WorkflowProducer:
    """A workflow as a function of prompt and seed. A workflow that loads an image gets one of the true shape.

    graph     the workflow
    sets      other values to change, see setting.py
    output    folder for the files that the workflow saves, one folder in it for each prompt
    device    None: the host's choice; quiet: no progress
    quick     runs only what is measured, without texture or files
    registry  node classes by id; None: this pack's and the stand-ins for core's
    models    folder of models; None: ./models
    """

    graph: Graph
    sets: Mapping[str, Any] = field(default_factory=dict)
    output: str | os.PathLike = "output"
    device: str | None = None
    quiet: bool = True
    quick: bool = False
    classes: Registry | None = None
    models: str | os.PathLike | None = None

    def __call__(self, prompt: str, seed: int, name: str) -> Product:
        """Runs the workflow; name: of the folder for its files. Raises DistillError, which names the node."""
        graph, registry = self.prepared(prompt, seed)
        host, viewpoint = self._host(name), viewpoint_of(graph, registry)
        if viewpoint is not None:
            graph = with_true_pictures(graph, registry, prompt, host.input_directory)
        began = time.perf_counter()
        result = run_workflow(graph, host=host, classes=registry)
        seconds = time.perf_counter() - began
        stages = stages_of(graph, registry, result)
        return Product(last_scene(graph, registry, result), last_mesh(graph, registry, result), seconds,
                       sum(stage.seconds for stage in stages), stages, viewpoint)

    def prepared(self, prompt: str, seed: int) -> tuple[Graph, Registry]:
        """The graph as it will run. Raises DistillError if it cannot run or makes no scene."""
        registry = schema.default_registry() if self.classes is None else self.classes
        sets, led = dict(self.sets), viewpoint_of(self.graph, registry) is not None
        if not led or any(node.type == PROMPT_NODE for node in self.graph.nodes.values()):
            sets["prompt"] = prompt  # a picture may be all that there is
        graph = checked(with_settings(self.graph, registry, sets, seed), registry)
        if not _makers(graph, registry, "DISTILL3D_SCENE"):
            raise DistillError(f'The workflow "{graph.name}" makes no scene, so there is nothing to compare.')
        return measured_part(graph, registry) if self.quick else (graph, registry)


    def weights(self, prompt: str, seed: int) -> dict[str, str]:
        """`weights_of` the workflow. Raises DistillError as `prepared` does."""
        return weights_of(*self.prepared(prompt, seed), self._host("."))

    def _host(self, name: str) -> Console:
        output = Path(self.output) / name
        return Console(output, self.device, output / "input", quiet=self.quiet, models=self.models)


class Keep(Node):
    """An output node for results that a run needs although nothing saves or shows them."""

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Keep", display_name="Keep", is_output_node=True,
                         inputs=[io.Custom("*").Input("value")])

    @classmethod
    def execute(cls, value):
        return io.NodeOutput()


def measured_part(graph: Graph, registry: Registry) -> tuple[Graph, Registry]:
    """The nodes that the last scene and the last mesh need.

    A node that takes a mesh changes only its appearance, so the mesh comes from the last node that makes one from
    something else.
    """
    scenes, meshes = (_makers(graph, registry, kind) for kind in ("DISTILL3D_SCENE", "MESH"))
    staged = [link for link in scenes if graph.nodes[link.node].type == STAGE_NODE]
    ends = [(staged or scenes)[-1], *meshes[-1:]]
    nodes = {key: graph.nodes[key] for key in needed_order(graph, registry, [link.node for link in ends])}
    for number, link in enumerate(ends):
        nodes[f"keep {number}"] = GraphNode(f"keep {number}", "Keep", {"value": link})
    return replace(graph, nodes=nodes), {**registry, "Keep": Keep}


def _makers(graph: Graph, registry: Registry, io_type: str) -> list[Link]:
    """Outputs of a socket type in running order, of nodes that an output node needs. For meshes, only of nodes without
    a mesh as input."""
    targets = [key for key, node in graph.nodes.items() if schema.is_output(registry[node.type])]
    found = []
    for key in needed_order(graph, registry, targets):
        node = registry[graph.nodes[key].type]
        taken = set().union(*map(schema.socket_types, schema.inputs_of(node).values()))
        if io_type == "MESH" and io_type in taken:
            continue
        found += [Link(key, slot) for slot, output in enumerate(schema.outputs_of(node))
                  if output.get_io_type() == io_type]
    return found


def stages_of(graph: Graph, registry: Registry, result: RunResult) -> tuple[Stage, ...]:
    """The result of each Optimize node, in running order."""
    return tuple(Stage(graph.nodes[key].name(registry), scene, result.seconds[key])
                 for key, scene in _given(graph, registry, result, "DISTILL3D_SCENE")
                 if graph.nodes[key].type == STAGE_NODE)


def last_scene(graph: Graph, registry: Registry, result: RunResult) -> SceneRecipe:
    """The scene of the last Optimize node; without one, of the last node that returns a scene."""
    scenes = list(_given(graph, registry, result, "DISTILL3D_SCENE"))
    staged = [value for node_id, value in scenes if graph.nodes[node_id].type == STAGE_NODE]
    if not scenes:
        raise DistillError(f'The workflow "{graph.name}" made no scene, so there is nothing to compare. '
                           "An output node has to depend on one.")
    return staged[-1] if staged else scenes[-1][1]


def last_mesh(graph: Graph, registry: Registry, result: RunResult) -> Any | None:
    """The last mesh, with its texture if one was baked; None if there is none."""
    meshes = list(_given(graph, registry, result, "MESH"))
    return meshes[-1][1] if meshes else None


def _given(graph: Graph, registry: Registry, result: RunResult, io_type: str):
    """(node id, value) of every output of a socket type, in running order."""
    for node_id, values in result.outputs.items():
        for slot, value in zip(schema.outputs_of(registry[graph.nodes[node_id].type]), values):
            if slot.get_io_type() == io_type and value is not None:
                yield node_id, value
