"""Score Views: similarity of a scene and the shape that a caption names, from rendered views."""
from __future__ import annotations

from ..comfy import SCENE, Node, host, io
from ..core.scene import SceneRecipe
from .measure import Scores, score
from .prompts import true_shape
from .sheet import comparison, in_one_column
from .truth import true_rendering
from .views import standard_views, still_render, take_pictures


def score_scene(scene: SceneRecipe, caption: str, size: int = 64, device: str = "cpu"):
    """Scores of a scene over the 16 standard views, and an image [H,W,3]: truth, result and normals below each other.

    caption  names the true shape; view words are ignored. size: pixels of a view.

    Raises DistillError when the caption names no shape.
    """
    shape = true_shape(caption)
    cameras = standard_views(size)
    truth = take_pictures(lambda views: true_rendering(shape, views), cameras)
    result = take_pictures(still_render(scene, device), cameras)
    scores: Scores = score(result, truth)
    return scores, in_one_column(comparison(result, truth))


class ScoreViewsNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_ScoreViews", display_name="Score Views", category="Distill3D/evaluate",
            description="Similarity of a scene and the shape that a caption names, from rendered views.",
            search_aliases=["evaluate", "metric", "iou", "psnr", "ground truth"],
            inputs=[
                SCENE.Input("scene", tooltip="The scene to compare. It is rendered from 16 sides, without light."),
                io.String.Input("caption", default="a red cube", tooltip=(
                    "Names the true shape. The language is that of the built-in prior: a red cube, a blue sphere on "
                    "top of a green cylinder.")),
                io.Int.Input("size", default=64, min=16, max=512, step=8, tooltip=(
                    "Height and width of each view in pixels. Scores are comparable at one size only; tables use "
                    "64.")),
            ],
            outputs=[
                io.Float.Output("iou", tooltip="Silhouette intersection over union, mean over the views; at best 1."),
                io.Float.Output("psnr", tooltip="PSNR of the colours over white, in dB. Higher is better."),
                io.Image.Output("comparison", tooltip="True colours, the scene's colours, the scene's normals."),
            ])

    @classmethod
    def execute(cls, scene, caption, size=64) -> io.NodeOutput:
        scores, image = score_scene(scene, caption, size, host().device())
        return io.NodeOutput(scores.iou, scores.psnr, image[None])
