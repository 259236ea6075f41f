"""CLIP R-Precision: the fraction of a scene's views for which CLIP ranks the scene's caption first."""
from __future__ import annotations

import math
from pathlib import Path

import torch

from ..comfy import SCENE, TOWER, Node, host, io
from ..core.cameras import orbit
from ..core.errors import DistillError
from ..core.prior import LoadedPriors
from .clip_precision import clip_rankings
from .prompts import STANDARD, read_lines
from .sheet import in_one_column
from .views import DISTANCE, FOVY, still_render, take_pictures

TITLE = "CLIP R-Precision"


def read_captions(text: str) -> list[str]:
    """Captions from `text`, one per line; from a file in the input folder if `text` is the name of a .txt file; or the
    standard list if it is empty. Raises DistillError for a missing file."""
    text = text.strip()
    if not text:
        return read_lines(STANDARD)
    if "\n" in text or not text.endswith(".txt"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    root = Path(host().input_directory).resolve()
    path = (root / text).resolve()
    if root not in path.parents or not path.is_file():
        raise DistillError(f'{TITLE}: there is no file "{text}" in the input folder {root}. Put it there, one caption '
                           "a line, or write the captions themselves.")
    return read_lines(path)


class CLIPRPrecisionNode(Node):
    advanced = ("elevation", "distance", "fovy", "size")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_CLIPRPrecision", display_name=TITLE, category="Distill3D/evaluate",
            description="Fraction of a scene's views for which CLIP ranks the scene's caption first among all "
                        "captions, in colour and without texture.",
            search_aliases=["evaluate", "metric", "r-precision", "retrieval"],
            inputs=[
                SCENE.Input("scene", tooltip="The scene to evaluate, from Optimize."),
                TOWER.Input("tower", tooltip="From CLIP Tower. Published: B/32, B/16 and L/14. Use another one than "
                            "the scene was made with."),
                io.String.Input("caption", default="a red cube", tooltip="The prompt of the scene. It is added to the "
                                "captions if it is not among them."),
                io.String.Input("captions", default="", multiline=True, tooltip="All captions, one per line, or the "
                                "name of a .txt file in the input folder, e.g. with the 153 object-centric captions "
                                "of COCO that papers use. Empty: 24 captions of simple shapes."),
                io.Int.Input("views", default=8, min=1, max=360, tooltip="Number of views around the object."),
                io.Float.Input("elevation", default=45.0, min=-90.0, max=90.0, step=1.0, tooltip="Elevation of "
                               "the camera, degrees. Use one that is rare in training."),
                io.Float.Input("distance", default=DISTANCE, min=0.1, max=100.0, step=0.1, tooltip="Distance of "
                               "the camera from the centre, world units."),
                io.Float.Input("fovy", default=FOVY, min=1.0, max=120.0, step=1.0, tooltip="Vertical field of view, "
                               "degrees."),
                io.Int.Input("size", default=128, min=16, max=1024, step=8, tooltip="Height and width of a view, "
                             "pixels. The tower resizes it."),
            ],
            outputs=[
                io.Float.Output("color", tooltip="R-Precision of the coloured views; at best 1."),
                io.Float.Output("textureless", tooltip="R-Precision of textureless views: grey, lit from the camera."),
                io.String.Output("report", tooltip="Both values, and the caption with the highest mean similarity."),
                io.Image.Output("views", tooltip="The ranked views: coloured above, textureless below."),
            ], is_output_node=True)

    @classmethod
    def execute(cls, scene, tower, caption, captions="", views=8, elevation=45.0, distance=DISTANCE, fovy=FOVY,
                size=128) -> io.NodeOutput:
        known = list(dict.fromkeys([*read_captions(captions), caption.strip()]))
        device = host().device()
        angles = torch.arange(views) * (2 * math.pi / views)
        cameras = orbit(angles, math.radians(elevation), distance, math.radians(fovy), size, size)
        with torch.inference_mode(False), torch.no_grad():
            loaded = tower.load(LoadedPriors(torch.device(device)))
            pictures = take_pictures(still_render(scene, device), cameras)
            color, gray = clip_rankings(loaded, pictures, loaded.embed_texts(known), known.index(caption.strip()))
        lines = [f"{name}: {found.share:.3f} of {views} views; nearest over all views: {known[found.first]} "
                 f"(cosine with the own caption {found.cosine:.3f})"
                 for name, found in (("colour", color), ("textureless", gray))]
        sheet = in_one_column([torch.cat(tuple(images[:6]), 1) for images in (
            pictures.color, pictures.gray.expand(-1, -1, -1, 3))])
        report = "\n".join([*lines, f"among {len(known)} captions"])
        return io.NodeOutput(color.share, gray.share, report, sheet[None], ui={"text": [report]})
