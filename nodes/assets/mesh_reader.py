"""Reading mesh files: GLB, glTF, OBJ, STL, PLY. Files are Y up. The readers of the formats are modules of this
folder."""

from __future__ import annotations

import os

from ..comfy import host
from ..core.errors import DistillError, first_line
from .gltf_reader import read_gltf
from .mesh import Mesh
from .mesh_join import join
from .mesh_part import Source
from .obj_reader import read_obj
from .ply_reader import read_ply_mesh
from .stl_reader import read_stl

READERS = {"glb": read_gltf, "gltf": read_gltf, "obj": read_obj, "stl": read_stl, "ply": read_ply_mesh}
FORMATS = tuple(READERS)


def read_mesh(source: str | os.PathLike | bytes, file_format: str, node: str) -> Mesh:
    """The mesh of a file, from its path or its content. All parts are joined, at their positions in the file.

    The mesh has normals, the base colour (a texture or vertex colours, times the material's factor), and UVs if it has
    a texture. Several textures are packed into one. Companion files (.mtl, .bin, pictures) are read only for a path,
    and only from its folder. A warning lists what is dropped.

    Raises DistillError, beginning with `node` and naming the file, for another format, and for a file that is
    unreadable, exceeds the limits of mesh_part.py or picture_file.py, or has no triangles; MissingPackage.
    """
    kind = file_format.lower()
    if kind not in READERS:
        raise DistillError(
            f'{node}: files of the kind "{kind[:20]}" are not read. Convert it to one of: {", ".join(FORMATS)}.'
        )
    name = "the file" if isinstance(source, bytes) else str(os.path.basename(os.fspath(source)))[:200]

    def warn(text: str) -> None:
        host().warn(f"{node}: {name}: {text}")

    try:
        mesh = join(READERS[kind](Source.of(source, warn)), warn)
    except DistillError as error:
        if isinstance(error, ImportError):
            raise
        raise DistillError(f"{node}: {name} cannot be read as {kind.upper()}: {error}") from error
    except Exception as error:  # damaged files make parsers fail in many ways
        reason = first_line(error)
        raise DistillError(
            f"{node}: {name} cannot be read as {kind.upper()} ({type(error).__name__}: {reason}). It is damaged or cut "
            "off: save it again from the program that made it."
        ) from error
    if mesh is None:
        raise DistillError(f"{node}: {name} has no triangles. Point clouds and Gaussian splats are not meshes.")
    return mesh
