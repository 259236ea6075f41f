"""Load Mesh: a 3D file of the host as a mesh, by wire or by name."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..assets.core_mesh import to_core
from ..assets.mesh import Mesh
from ..assets.mesh_reader import FORMATS, read_mesh
from ..comfy import FILES_3D, Node, host, io
from ..core.errors import DistillError, check_named

NAME = "Load Mesh"


def load_mesh(file: Any) -> Mesh:
    """The mesh of core's File3D, or of a name below the input folder ("name [output]": below the output folder).

    Raises DistillError for other values, for a name outside these folders or without a file, and as `read_mesh` does.
    """
    if isinstance(file, str):
        path = named_file(file)
        return read_mesh(path, path.suffix[1:], NAME)
    if not (hasattr(file, "get_bytes") and hasattr(file, "format")):
        what = "nothing" if file is None else f"a {type(file).__module__}.{type(file).__name__}"
        raise DistillError(f"{NAME}: the file input holds {what}, not a 3D file of ComfyUI. Connect model_3d of Load "
                           "3D, or write the name of a file in the input folder.")
    source = file.get_source() if hasattr(file, "get_source") else None
    return read_mesh(source if isinstance(source, str) else file.get_bytes(), str(file.format), NAME)


def named_file(name: str) -> Path:
    """Below the input folder, or below the output folder for "name [output]". Raises DistillError."""
    advice = "Write the name of a file in the input folder, or wire a 3D file."
    check_named(name, NAME, advice=advice)  # first: the pattern takes the square of a long name
    match = re.fullmatch(r"(.*?)\s*\[(input|output)\]", name.strip())
    name, kind = match.groups() if match else (name.strip(), "input")
    check_named(name, NAME, advice=advice)
    root = (host().output_directory if kind == "output" else host().input_directory).resolve()
    path = (root / name.replace("\\", "/")).resolve()  # a workflow made on Windows names 3d\\chair.glb
    if root not in path.parents or not path.is_file():
        raise DistillError(f'{NAME}: there is no file "{name}" in the {kind} folder {root}. Put one of these kinds '
                           f"there: {', '.join(FORMATS)}.")
    return path


class LoadMeshNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_LoadMesh", display_name=NAME, category="Distill3D/export",
            description="A 3D file as a mesh: from a wire of the host's 3D nodes, or by its name in the input folder.",
            search_aliases=["glb", "import mesh", "file to mesh", "obj", "stl", "ply"],
            inputs=[io.MultiType.Input(
                io.String.Input("file", default="", tooltip="A 3D file of Load 3D, Save Mesh or Create 3D File, or a "
                                'name below the input folder, or followed by " [output]" below the output folder. GLB, '
                                "glTF, OBJ, STL or PLY; Y is up."), types=FILES_3D)],
            outputs=[io.Mesh.Output("mesh", tooltip="Everything in the file as one core mesh, with its base colour.")])

    @classmethod
    def fingerprint_inputs(cls, file=""):
        """Changes when the file is replaced, so that it is read again."""
        return named_file(file).stat().st_mtime_ns if isinstance(file, str) and file else None

    @classmethod
    def execute(cls, file="") -> io.NodeOutput:
        return io.NodeOutput(to_core(load_mesh(file)))
