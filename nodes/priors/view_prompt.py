"""View Prompt: the prompt, with view words for each camera."""
from __future__ import annotations

from ..comfy import PROMPT, Node, io
from ..core.errors import DistillError
from ..core.prompt import AUTOMATIC, VIEW_WORDINGS, Prompt


class ViewPromptNode(Node):
    advanced = ("overhead", "front", "back")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_ViewPrompt", display_name="View Prompt", category="Distill3D/priors",
            description="The prompt, with view words for each camera.",
            search_aliases=["text", "prompt", "front view", "view dependent prompt"],
            inputs=[
                io.String.Input("text", default="", multiline=True, tooltip='The object, e.g. \"a red cube on top of a '
                                'blue sphere\". View words are added by the node.'),
                io.String.Input("negative", default="", multiline=True, tooltip="The negative prompt. No view words "
                                "are added."),
                io.Combo.Input("views", options=list(VIEW_WORDINGS), default=AUTOMATIC, tooltip="Words added for each "
                               "view: the published four; degrees, for the built-in prior only; none; the four "
                               "interpolated by azimuth, with those of the neighbouring views as negative prompts "
                               "(Perp-Neg, against several faces), which doubles the evaluations of the prior; or "
                               "those that the prior was trained on."),
                io.Float.Input("overhead", default=60.0, min=-90.0, max=90.0, step=1.0, tooltip="Elevation in degrees "
                               "above which a view is an overhead view. ProlificDreamer and MVDream use 30."),
                io.Float.Input("front", default=45.0, min=0.0, max=90.0, step=5.0, optional=True,
                               tooltip="Degrees to each side "
                               "that count as the front. Published: 45, and 30 for VSD and DreamCraft3D's texture."),
                io.Float.Input("back", default=45.0, min=0.0, max=90.0, step=5.0, optional=True,
                               tooltip="Degrees to each side of 180 that count as the back. Published: 45, and 30 for "
                               "VSD and DreamCraft3D's texture."),
            ],
            outputs=[PROMPT.Output("prompt", tooltip="A prompt for losses and evaluation.")])

    @classmethod
    def execute(cls, text, negative="", views=AUTOMATIC, overhead=60.0, front=45.0, back=45.0) -> io.NodeOutput:
        text = text.strip()
        if not text:
            raise DistillError('View Prompt: "text" is empty. Describe the object, e.g. "a red cube".')
        return io.NodeOutput(Prompt(text, negative.strip(), views, overhead, front=front, back=back))
