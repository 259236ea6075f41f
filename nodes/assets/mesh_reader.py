"""Reading mesh files: GLB, glTF, OBJ, STL, PLY. Files are Y up. One file beside this reads each format into parts."""

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
    """The mesh of a file: of its path, or of its content. All its parts in one, each where the file places it.

    The base colour is kept (a texture, or colours at the vertices, times the material's factor), UVs belong to a
    texture only, normals are always given. Where several parts have textures, they are packed into one. Files beside it
    (.mtl, .bin, pictures) are found from a path only, and in its folder only. What is left out gives a warning of the
    host.

    Raises DistillError, beginning with `node` and naming the file, for another format, for a file that cannot be read,
    is larger than the limits of mesh_part.py and picture_file.py say, or has no triangles; MissingPackage.
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
    except Exception as error:  # a parser stumbles over damaged files in every way
        reason = first_line(error)
        raise DistillError(
            f"{node}: {name} cannot be read as {kind.upper()} ({type(error).__name__}: {reason}). It is damaged or cut "
            "off: save it again from the program that made it."
        ) from error
    if mesh is None:
        raise DistillError(f"{node}: {name} has no triangles. Point clouds and Gaussian splats are no meshes.")
    return mesh
