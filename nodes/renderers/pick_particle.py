"""Pick Particle: one of the scenes that were trained together."""
from __future__ import annotations

from ..comfy import SCENE, Node, io
from ..core.errors import DistillError
from ..core.scene import SceneRecipe
from .particles import Particles

TITLE = "Pick Particle"


def pick_particle(scene: SceneRecipe, index: int) -> SceneRecipe:
    """Raises DistillError for a scene that is no particles, or has fewer."""
    if not isinstance(scene, Particles):
        raise DistillError(f"{TITLE}: this scene is a single one already. Take this node out, or wire the scene through "
                           "Particles before Optimize.")
    return scene.pick(index)


class PickParticleNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_PickParticle", display_name=TITLE, category="Distill3D/renderers",
            description="One of the scenes that were trained together, for the next stage or to be exported.",
            search_aliases=["select particle", "variant", "prolificdreamer"],
            inputs=[
                SCENE.Input("scene", tooltip="From Particles, through Optimize."),
                io.Int.Input("index", default=0, min=0, max=63, tooltip="Which one; 0 is the first, which previews show."),
            ],
            outputs=[SCENE.Output("scene", tooltip="That one alone, for the next stage or to be exported.")])

    @classmethod
    def execute(cls, scene, index=0) -> io.NodeOutput:
        return io.NodeOutput(pick_particle(scene, index))
