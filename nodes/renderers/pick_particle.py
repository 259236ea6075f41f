"""Pick Particle: one of several scenes that were trained together."""
from __future__ import annotations

from ..comfy import SCENE, Node, io
from ..core.errors import DistillError
from ..core.scene import SceneRecipe
from .particles import Particles

TITLE = "Pick Particle"


def pick_particle(scene: SceneRecipe, index: int) -> SceneRecipe:
    """One scene of a trained set. Raises DistillError for a scene without particles, or with fewer."""
    if not isinstance(scene, Particles):
        raise DistillError(f"{TITLE}: this scene has no particles. Remove this node, or connect the scene to "
                           "Particles before Optimize.")
    return scene.pick(index)


class PickParticleNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_PickParticle", display_name=TITLE, category="Distill3D/renderers",
            description="One of several scenes that were trained together, for the next stage or for export.",
            search_aliases=["select particle", "variant", "prolificdreamer"],
            inputs=[
                SCENE.Input("scene", tooltip="From Particles, through Optimize."),
                io.Int.Input("index", default=0, min=0, max=63, tooltip="Index of the particle. Previews show 0."),
            ],
            outputs=[SCENE.Output("scene", tooltip="That particle as a scene, for the next stage or for export.")])

    @classmethod
    def execute(cls, scene, index=0) -> io.NodeOutput:
        return io.NodeOutput(pick_particle(scene, index))
