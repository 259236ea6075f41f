"""Kernel Backend: the implementation of the heavy operations that renders a scene."""
from __future__ import annotations

from dataclasses import replace

from ...kernels.backend import CHOICES
from ..comfy import SCENE, Node, io
from ..core.scene import SceneRecipe


def with_backend(scene: SceneRecipe, backend: str) -> SceneRecipe:
    """The scene, rendered and trained by the kernels of `backend`: "auto", or one of kernels.backend.BACKENDS. If that
    backend cannot run an operation, torch runs it and the log says why."""
    return replace(scene, backend=backend)


class KernelBackendNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_KernelBackend", display_name="Kernel Backend", category="Distill3D/renderers",
            description="Chooses the implementation of the heavy operations that renders a scene.",
            search_aliases=["warp", "fast kernels", "reference", "deterministic"],
            inputs=[
                SCENE.Input("scene", tooltip="From any renderer, trained or not."),
                io.Combo.Input("backend", options=list(CHOICES), default="auto",
                               tooltip='"auto" takes the fastest that works here, "torch" the reference. An operation '
                                       "that the chosen backend cannot run is run by torch."),
            ],
            outputs=[SCENE.Output("scene", tooltip="The same scene, for Optimize or for rendering.")])

    @classmethod
    def execute(cls, scene, backend="auto") -> io.NodeOutput:
        return io.NodeOutput(with_backend(scene, backend))
