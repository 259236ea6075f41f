"""Remesh: fewer triangles, or triangles of uniform size, in bounded time."""
from __future__ import annotations

import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ...kernels.surface.mesh import face_areas, non_manifold_edges
from ...kernels.uv.bake import sample_texture
from ..assets.core_mesh import from_core, to_core
from ..assets.mesh import Mesh, smooth_normals, unit_scale, weld
from ..comfy import Node, host, host_tick, io
from ..core.errors import DistillError, MissingPackage
from ..core.tick import Tick, no_tick
from .killable import TimeLimit, run_killable

NAME = "Remesh"
METHODS = ("decimate", "isotropic")
WORKER = Path(__file__).with_name("mesh_worker.py")


def remesh(mesh: Mesh, method: str = "decimate", target_faces: int = 40_000, edge_length: float = 0.0,
           time_limit: float = 300.0, tick: Tick = no_tick) -> Mesh:
    """The same surface in other triangles, by pymeshlab.

    method        "decimate": at most about target_faces, more of them where the surface bends; a mesh with fewer is
                  only repaired. "isotropic": triangles of uniform size
    target_faces  number of triangles
    edge_length   of isotropic triangles, world units; 0: derived from target_faces
    time_limit    seconds, after which the process is killed

    Vertices at one place are joined; edges with more than two faces are cut open, with a warning. Vertex colours are
    those of the nearest points. Texture coordinates are dropped: a texture's colours at the vertices stay. Raises
    MissingPackage without pymeshlab, TimeLimit, and DistillError when nothing is left.
    """
    if method not in METHODS:
        raise DistillError(f'{NAME}: method must be one of {", ".join(METHODS)}, got "{method}".')
    if mesh.texture is not None and mesh.uv is not None:
        host().warn(f"{NAME}: the mesh's textures belong to other texture coordinates. Its colours stay at the "
                    "vertices; Unwrap UV and Bake Texture make new ones.")
        mesh = replace(mesh, vertex_colors=sample_texture(mesh.texture, mesh.uv))
    vertices, faces, colors = joined(mesh, NAME)
    cut = non_manifold_edges(faces)
    if cut:
        host().warn(f"{NAME}: {cut} edges have more than two faces. The surface is cut open there.")
    if method == "isotropic":
        if edge_length <= 0:
            edge_length = even_edge(vertices, faces, target_faces)
        task, options = "remesh", {"edge": edge_length}
    else:
        task, options = "decimate", {"faces": target_faces}
    vertices, faces, colors = run_pymeshlab(vertices, faces, colors, task, options, time_limit, NAME, tick)
    return Mesh(vertices, faces, vertex_colors=colors, normals=smooth_normals(vertices, faces))


def even_edge(vertices: Tensor, faces: Tensor, count: int) -> float:
    """Edge length of `count` equilateral triangles that cover the mesh."""
    return math.sqrt(4 / math.sqrt(3) * float(face_areas(vertices, faces).sum()) / count)


def joined(mesh: Mesh, node: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Vertices [P,3] that no two share a place, faces [F',3] that use three different ones, colours [P,3] or None.

    Raises DistillError, beginning with `node`, when no face has an area.
    """
    vertices, faces, place = weld(mesh.vertices, mesh.faces)
    if not bool((face_areas(vertices * unit_scale(vertices), faces) > 0).any()):
        raise DistillError(f"{node}: all {len(mesh.faces)} faces of the mesh have zero area.")
    colors = mesh.vertex_colors
    if colors is not None:
        colors = torch.zeros_like(vertices).index_copy(0, place, colors.to(vertices))
    # Faces on a line stay: without them the mesh would no longer be closed.
    return vertices, faces[(faces != faces.roll(1, 1)).all(1)], colors


def run_pymeshlab(vertices: Tensor, faces: Tensor, colors: Tensor | None, task: str, options: dict[str, float],
                  time_limit: float, node: str, tick: Tick = no_tick) -> tuple[Tensor, Tensor, Tensor | None]:
    """A task of mesh_worker.py on a mesh. Raises MissingPackage, TimeLimit, DistillError, all beginning with `node`."""
    if find_spec("pymeshlab") is None:
        raise MissingPackage("pymeshlab", f"Changing {len(faces)} faces in {node}",
                             "Without it, extract the mesh at the resolution that you want.")
    arrays = {"vertices": vertices.numpy(), "faces": faces.numpy()}
    if colors is not None:
        arrays["colors"] = colors.numpy()
    try:
        found = run_killable(WORKER, task, arrays, options, time_limit, tick)
    except TimeLimit as limit:
        raise TimeLimit(f"{node}: changing {len(faces)} faces took longer than time_limit = {time_limit:g} s. Raise it "
                        "or extract the mesh at a lower resolution.") from limit
    except DistillError as error:
        raise DistillError(f"{node}: {error}") from error
    if len(found["faces"]) == 0:
        raise DistillError(f"{node}: no face is left. Ask for more faces or shorter edges.")
    return (torch.from_numpy(found["vertices"]), torch.from_numpy(found["faces"]),
            None if colors is None else torch.from_numpy(found["colors"]))


class RemeshNode(Node):
    advanced = ("edge_length", "time_limit")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Remesh", display_name=NAME, category="Distill3D/export",
            description="Rebuilds a surface with fewer triangles or with triangles of uniform size, in bounded time. "
                        "Needs pymeshlab. Goes to Unwrap UV, or to a field that starts from a mesh.",
            search_aliases=["decimate", "simplify", "reduce faces", "retopology", "isotropic", "pymeshlab"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="A core mesh, e.g. of Extract Mesh."),
                io.Combo.Input("method", options=list(METHODS), default="decimate",
                               tooltip="decimate: fewer triangles, most of them where the surface bends. isotropic: "
                                       "triangles of uniform size."),
                io.Int.Input("target_faces", default=40_000, min=4, max=5_000_000, step=1000,
                             tooltip="Approximate number of triangles. decimate keeps meshes with fewer unchanged."),
                io.Float.Input("edge_length", default=0.0, min=0.0, max=100.0, step=0.001,
                               tooltip="Edge length of isotropic triangles, world units. 0: derived from "
                                       "target_faces."),
                io.Float.Input("time_limit", default=300.0, min=1.0, max=7200.0, step=1.0,
                               tooltip="Time limit in seconds, after which the node fails with an error.")],
            outputs=[io.Mesh.Output("mesh", tooltip="The mesh, with the colours of the old one at its vertices.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, mesh, method="decimate", target_faces=40_000, edge_length=0.0, time_limit=300.0) -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        result = remesh(from_core(mesh, NAME), method, target_faces, edge_length, time_limit, tick)
        tick(1.0)
        return io.NodeOutput(to_core(result))
