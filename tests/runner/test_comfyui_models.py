"""The workflows of real models in ComfyUI's own executor: a few steps with small random models in the published
formats."""
import pytest

from comfyui_models import (
    place,
    write_deepfloyd_if,
    write_depth,
    write_mvdream,
    write_normals,
    write_picture,
    write_stable_diffusion,
    write_tiny_stable_diffusion,
    write_zero123,
)
from comfyui_server import needs_comfyui, small

pytestmark = needs_comfyui

SCENE = {"Distill3D_HashGridVolume": {"log2_size": 8, "levels": 4},
         "Distill3D_VolumeRenderer": {"samples": 24, "occupancy": 8}, "Distill3D_ExtractMesh": {"resolution": 16},
         "Distill3D_Objective": {"resolution": 8}, "Distill3D_Turntable": {"frames": 2, "size": 16}}
SMALL_SD = ("checkpoints", "small_sd.safetensors", write_stable_diffusion)
TINY_ZERO123 = ("checkpoints", "tiny_zero123.ckpt", write_zero123)
TINY_SD, TINY_IF = ("checkpoints", "tiny_sd.safetensors", write_tiny_stable_diffusion), (
    "diffusers", "tiny_if", write_deepfloyd_if)
PICTURE = {"CheckpointLoaderSimple": {"ckpt_name": "small_sd.safetensors"}, "KSampler": {"steps": 2},
           "EmptyLatentImage": {"width": 64, "height": 64}, "Distill3D_PriorFromModel": {"resolution": 64}}
MIXED = {  # workflow: (models, widgets, kinds of the files)
    "shared_model": ([SMALL_SD], PICTURE, ["glb", "png", "png", "webp"]),
    "image_graph_to_3d": (
        [SMALL_SD, TINY_ZERO123],
        {**PICTURE, "Distill3D_Zero123Prior": {"model": "tiny_zero123.ckpt"}, "Distill3D_Objective": {"batch": 2},
         "Distill3D_Turntable": {"frames": 2, "size": 64}}, ["glb", "png", "png", "png", "webp"])}
MODELS = {  # workflow: (folder, file, who writes it, widgets)
    "dreamfusion_sd": ("checkpoints", "small_sd.safetensors", write_stable_diffusion, {
        "CheckpointLoaderSimple": {"ckpt_name": "small_sd.safetensors"},
        "Distill3D_PriorFromModel": {"resolution": 64}}),
    "prolificdreamer": (*TINY_SD, {
        "Distill3D_StableDiffusionPrior": {"model": "tiny_sd.safetensors", "resolution": 64},
        "Distill3D_VolumeRenderer": {"samples": 48, "occupancy": 8}}),
    "mvdream": ("checkpoints", "tiny_mvdream.pt", write_mvdream, {
        "Distill3D_MVDreamPrior": {"model": "tiny_mvdream.pt", "resolution": 64}, "Distill3D_Objective": {"batch": 4}}),
    "zero123": ("checkpoints", "tiny_zero123.ckpt", write_zero123, {
        "Distill3D_Zero123Prior": {"model": "tiny_zero123.ckpt"}, "LoadImage": {"image": "red.png"},
        "Distill3D_Objective": {"batch": 2}}),
    "image_to_3d_stable_zero123": ("checkpoints", "tiny_zero123.ckpt", write_zero123, {
        "Distill3D_Zero123Prior": {"model": "tiny_zero123.ckpt"}, "LoadImage": {"image": "red.png"},
        "Distill3D_Objective": {"batch": 2}}),
    "dreamfusion_if": (*TINY_IF, {"Distill3D_DeepFloydIFPrior": {"folder": "tiny_if"}})}


def with_model(server, name):
    """The workflow's prompt, small, with a model that is there."""
    kind, file, write, widgets = MODELS[name]
    return prepared(server, name, [(kind, file, write)], widgets)


def prepared(server, name, models, widgets):
    for kind, file, write in models:
        path = place(server, kind, file)
        if not path.exists():
            write(path)
    write_picture(server.folder / "input" / "red.png")
    prompt = small(name)
    for entry in prompt.values():
        for changes in (SCENE, widgets):
            entry["inputs"].update(changes.get(entry["class_type"], {}))
    return prompt


@pytest.mark.parametrize("name", MODELS)
def test_every_output_is_there(server, info, name):
    check_outputs(server, info, with_model(server, name), ["glb", "png", "webp"])


@pytest.mark.parametrize("name", MIXED)
def test_graphs_of_pictures_and_of_scenes_mix(server, info, name):
    """Background removal knows one model only, of 220 million parameters: a mask takes the place of its answer."""
    models, widgets, kinds = MIXED[name]
    prompt = prepared(server, name, models, widgets)
    assert {entry["class_type"] for entry in prompt.values()} <= set(info)
    for node, entry in list(prompt.items()):
        if entry["class_type"] == "RemoveBackground":
            del prompt[entry["inputs"]["bg_removal_model"][0]]
            prompt[node] = {"class_type": "LoadImageMask", "inputs": {"image": "red.png", "channel": "alpha"}}
    check_outputs(server, info, prompt, kinds)


def test_dreamcraft3d_with_its_three_models(server, info):
    """The last stage has steps in which the model learns, the scene is distilled, and the picture is compared."""
    prompt = prepared(server, "dreamcraft3d_full", [TINY_IF, TINY_ZERO123, TINY_SD], {
        "Distill3D_DeepFloydIFPrior": {"folder": "tiny_if"}, "Distill3D_Zero123Prior": {"model": "tiny_zero123.ckpt"},
        "Distill3D_StableDiffusionPrior": {"model": "tiny_sd.safetensors", "resolution": 64},
        "Distill3D_Optimize": {"steps": 4},
        "Distill3D_NeuSRenderer": {"samples": 48, "annealing": 1.0}, "Distill3D_BSDLoss": {"cycle": 4, "learning": 2}})
    reference, = (entry["inputs"] for entry in prompt.values() if entry["class_type"] == "Distill3D_ReferenceView")
    for name, write in (("image", write_picture), ("depth", write_depth), ("normal", write_normals)):
        write(server.folder / "input" / f"{name}.png")
        prompt[reference[name][0]]["inputs"]["image"] = f"{name}.png"
    check_outputs(server, info, prompt, ["glb", "png", "webp"])


def check_outputs(server, info, prompt, kinds):
    assert {entry["class_type"] for entry in prompt.values()} <= set(info)
    entry = server.run(prompt)
    assert set(entry["outputs"]) >= {node for node, one in prompt.items() if info[one["class_type"]]["output_node"]}
    files = [file for output in entry["outputs"].values() for listed in output.values() for file in listed
             if isinstance(file, dict) and "filename" in file]
    assert sorted(file["filename"].rpartition(".")[2] for file in files) == kinds
    assert all((server.output / file["subfolder"] / file["filename"]).stat().st_size for file in files)
