"""Schedule: a number that changes during a run."""
from __future__ import annotations

from ..comfy import SCHEDULE, Node, io
from ..core.schedule import Schedule, parse_keyframes

UNITS = ("fraction", "steps")
SHAPES = ("linear", "cosine", "step")


class ScheduleNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Schedule", display_name="Schedule", category="Distill3D/optimize",
            description="A number that changes during a run: linear, cosine or step interpolation between keyframes, "
                        "constant before the first and after the last.",
            search_aliases=["anneal", "ramp", "keyframes", "warm-up", "decay"],
            inputs=[
                io.String.Input("keyframes", default="0: 0.98, 1: 0.4", multiline=True, tooltip="position: value "
                                                                                                "pairs, "
                                "separated by commas. The value is constant before the first and after the last."),
                io.Combo.Input("unit", options=list(UNITS), default=UNITS[0],
                               tooltip="Unit of the positions: fraction of the run (0 first step, 1 last) or steps."),
                io.Combo.Input("shape", options=list(SHAPES), default=SHAPES[0], tooltip="Interpolation between "
                                                                                         "keyframes: linear, "
                               "cosine (smooth at both ends), or step (holds until the next)."),
            ],
            outputs=[SCHEDULE.Output("schedule", tooltip="For any number input that takes a schedule.")])

    @classmethod
    def execute(cls, keyframes, unit=UNITS[0], shape=SHAPES[0]) -> io.NodeOutput:
        return io.NodeOutput(Schedule(parse_keyframes(keyframes), unit, shape))
