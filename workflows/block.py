"""Blocks that many descriptions share: what is made of a finished scene, and stages that show the usual widgets."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .description import Described, Stage, Wire, node, stage

EXPORT = "Bake and save"


def export(scene: str, name: str, *, resolution: int | None = None, group: str = "", viewed: bool = True,
           **turntable: Any) -> dict[str, Described]:
    """A textured mesh, a turntable and a picture of the run of the stage `scene`, in files named after the method.
    resolution: of the grid in which the surface is searched."""
    grid = {} if resolution is None else {"resolution": resolution}
    nodes = {
        "extract_mesh": node("ExtractMesh", within=group, scene=Wire(scene), **grid),
        "unwrap_uv": node("UnwrapUV", within=group, mesh=Wire("extract_mesh")),
        "bake_texture": node("BakeTexture", within=group, mesh=Wire("unwrap_uv"), scene=Wire(scene)),
        "save_mesh": node("SaveMesh", within=group, mesh=Wire("bake_texture"), filename_prefix=f"distill3d/{name}"),
        "turntable": node("Turntable", within=group, scene=Wire(scene), **turntable),
        "save_animation": node("SaveAnimation", within=group, images=Wire("turntable"),
                               filename_prefix=f"distill3d/{name}"),
        "save_image": node(":SaveImage", titled="Picture of the run", within=group, images=Wire(scene, "history"),
                           filename_prefix=f"distill3d/{name}_run"),
    }
    if viewed:
        nodes["preview3_d"] = node(":Preview3D", titled="The object", within=group, model_file=Wire("save_mesh"))
    return nodes


def named_files(name: str) -> dict[str, str]:
    """The numbers of a difference: the files of `export` under the name of the method."""
    return {"save_mesh.filename_prefix": f"distill3d/{name}", "save_animation.filename_prefix": f"distill3d/{name}",
            "save_image.filename_prefix": f"distill3d/{name}_run"}


def trained(title: str, end: str, about: str, *, keeps: Sequence[str] = (), **places: str | Sequence[str]) -> Stage:
    """A stage that ends with an Optimize node and shows its steps and seed. places: further widgets, as in
    guidance="sds_loss.guidance"."""
    shows = {"steps": f"{end}.steps", "seed": f"{end}.seed"}
    return stage(title, end, keeps=keeps, about=about,
                 shows=shows | {name.replace("_", " "): place for name, place in places.items()})


def bake_and_save() -> Stage:
    """The stage of what `export` makes."""
    return stage(EXPORT, "save_mesh", "turntable", "save_image",
                 shows={"mesh resolution": "extract_mesh.resolution", "file name": "save_mesh.filename_prefix",
                        "turntable frames": "turntable.frames", "turntable size": "turntable.size"},
                 about="A trained scene as a mesh with a texture, in a file, and pictures of it from all around.")
