"""Unwrap UV: texture coordinates for a mesh, in bounded time."""
from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from ...kernels.uv.box_atlas import box_atlas
from ..assets.core_mesh import from_core, to_core
from ..assets.mesh import Mesh, smooth_normals, unit_scale
from ..comfy import Node, host, host_tick, io
from ..core.errors import DistillError, MissingPackage
from ..core.tick import Tick, no_tick
from .killable import run_killable
from .remesh import WORKER, joined, run_pymeshlab

NAME = "Unwrap UV"
ATLASES = ("xatlas", "boxes")
# Above this xatlas takes minutes to hours.
MANY_FACES = 200_000
# Up to here a mesh that cannot be decimated is unwrapped as it is, by boxes, in less than a minute.
BOXES_FACES = 2_000_000


def unwrap_uv(mesh: Mesh, face_budget: int = 40_000, size: int = 1024, padding: int = 4, time_limit: float = 300.0,
              atlas: str = "xatlas", tick: Tick = no_tick) -> Mesh:
    """The mesh with a UV atlas in which faces do not overlap (boxes: save where a chart winds over itself).

    face_budget  a mesh with more faces is decimated to about this many first (pymeshlab)
    size         of the texture that will be baked, pixels; padding refers to it
    padding      pixels between charts
    time_limit   seconds that decimation and xatlas may take, each. Their processes are killed then
    atlas        "xatlas" (few, low-distortion charts) or "boxes" (`box_atlas`: at once, more charts)

    Vertices at one place are joined first and split again only where their UVs differ. Texture coordinates and texture
    of the input are dropped. When xatlas is missing, fails or is too slow, boxes are used, with a warning. When
    pymeshlab is missing, fails or is too slow, a mesh of at most BOXES_FACES keeps its faces and gets boxes, with a
    warning; a larger one raises the MissingPackage, DistillError or TimeLimit.
    """
    if atlas not in ATLASES:
        raise DistillError(f'{NAME}: atlas must be "xatlas" or "boxes", got "{atlas}".')
    if mesh.texture is not None:
        host().warn(f"{NAME}: the mesh's texture is dropped, it belongs to other texture coordinates.")
    vertices, faces, colors = joined(mesh, NAME)
    if len(faces) > face_budget:
        try:
            vertices, faces, colors = run_pymeshlab(vertices, faces, colors, "decimate", {"faces": face_budget},
                                                    time_limit, NAME, lambda share: tick(0.5 * share))
        except DistillError as error:
            if len(faces) > BOXES_FACES:
                raise
            host().warn(f"{NAME}: the mesh keeps its {len(faces)} faces and gets the boxes atlas. {error}")
            atlas = "boxes"
    uv, faces_uv, source = _atlas(vertices, faces, size, padding, time_limit, atlas,
                                  lambda share: tick(0.5 + 0.5 * share))
    normals = smooth_normals(vertices, faces)
    return Mesh(vertices[source], faces_uv, uv, None, None if colors is None else colors[source], normals[source])


def _atlas(vertices: Tensor, faces: Tensor, size: int, padding: int, time_limit: float, atlas: str,
           tick: Tick) -> tuple[Tensor, Tensor, Tensor]:
    """uv [V',2], faces_uv [F,3], source [V'] into the vertices, at any size of the mesh: an atlas has none."""
    vertices = vertices * unit_scale(vertices)
    if atlas == "xatlas":
        if len(faces) > MANY_FACES:
            host().warn(f"{NAME}: {len(faces)} faces may take xatlas longer than time_limit = {time_limit:g} s. "
                        "Lower face_budget or choose the boxes atlas.")
        try:
            if find_spec("xatlas") is None:
                raise MissingPackage("xatlas", "The xatlas atlas")
            found = run_killable(WORKER, "unwrap", {"vertices": vertices.numpy(), "faces": faces.numpy()},
                                 {"size": size, "padding": padding}, time_limit, tick)
            if len(found["faces"]) != len(faces):
                raise DistillError(f"xatlas gave {len(found['faces'])} of {len(faces)} faces.")
            return tuple(torch.from_numpy(found[name]) for name in ("uv", "faces", "source"))
        except DistillError as error:
            host().warn(f"{NAME}: the boxes atlas was used instead of xatlas. {error}")
    return box_atlas(vertices, faces, padding / size)


class UnwrapUVNode(Node):
    advanced = ("padding", "time_limit", "atlas")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_UnwrapUV", display_name=NAME, category="Distill3D/export",
            description="Texture coordinates for a mesh, in bounded time: it is decimated to a face budget first, and "
                        "xatlas runs in a process with a time limit. Goes to Bake Texture.",
            search_aliases=["xatlas", "uv atlas", "decimate", "texture coordinates"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="A core mesh, e.g. of Extract Mesh."),
                io.Int.Input("face_budget", default=40_000, min=100, max=5_000_000, step=1000,
                             tooltip="A mesh with more triangles is first decimated to about this number, by "
                                     "pymeshlab. Without pymeshlab it is not decimated, and the boxes atlas is used."),
                io.Int.Input("texture_size", default=1024, min=256, max=4096, step=256,
                             tooltip="Size of the texture to bake, pixels. Padding is in pixels of this texture."),
                io.Int.Input("padding", default=4, min=1, max=64, tooltip="Pixels between charts."),
                io.Float.Input("time_limit", default=300.0, min=1.0, max=7200.0, step=1.0,
                               tooltip="Time limit of decimation and of xatlas, in seconds each. When it is exceeded, "
                                       "the boxes atlas is used."),
                io.Combo.Input("atlas", options=list(ATLASES), default="xatlas",
                               tooltip="xatlas: few charts with little distortion. boxes: projections along the "
                                       "axes, fast and for any mesh.")],
            outputs=[io.Mesh.Output("mesh", tooltip="The mesh with UVs; seams are split only where UVs differ.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, mesh, face_budget=40_000, texture_size=1024, padding=4, time_limit=300.0,
                atlas="xatlas") -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        result = unwrap_uv(from_core(mesh, NAME), face_budget, texture_size, padding, time_limit, atlas, tick)
        tick(1.0)
        return io.NodeOutput(to_core(result))
