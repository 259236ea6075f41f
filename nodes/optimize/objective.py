"""Objective: where to look, at which size, and what should be true of what is seen."""
from __future__ import annotations

from ..comfy import LIGHT, LOSS, OBJECTIVE, VIEWS, Node, io, scheduled
from ..core.errors import DistillError
from ..core.objective import Objective
from ..core.schedule import Schedule


class ObjectiveNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Objective", display_name="Objective", category="Distill3D/optimize",
            description="Where to look, at which size, and what should be true of what is seen; several can be chained.",
            search_aliases=["losses", "training step"],
            inputs=[
                VIEWS.Input("views", tooltip="Where the cameras are."),
                LOSS.Input("losses", tooltip="What should be true of the renderings."),
                scheduled("batch", 4, "Views per step.", min=1, max=256, step=1),
                scheduled("resolution", 64, "Height and width of a view in pixels.", min=4, max=2048, step=1),
                io.Int.Input("every", default=1, min=1, max=1000000, tooltip="Active on every n-th step."),
                io.Int.Input("start", default=0, min=0, max=10000000, tooltip="First step at which it is active."),
                io.Int.Input("end", default=0, min=0, max=10000000, tooltip="Step from which on it is not active; 0: never."),
                LIGHT.Input("light", optional=True, tooltip="Where the light is. Without it the material is not shaded."),
                OBJECTIVE.Input("objectives", optional=True, tooltip="Objectives that this one is added to."),
            ],
            outputs=[OBJECTIVE.Output("objective", tooltip="The chain of objectives with this one at its end.")])

    @classmethod
    def execute(cls, views, losses, batch=4, resolution=64, every=1, start=0, end=0, light=None,
                objectives: tuple[Objective, ...] = ()) -> io.NodeOutput:
        if end and end <= start:
            raise DistillError(f'Objective: "end" ({end}) must lie after "start" ({start}), or be 0 for no end.')
        objective = Objective(views, tuple(losses), light, Schedule.of(batch), Schedule.of(resolution), every, start, end,
                              name=f"objective{len(objectives)}")
        return io.NodeOutput((*objectives, objective))
