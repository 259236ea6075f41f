"""Save State and Load State: a trained scene as a file."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Mapping

from ..comfy import SCENE, Node, host, io
from ..core.errors import DistillError, check_named
from ..core.scene import SceneRecipe
from ..core.state import read_state, save_state


def save_scene(scene: SceneRecipe, prefix: str, notes: Mapping[str, str] | None = None) -> Path:
    """Writes the trained tensors below the output folder and returns the path. notes: the workflow, as ComfyUI reads it
    from a dropped file. Raises DistillError for an untrained scene."""
    if scene.state is None:
        raise DistillError("Save State: this scene is not trained. Connect the output of an Optimize node.")
    return save_state(host().save_path(prefix, "safetensors"), scene.state, {"kind": "scene", "seed": scene.seed},
                      notes)


def load_scene(scene: SceneRecipe, file: str) -> SceneRecipe:
    """`scene` with the tensors of a saved state. Raises DistillError if they belong to a scene that was wired
    differently."""
    tensors, facts = read_state(_path(file))
    if "finished" in facts:  # the state of a run, of which the scene is a part
        tensors = {name[len("scene."):]: tensor for name, tensor in tensors.items() if name.startswith("scene.")}
    loaded = replace(scene, state=tensors, notes=facts)
    loaded.build()  # raises here, at the node that loads, and not in a later one
    return loaded


def _path(file: str) -> Path:
    check_named(file, "Load State", advice="Write the name of a state below the output folder, as Save State gives it.")
    root = host().output_directory.resolve()
    path = (root / file).resolve()
    if root not in path.parents:
        raise DistillError(f'Load State: "{file}" is outside the output folder {root}. Write a name below this folder.')
    return path


class SaveStateNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SaveState", display_name="Save State", category="Distill3D/optimize",
            description="Writes a trained scene to a file that Load State reads.", search_aliases=["checkpoint"],
            inputs=[SCENE.Input("scene", tooltip="From Optimize."),
                    io.String.Input("filename_prefix", default="distill3d/state",
                                    tooltip="Name below the output folder; a counter is added.")],
            outputs=[io.String.Output("file", tooltip="Name of the file below the output "
                                                      "folder.")], is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo])

    @classmethod
    def execute(cls, scene, filename_prefix="distill3d/state") -> io.NodeOutput:
        entry = host().saved(save_scene(scene, filename_prefix, host().notes(cls.hidden)))
        name = f'{entry["subfolder"]}/{entry["filename"]}'.lstrip("/")
        return io.NodeOutput(name, ui={"text": [name]})


class LoadStateNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_LoadState", display_name="Load State", category="Distill3D/optimize",
            description="Gives a scene the parameters of a saved state.", search_aliases=["checkpoint", "resume"],
            inputs=[SCENE.Input("scene", tooltip="A scene that is wired like the saved one."),
                    io.String.Input("file", default="", tooltip="Name of the file below the output folder.")],
            outputs=[SCENE.Output("scene", tooltip="The scene with the saved parameters.")])

    @classmethod
    def fingerprint_inputs(cls, scene=None, file=""):
        """Changes with the file, so that a state that was overwritten (by a run that continued) is loaded again."""
        return _path(file).stat().st_mtime_ns if file else None

    @classmethod
    def execute(cls, scene, file) -> io.NodeOutput:
        return io.NodeOutput(load_scene(scene, file))
