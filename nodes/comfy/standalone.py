"""The stand-in for ComfyUI's schema classes where ComfyUI is absent.

Same names and call forms as comfy_api.latest, as far as this pack uses them; no behaviour beyond holding the values
and checking them. The command line, the tests and the list of nodes read schemas through it.
"""
from __future__ import annotations

import dataclasses
from enum import Enum
from types import SimpleNamespace
from typing import Any


class Input:
    """One input of a schema: an id, its socket type and the options that were given."""

    io_type = "*"
    defaults: dict[str, Any] = {}

    def __init__(self, id: str, *positional: Any, **options: Any):
        self.id = id
        self.options = {**self.defaults, **options}
        if positional:
            self.options["options" if self.io_type == "COMBO" else "display_name"] = positional[0]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__.get("options", {}).get(name)

    def get_io_type(self) -> str:
        return self.io_type


class Output:
    def __init__(self, id: str | None = None, display_name: str | None = None, tooltip: str | None = None,
                 is_output_list: bool = False, **_: Any):
        self.id, self.display_name, self.tooltip, self.is_output_list = id, display_name, tooltip, is_output_list

    io_type = "*"

    def get_io_type(self) -> str:
        return self.io_type


def Custom(io_type: str) -> type:
    """A socket type by its name, with `.Input` and `.Output`."""
    return type(io_type, (), {"io_type": io_type, "Type": Any,
                              "Input": type("Input", (Input,), {"io_type": io_type}),
                              "Output": type("Output", (Output,), {"io_type": io_type})})


class _MultiType:
    class Input(Input):
        def __init__(self, id: Any, types: list[Any], **options: Any):
            widget = id if isinstance(id, Input) else None
            super().__init__(widget.id if widget else id, **{**(widget.options if widget else {}), **options})
            names = ([widget.get_io_type()] if widget else []) + [kind.io_type for kind in types]
            self.io_type = ",".join(dict.fromkeys(names))
            self.widget_type = widget.get_io_type() if widget else None


class Hidden(str, Enum):
    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"


class FolderType(str, Enum):
    input, output, temp = "input", "output", "temp"


@dataclasses.dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = ""
    inputs: list[Any] = dataclasses.field(default_factory=list)
    outputs: list[Any] = dataclasses.field(default_factory=list)
    hidden: list[Any] = dataclasses.field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = dataclasses.field(default_factory=list)
    is_output_node: bool = False
    is_experimental: bool = False
    is_deprecated: bool = False
    not_idempotent: bool = False
    has_intermediate_output: bool = False
    essentials_category: str | None = None


class NodeOutput:
    def __init__(self, *args: Any, ui: Any = None, expand: Any = None, block_execution: str | None = None):
        self.args, self.ui, self.expand, self.block_execution = args, ui, expand, block_execution

    @property
    def result(self):
        return self.args or None


class ComfyNode:
    """Base of every node: `define_schema` and `execute` are class methods, as in the host."""

    hidden = SimpleNamespace(unique_id=None, prompt=None, extra_pnginfo=None, dynprompt=None)

    @classmethod
    def define_schema(cls) -> Schema:
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        return cls.define_schema()


class ComfyExtension:
    async def on_load(self) -> None: ...

    async def get_node_list(self) -> list[type]:
        raise NotImplementedError


io = SimpleNamespace(
    Custom=Custom, MultiType=_MultiType, Schema=Schema, NodeOutput=NodeOutput, ComfyNode=ComfyNode, Hidden=Hidden,
    FolderType=FolderType, Input=Input, Output=Output, Combo=Custom("COMBO"),
    **{name: Custom(io_type) for name, io_type in {
        "Int": "INT", "Float": "FLOAT", "String": "STRING", "Boolean": "BOOLEAN", "Image": "IMAGE",
        "Mask": "MASK", "Mesh": "MESH", "Splat": "SPLAT", "Model": "MODEL", "Clip": "CLIP", "Vae": "VAE",
        "ClipVision": "CLIP_VISION", "Conditioning": "CONDITIONING",
        "File3DGLB": "FILE_3D_GLB", "File3DOBJ": "FILE_3D_OBJ",
        "File3DPLY": "FILE_3D_PLY", "File3DAny": "FILE_3D", "Load3DCamera": "LOAD3D_CAMERA"}.items()})


@dataclasses.dataclass
class MESH:
    """The fields of core's MESH that this pack fills: batch first, UVs per vertex, Y up."""

    vertices: Any
    faces: Any
    uvs: Any = None
    vertex_colors: Any = None
    texture: Any = None
    metallic_roughness: Any = None
    vertex_counts: Any = None
    face_counts: Any = None
    unlit: bool = False
    normals: Any = None
    tangents: Any = None
    normal_map: Any = None
    occlusion_in_mr: bool = False
    material: Any = None
    emissive: Any = None


@dataclasses.dataclass
class SPLAT:
    """Core's splats: batch first, activated values, scales linear, rotations wxyz, in the frame of splat files."""

    positions: Any
    scales: Any
    rotations: Any
    opacities: Any
    sh: Any
    counts: Any = None


class File3D:
    """A 3D file in memory or on disk, with core's call forms."""

    def __init__(self, source: Any, file_format: str = ""):
        self._source, self._format = source, file_format

    @property
    def format(self) -> str:
        return self._format or str(self._source).rsplit(".", 1)[-1].lower()

    def get_source(self) -> Any:
        return self._source

    def get_bytes(self) -> bytes:
        if isinstance(self._source, str):
            with open(self._source, "rb") as file:
                return file.read()
        return self._source.getvalue()

    def save_to(self, path: str) -> str:
        with open(path, "wb") as file:
            file.write(self.get_bytes())
        return path


Types = SimpleNamespace(MESH=MESH, SPLAT=SPLAT, File3D=File3D)
