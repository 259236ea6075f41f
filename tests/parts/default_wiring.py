"""Graphs built from nodes whose widgets have their default values, as the page of ComfyUI makes them."""
from typing import Any

from distill3d import nodes
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings

NODES = {node.define_schema().node_id.removeprefix("Distill3D_"): node for node in nodes.node_list()}


def defaults(name: str) -> dict[str, Any]:
    """The default value of every widget of a node."""
    inputs = NODES[name].define_schema().inputs
    widgets = {entry.id: getattr(entry, "input_override", None) or entry for entry in inputs}
    return {id: widget.default for id, widget in widgets.items() if getattr(widget, "default", None) is not None}


def output(name: str, **wires: Any) -> Any:
    """The first output of a node, with `wires` on its sockets and defaults in its widgets."""
    return NODES[name].execute(**{**defaults(name), **wires}).args[0]


def scene() -> SceneRecipe:
    return output("VolumeRenderer", field=output("HashGridVolume"), material=output("Albedo"),
                  background=output("SolidBackground"))


def run(host: Host, prior: Any, text: str, views: str = "RandomOrbitViews", steps: int | None = None) -> Run:
    """Optimize with one SDS Loss."""
    loss = output("SDSLoss", prior=prior, prompt=output("ViewPrompt", text=text))
    objective = output("Objective", views=output(views), losses=loss)
    return Run(scene(), objective, OptimizerSettings(),
               RunSettings(steps or defaults("Optimize")["steps"], save_every=0.0), host)
