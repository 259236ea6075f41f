"""Objective: cameras, image size, and the losses of the renderings."""
from __future__ import annotations

from ..comfy import LIGHT, LOSS, OBJECTIVE, VIEWS, Node, io, scheduled
from ..core.errors import DistillError
from ..core.objective import Objective
from ..core.schedule import Schedule


class ObjectiveNode(Node):
    advanced = ("every", "start", "end")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Objective", display_name="Objective", category="Distill3D/optimize",
            description="Cameras, image size and losses: one term of what Optimize minimises. Several can be chained.",
            search_aliases=["losses", "training step"],
            inputs=[
                VIEWS.Input("views", tooltip="The cameras of each step."),
                LOSS.Input("losses", tooltip="The losses of the renderings."),
                scheduled("batch", 4, "Views per step.", min=1, max=256, step=1),
                scheduled("resolution", 32, "Height and width of a view in pixels. 32 suits the priors that come "
                          "with the pack, 64 or more those that are downloaded.", min=4, max=2048, step=1),
                io.Int.Input("every", default=1, min=1, max=1000000, tooltip="Active at every n-th step."),
                io.Int.Input("start", default=0, min=0, max=10000000, tooltip="First step at which it is active."),
                io.Int.Input("end", default=0, min=0, max=10000000, tooltip="First step at which it is no longer "
                                                                            "active; 0: active until the end."),
                LIGHT.Input("light", optional=True, tooltip="The light of each step. Without one the material is not "
                                                            "shaded."),
                OBJECTIVE.Input("objectives", optional=True, tooltip="Objectives that this one is added to."),
            ],
            outputs=[OBJECTIVE.Output("objective", tooltip="The chain of objectives with this one at its end.")])

    @classmethod
    def execute(cls, views, losses, batch=4, resolution=32, every=1, start=0, end=0, light=None,
                objectives: tuple[Objective, ...] = ()) -> io.NodeOutput:
        if end and end <= start:
            raise DistillError(f'Objective: "end" ({end}) must be larger than "start" ({start}), or 0 for no end.')
        objective = Objective(views, tuple(losses), light, Schedule.of(batch), Schedule.of(resolution), every, start,
                              end, name=f"objective{len(objectives)}")
        return io.NodeOutput((*objectives, objective))
