"""The shipped workflows of real models: a few steps with tiny checkpoints of the published formats, and without any."""
from dataclasses import replace

import pytest
import torch

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF
from distill3d.nodes.priors.dreambooth_prior import DreamBooth
from distill3d.nodes.priors.lora_prior import LoRA
from distill3d.nodes.priors.mvdream import MVDream
from distill3d.nodes.priors.stable_diffusion import StableDiffusion
from distill3d.runner import schema
from distill3d.runner.check import needed_order
from distill3d.runner.listing import find_workflow
from distill3d.runner.run import run_workflow
from distill3d.runner.workflow_file import read_graph

SMALL = {"Optimize.steps": 2, "Hash Grid Volume.log2_size": 8, "Hash Grid Volume.levels": 4, "Volume "
         "Renderer.samples": 24,
         "Volume Renderer.occupancy": 8, "Extract Mesh.resolution": 16, "Unwrap UV.atlas": "boxes",
         "Unwrap UV.texture_size": 256, "Bake Texture.texture_size": 256, "Turntable.frames": 2, "Turntable.size": 16}
PICTURE = "Picture of the run"


class Machine(Host):
    """A host with folders of its own."""

    def __init__(self, root):
        super().__init__(root / "output", "cpu")
        self.models = root / "models"

    @property
    def input_directory(self):
        return self.models.parent / "input"

    def model_folders(self, kind):
        return [self.models / kind]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def folder(machine, kind):
    path = machine.models / kind
    path.mkdir(parents=True)
    return path


def run(name, machine, only=None, **settings):
    """The priors in the graph (one: itself) and the kinds of files that were written. only: a title, the part of the
    graph that this node needs; exporting is the same in all of them."""
    registry = schema.default_registry()
    graph = read_graph(find_workflow(name), registry)
    if only:
        ends = [node.id for node in graph.nodes.values() if node.title == only]
        graph = replace(graph, nodes={one: graph.nodes[one] for one in needed_order(graph, registry, ends)})
    small = {f"{node.id}.{name}": value for node in graph.nodes.values() for key, value in SMALL.items()
             for title, name in [key.split(".")] if schema.display_name(registry[node.type]) == title}
    result = run_workflow(graph, {**small, **settings}, host=machine)
    # A gradient that is not finite would be one. These pictures are smaller than the models were trained on.
    assert not [text for text in machine.warnings if "was trained on" not in text]
    assert all(path.stat().st_size for path in result.files)
    priors = [outputs[0] for one, outputs in result.outputs.items()
              if graph.nodes[one].type.endswith(("Prior", "FromModel"))]
    return priors[0] if len(priors) == 1 else priors, sorted(path.suffix for path in result.files)


def test_stable_diffusion_from_load_checkpoint(machine):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from tiny_sd import write_file, write_tokenizer

    path = write_file(folder(machine, "checkpoints") / "tiny.safetensors", "sd1")
    write_tokenizer(folder(machine, "text_encoders") / "clip_tokenizer")
    prior, files = run("dreamfusion_sd", machine, PICTURE, **{"ckpt_name": "tiny.safetensors", "Prior from "
                                                              "MODEL.resolution": 64,
                                                           "Objective.resolution": 8})
    assert prior == StableDiffusion(str(path.resolve()), resolution=64) and files == [".png"]


def test_magic3d_from_load_checkpoint(machine):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from tiny_sd import write_file, write_tokenizer

    path = write_file(folder(machine, "checkpoints") / "tiny.safetensors", "sd1")
    write_tokenizer(folder(machine, "text_encoders") / "clip_tokenizer")
    prior, files = run("magic3d_sd", machine, PICTURE, **{
        "ckpt_name": "tiny.safetensors", "Prior from MODEL.resolution": 64, "Objective of the volume.resolution": 8,
        "Objective of the mesh.resolution": 16, "Scene to Tet Grid.resolution": 16, "Hash Grid Volume.log2_size": 10,
        "Volume Renderer.samples": 48})
    assert prior == StableDiffusion(str(path.resolve()), resolution=64) and files == [".png"]


