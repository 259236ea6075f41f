"""Compare Geometry: distance between a mesh and the shape that a caption names."""
from __future__ import annotations

from typing import Any

from ..comfy import Node, io
from ..core.rng import stream
from .chamfer import chamfer_distance, sample_mesh, world_mesh
from .prompts import true_shape
from .truth import true_surface


def compare_mesh(mesh: Any, caption: str, points: int = 50_000) -> float:
    """Symmetric Chamfer distance of a core MESH from the true surface, as a share of the true bounding diagonal.

    points  drawn from each of the two surfaces; the same every time

    Raises DistillError when the caption names no shape, or the mesh is none or has no area.
    """
    truth = true_surface(true_shape(caption), points)
    drawn = sample_mesh(*world_mesh(mesh), points, stream(0, 0, "mesh surface"))
    return chamfer_distance(drawn, truth.points, truth.diagonal)


class CompareGeometryNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_CompareGeometry", display_name="Compare Geometry", category="Distill3D/evaluate",
            description="Distance between a mesh and the shape that a caption names.",
            search_aliases=["chamfer", "evaluate", "metric", "ground truth"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="The mesh to compare, e.g. of Extract Mesh."),
                io.String.Input("caption", default="a red cube", tooltip=(
                    "Names the true shape. The language is that of the built-in prior: a red cube, a blue sphere on "
                    "top of a green cylinder.")),
                io.Int.Input("points", default=50_000, min=1_000, max=1_000_000, tooltip=(
                    "Number of points drawn from each surface. With 50000 a perfect mesh scores 0.002 to "
                    "0.003.")),
            ],
            outputs=[io.Float.Output("chamfer", tooltip=(
                "Symmetric Chamfer distance as a share of the true object's diagonal. 0 is perfect."))])

    @classmethod
    def execute(cls, mesh, caption, points=50_000) -> io.NodeOutput:
        return io.NodeOutput(compare_mesh(mesh, caption, points))
