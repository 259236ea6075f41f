"""Optimize: one stage of a pipeline."""
from __future__ import annotations

from ..comfy import OBJECTIVE, OPTIMIZER, SCENE, Node, host, io, seed_input
from .loop import Run, RunSettings
from .optimizer_settings import OptimizerSettings


class OptimizeNode(Node):
    advanced = ("save_every", "continue_to")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Optimize", display_name="Optimize", category="Distill3D/optimize",
            description="Trains a scene on its objectives and returns the trained scene: one stage of a pipeline. The "
                        "scene at the input is not changed.",
            search_aliases=["train", "score distillation", "nerf", "text to 3d"],
            inputs=[
                SCENE.Input("scene", tooltip="The scene to train: from a renderer node, or from an earlier stage."),
                OBJECTIVE.Input("objective", tooltip="Cameras and losses, from Objective."),
                io.Int.Input("steps", default=250, min=1, max=1000000,
                             tooltip="Number of steps. The papers use thousands with large priors; the built-in prior "
                                     "needs 250."),
                seed_input(),
                io.Float.Input("save_every", default=2.0, min=0.0, max=600.0, step=0.5, tooltip="Minutes between saved "
                               "states, from which a stopped run can be resumed; 0 saves none."),
                io.Boolean.Input("resume", default=False, tooltip="Continue from the last saved state of an equal run, "
                                                                  "if there is one. The result is the same as without "
                                                                  "the interruption."),
                OPTIMIZER.Input("optimizer", optional=True, tooltip="From Optimizer Settings. Default: Adam with "
                                                                    "learning rate 0.01."),
                io.Int.Input("continue_to", default=0, min=0, max=1000000, optional=True,
                             tooltip="Train on to this step, from the saved state of the run with these settings; 0: "
                                     "stop at steps. Schedules follow steps, and keep their last values beyond."),
            ],
            outputs=[SCENE.Output("scene", tooltip="The trained scene, for the next stage or for export."),
                     io.Image.Output("history", tooltip="Images of the run and its curves.")],
            hidden=[io.Hidden.unique_id], is_output_node=True, not_idempotent=True, has_intermediate_output=True)

    @classmethod
    def execute(cls, scene, objective, steps=250, seed=0, save_every=2.0, resume=False,
                optimizer=None, continue_to=0) -> io.NodeOutput:
        more = host().more_steps(cls.hidden.unique_id)
        settings = RunSettings(steps, seed, save_every * 60.0, resume, continue_to=continue_to, more=more)
        result = Run(scene, objective, optimizer or OptimizerSettings(), settings, host(), cls.hidden.unique_id).run()
        return io.NodeOutput(result.scene, result.history.picture()[None], ui=host().panel(cls.hidden.unique_id))
