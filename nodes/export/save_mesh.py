"""Save Mesh: GLB, OBJ or PLY in the output folder, written completely and never over an older file."""
from __future__ import annotations

from pathlib import Path
from typing import Mapping

from ..assets.core_mesh import from_core
from ..assets.mesh import Mesh
from ..assets.mesh_file import glb_bytes, obj_files, ply_bytes
from ..assets.notes import with_notes
from ..comfy import Node, Types, host, io
from ..core.errors import DistillError
from ..core.state import write_atomically

NAME = "Save Mesh"
FORMATS = ("glb", "obj", "ply")
# Hosts before the type existed still get the path, as text.
FILE_3D = getattr(io, "File3DAny", io.String)


def save_mesh(mesh: Mesh, prefix: str, file_format: str = "glb", notes: Mapping[str, str] | None = None) -> list[Path]:
    """Writes the mesh as prefix_00001_.glb (the next free number) in the output folder.

    file_format  "glb" (texture embedded), "obj" (with .mtl and .png files) or "ply" (colours at the vertices)
    notes        metadata of the mesh file, such as the workflow, see assets/notes.py

    Returns the written files, the mesh itself first. Each appears whole or not at all. Raises DistillError when the
    prefix leads out of the output folder or the disk is full.
    """
    if file_format not in FORMATS:
        raise DistillError(f'{NAME}: format must be one of {", ".join(FORMATS)}, got "{file_format}".')
    path = host().save_path(prefix, file_format)
    if file_format == "obj":
        files = obj_files(mesh, path.stem)
    else:
        files = {path.name: glb_bytes(mesh) if file_format == "glb" else ply_bytes(mesh)}
    return [write_atomically(path.with_name(name), with_notes(content, Path(name).suffix[1:], notes or {}))
            for name, content in files.items()][::-1]


class SaveMeshNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SaveMesh", display_name=NAME, category="Distill3D/export", is_output_node=True,
            description="Writes a mesh as GLB, OBJ or PLY in the output folder, with a counter in the name.",
            search_aliases=["save glb", "save obj", "save ply", "export mesh"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="A core mesh, e.g. of Bake Texture."),
                io.String.Input("filename_prefix", default="3d/distill3d",
                                tooltip="Name in the output folder, may begin with a subfolder. A counter is added."),
                io.Combo.Input("format", options=list(FORMATS), default="glb",
                               tooltip="glb: one file with its textures. obj: with separate .mtl and .png files. ply: "
                                       "colours at the vertices only.")],
            outputs=[FILE_3D.Output("file", tooltip="The written file, for core's 3D viewers.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo])

    @classmethod
    def execute(cls, mesh, filename_prefix="3d/distill3d", format="glb") -> io.NodeOutput:
        path = save_mesh(from_core(mesh, NAME), filename_prefix, format, host().notes(cls.hidden))[0]
        place = host().saved(path)
        # The 3D viewer wants the name relative to the output folder, then a camera and a background image.
        viewer = ["/".join(filter(None, (place["subfolder"], place["filename"]))), None, None]
        file = Types.File3D(str(path), file_format=format) if hasattr(Types, "File3D") else str(path)
        return io.NodeOutput(file, ui={"result": viewer, "3d": [place]})