def test_variational_distillation_of_the_built_in_prior(machine):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    priors, files = run("variational", machine, PICTURE, **{"Objective.resolution": 8, "Objective.batch": 1})
    assert {type(one) for one in priors} == {BuiltinPrior, LoRA} and files == [".png"]


def test_prolificdreamer_with_the_lora_of_a_velocity_model(machine):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from tiny_sd import write_file, write_tokenizer

    path = write_file(folder(machine, "checkpoints") / "tiny.safetensors", "sd2")
    write_tokenizer(folder(machine, "text_encoders") / "clip_tokenizer")
    small = {f"{title}.{name}": value for title in ("Stable Diffusion 2.1 base", "Stable Diffusion 2.1")
             for name, value in (("model", "tiny.safetensors"), ("resolution", 64))}
    sizes = {f"Objective of the {part}.resolution": 16 for part in ("volume", "shape", "texture")}
    priors, files = run("prolificdreamer", machine, PICTURE, **sizes, **small, **{
        "1 A volume.steps": 2, "2 A mesh's shape.steps": 2, "3 Its texture.steps": 2, "Scene to Tet "
                                                                                      "Grid.resolution": 24,
        "Scene to Tet Grid.levels": 4, "Scene to Tet Grid.log2_size": 10, "Scene to Tet Grid.color_steps": 2,
        "Volume Renderer.samples": 48})
    base, velocity = (StableDiffusion(str(path.resolve()), resolution=64, prediction=kind)
                      for kind in ("epsilon", "v_prediction"))
    assert set(priors) == {base, velocity, LoRA(velocity)} and files == [".png"]


def test_deepfloyd_if(machine):
    from tiny_if import write_tiny_if

    path = write_tiny_if(folder(machine, "diffusers") / "tiny")
    prior, files = run("dreamfusion_if", machine, **{"DeepFloyd IF Prior.folder": "tiny", "Objective.resolution": 8})
    assert prior == DeepFloydIF(str(path.resolve())) and files == [".glb", ".png", ".webp"]


def test_mvdream(machine):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from published import ldm_vae, random_weights
    from tiny_mv import state_dict
    from tiny_sd import VAE, write_tokenizer

    # An autoencoder of the published depth, whose latents are 8x8 for the smallest pictures that the node takes.
    state = {key: value for key, value in state_dict("sd1").items() if not key.startswith("first_stage_model.")}
    path = folder(machine, "checkpoints") / "tiny.pt"
    torch.save(state | random_weights(ldm_vae(**VAE), "first_stage_model.", 2), path)
    write_tokenizer(folder(machine, "text_encoders") / "clip_tokenizer")
    prior, files = run("mvdream", machine, PICTURE, **{"MVDream Prior.model": "tiny.pt", "MVDream Prior.resolution": 64,
                                                       "Objective.batch": 4, "Objective.resolution": 8})
    assert prior == MVDream(str(path.resolve()), resolution=64) and files == [".png"]


@pytest.mark.parametrize(("name", "kind"), [("zero123", "Zero123"), ("image_to_3d_stable_zero123", "Stable-Zero123")])
def test_one_picture_with_zero123(machine, name, kind):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from comfyui_models import write_picture
    from tiny_zero123 import write_checkpoint

    write_checkpoint(folder(machine, "checkpoints") / "tiny.ckpt")
    write_picture(machine.input_directory / "red.png")
    sizes = {f"{title}.resolution": 8 for title in ("Objective: sides that are not seen", "Objective: the picture")}
    prior, files = run(name, machine, PICTURE,
                       **{"Zero123 Prior.model": "tiny.ckpt", "Load Image.image": "red.png", **sizes,
                                                  "Objective: sides that are not seen.batch": 2})
    assert prior.kind == kind and len(prior.views) == 1 and files == [".png"]
    # the square over white, as Reference View has it
    assert prior.views.rgb[0].amin() < 0.5 < prior.views.rgb[0, 0, 0].amin()


