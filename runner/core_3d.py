"""Core's nodes for 3D files without ComfyUI: MeshToFile3D, SplatToFile3D, SaveGLB, Preview3D."""
from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from ..nodes.assets.core_mesh import from_core
from ..nodes.assets.mesh import Mesh
from ..nodes.assets.mesh_file import glb_bytes
from ..nodes.assets.splat_file import ply_bytes
from ..nodes.assets.splat_wire import read_core_splat
from ..nodes.comfy import SPLAT, Types, host, io
from ..nodes.core.errors import DistillError
from ..nodes.core.state import write_atomically
from .core_node import CoreNode

_FILES = [io.Custom(f"FILE_3D{kind}") for kind in (
    "_GLB", "_GLTF", "_OBJ", "_FBX", "_STL", "_USDZ", "_PLY", "_SPLAT", "_SPZ", "_KSPLAT", "_SPLAT_ANY",
    "_POINT_CLOUD_ANY", "")]
_EXTENSIONS = ("glb", "gltf", "obj", "fbx", "stl", "usdz", "ply", "splat", "spz", "ksplat")


def meshes_of(core: Any) -> list[Mesh]:
    """Every mesh of a batched core MESH."""
    names = [name for name in vars(core) if isinstance(getattr(core, name), Tensor)]
    return [from_core(SimpleNamespace(**{**vars(core), **{name: getattr(core, name)[number:number + 1]
                                                          for name in names}}), "Save 3D Model")
            for number in range(len(core.vertices))]


class MeshToFile3D(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MeshToFile3D", display_name="Create 3D File (from Mesh)", category="3d",
            description="Turns a mesh into a GLB file in memory.",
            inputs=[io.Mesh.Input("mesh", tooltip="The mesh; the first of a batch.")],
            outputs=[io.File3DGLB.Output("model_3d")])

    @classmethod
    def execute(cls, mesh):
        return io.NodeOutput(Types.File3D(BytesIO(glb_bytes(from_core(mesh, "Create 3D File"))), "glb"))


class SplatToFile3D(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SplatToFile3D", display_name="Create 3D File (from Splat)", category="3d/splat",
            description="Turns a splat into a file in memory.",
            inputs=[SPLAT.Input("splat", tooltip="The splat."),
                    io.Combo.Input("format", options=["ply", "ksplat", "spz"], default="ply",
                                   tooltip="Only ply is written here.")],
            outputs=[io.Custom("FILE_3D_SPLAT_ANY").Output("model_3d")])

    @classmethod
    def execute(cls, splat, format="ply"):
        if format != "ply":
            raise DistillError(f'Create 3D File (from Splat): "{format}" is written by ComfyUI only. Choose ply.')
        return io.NodeOutput(Types.File3D(BytesIO(ply_bytes(read_core_splat(splat, "Create 3D File (from Splat)"))),
                                          "ply"))


class SaveGLB(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SaveGLB", display_name="Save 3D Model", category="3d", is_output_node=True,
            description="Writes a mesh (as GLB) or a 3D file to the output folder.",
            inputs=[io.MultiType.Input(io.Mesh.Input("mesh"), types=_FILES, tooltip="A mesh or a 3D file."),
                    io.String.Input("filename_prefix", default="3d/ComfyUI", tooltip="Start of the file name; may "
                                    "name a subfolder.")],
            outputs=[])

    @classmethod
    def execute(cls, mesh, filename_prefix="3d/ComfyUI"):
        if hasattr(mesh, "get_bytes"):
            files = [(mesh.get_bytes(), _extension(mesh))]
        elif hasattr(mesh, "vertices") and hasattr(mesh, "faces"):
            files = [(glb_bytes(one), "glb") for one in meshes_of(mesh)]
        else:
            raise DistillError(f'"mesh" holds a {type(mesh).__name__}, which is neither a mesh nor a 3D file.')
        saved = [host().saved(write_atomically(host().save_path(filename_prefix, extension), data))
                 for data, extension in files]
        return io.NodeOutput(ui={"3d": saved})


def _extension(file: Any) -> str:
    kind = str(file.format or "glb").lower()
    if kind not in _EXTENSIONS:
        raise DistillError(f'A 3D file of kind "{kind}" is not known. Kinds: {", ".join(_EXTENSIONS)}.')
    return kind


class Preview3D(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Preview3D", display_name="Preview 3D & Animation", category="3d", is_output_node=True,
            description="Shows a 3D file in the editor; nothing happens without it.",
            inputs=[io.MultiType.Input(io.String.Input("model_file", default=""), types=_FILES,
                                       tooltip="The file, or its path."),
                    io.Load3DCamera.Input("camera_info", optional=True, tooltip="Where the viewer stands."),
                    io.Image.Input("bg_image", optional=True, tooltip="Picture behind the model.")],
            outputs=[])

    @classmethod
    def execute(cls, model_file, camera_info=None, bg_image=None):
        return io.NodeOutput()