@pytest.mark.slow
def test_dreamcraft3d_with_its_three_models(machine):
    """All four stages, the last one with steps in which the model learns, the scene is distilled, and the picture is
    compared."""
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from comfyui_models import write_depth, write_normals, write_picture
    from tiny_if import write_tiny_if
    from tiny_sd import write_file, write_tokenizer
    from tiny_zero123 import write_checkpoint

    checkpoints = folder(machine, "checkpoints")
    write_tiny_if(folder(machine, "diffusers") / "tiny")
    write_checkpoint(checkpoints / "tiny.ckpt")
    write_file(checkpoints / "tiny.safetensors", "sd2")
    write_tokenizer(folder(machine, "text_encoders") / "clip_tokenizer")
    for title, write in (("The picture", write_picture), ("Its depth", write_depth), ("Its normals", write_normals)):
        write(machine.input_directory / f"{title}.png")
    stages = ("1 Coarse: a volume", "2 NeuS: a signed distance", "3 Geometry: a mesh", "4 Texture")
    priors, files = run("dreamcraft3d_full", machine, PICTURE, **{
        **{f"{title}.image": f"{title}.png" for title in ("The picture", "Its depth", "Its normals")},
        **dict(zip((f"{title}.steps" for title in stages), (2, 2, 4, 4))), "DeepFloyd IF Prior.folder": "tiny",
        "Zero123 Prior.model": "tiny.ckpt", "Stable Diffusion 2.1 base.model": "tiny.safetensors",
        "Stable Diffusion 2.1 base.resolution": 64, **{f"{objective}.resolution": 16 for objective in (
            "1: sides that are not seen", "1: the picture", "2: sides that are not seen", "2: the picture",
            "3: normals, steps 1, 5, 9", "3: normals, steps 2, 6, 10", "3: normals, steps 3, 7, 11", "3: colours, "
                                                                                                     "steps 0, 4, 8",
            "3: the picture, steps 0, 4, 8", "4: sides that are not seen", "4: the picture")},
        "Hash Grid Volume.radius": 1.0, "Volume Renderer.samples": 48, "NeuS Renderer.samples": 64,
        "Annealing.keyframes": "0: 1", **{f"{title}.{name}": value for title in ("Scene to SDF", "Scene to Tet Grid")
           for name, value in (("resolution", 24), ("levels", 4), ("log2_size", 10), ("color_steps", 2))},
        "Scene to SDF.sharpness": 100.0, "BSD Loss.cycle": 4, "BSD Loss.learning": 2, "The model that learns.steps": 2})
    assert {type(one).__name__ for one in priors} == {"DeepFloydIF", "Zero123", "StableDiffusion", "DreamBooth"}
    assert len({one.seed for one in priors if isinstance(one, DreamBooth)}) == 2 and files == [".png"]


@pytest.mark.parametrize("name, place, missing", [
    ("dreamfusion_sd", "Load Checkpoint", 'the file v1-5-pruned-emaonly-fp16.safetensors into the models folder '
                                          '"checkpoints"'),
    ("dreamfusion_if", "DeepFloyd IF Prior", 'the whole repository as a folder "IF-I-XL-v1.0" into the models folder '
                                             '"diffusers"'),
    ("mvdream", "MVDream Prior", 'the file sd-v2.1-base-4view.pt into the models folder "checkpoints"')])
def test_without_the_model_the_error_says_which_file_goes_where(machine, name, place, missing):
    with pytest.raises(DistillError) as error:
        run_workflow(find_workflow(name), host=machine)
    assert str(error.value).startswith(f"{place} (#") and "there is no" in str(error.value)
    assert "huggingface.co/" in str(error.value) and str(error.value).endswith(f"Put {missing}.")
    assert not machine.output_directory.exists()
