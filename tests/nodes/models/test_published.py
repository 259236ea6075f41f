from pathlib import Path

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.published import MODELS, find_model, missing_model_error, models_of

FOLDERS = [Path("models/checkpoints"), Path("models/diffusers")]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def test_nothing_stands_twice():
    for key in (lambda model: model.name, lambda model: (model.folder, model.target.lower())):
        assert len({key(model) for model in MODELS}) == len(MODELS)


@pytest.mark.parametrize("words", ["Diffusion 1.5", "2.1 base", "Diffusion 2.1", "XL base", "IF-I M", "IF-I L",
                                   "IF-I XL", "105000", "165000", "Zero123 XL", "Stable Zero123", "MVDream, Stable "
                                                                                                  "Diffusion 2.1",
                                   "MVDream, Stable Diffusion 1.5", "ImageDream", "ND-MV", "RichDreamer ND",
                                   "albedo-MV"])
def test_every_model_of_the_methods_is_there(words):
    assert any(words in model.name for model in MODELS)


@every_model
def test_each_belongs_in_a_folder_that_its_form_fits(model):
    """A file in "checkpoints", a repository in "diffusers": kinds that ComfyUI has, as it has one for its own masks."""
    assert model.folder == ("diffusers" if not model.file else "background_removal" if model.name == "BiRefNet" else
                            "checkpoints")
    assert not model.file or model.file.endswith((".safetensors", ".ckpt", ".pt"))


@every_model
def test_each_can_be_fetched_somewhere(model):
    for place in (model.published, *model.mirrors):
        is_address = place.startswith("https://") and place.endswith(model.file) and bool(model.file)
        assert is_address or place.count("/") == 1 and " " not in place
    assert model.mirrors or not model.is_removed
    assert model.size is None or 1e9 < model.size < 1e11
    assert model.licence is None or model.licence.strip()


@every_model
def test_each_is_found_by_its_name(model):
    assert find_model(model.target) == find_model(f"some/place/{model.target.upper()}", model.node) == model
    assert model in models_of(model.node)


def test_a_folder_may_be_called_after_a_mirror():
    assert find_model("zero123-xl").name == "Zero123 XL, diffusers"
    assert find_model("zero123-weights") is None  # several files, each a model of its own
    assert find_model("v1-5-pruned-emaonly.safetensors", "Zero123 Prior") is None
    assert find_model("") is None


def test_the_error_says_what_goes_where():
    error = missing_model_error("mine/v1-5-pruned-emaonly.safetensors", "Stable Diffusion Prior", FOLDERS)
    assert isinstance(error, DistillError)
    assert str(error) == (
        'Stable Diffusion Prior: there is no "mine/v1-5-pruned-emaonly.safetensors" below models/checkpoints, '
        'models/diffusers. Stable Diffusion 1.5 is published at '
        'huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5 (also at '
        'huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive); 4.3 GB, licence: CreativeML OpenRAIL-M. Put the file '
        'v1-5-pruned-emaonly.safetensors into the models folder "checkpoints".')


def test_the_error_of_a_gated_folder():
    text = str(missing_model_error("IF-I-XL-v1.0", "DeepFloyd IF Prior", FOLDERS))
    assert ("huggingface.co/DeepFloyd/IF-I-XL-v1.0; licence: DeepFloyd IF License, which must be accepted there first. "
            'Put the whole repository as a folder "IF-I-XL-v1.0" into the models folder "diffusers".') in text
    assert "its licence must be accepted there first" in str(missing_model_error("IF-I-M-v1.0", "DeepFloyd IF "
                                                                                 "Prior", FOLDERS))


def test_the_error_of_a_removed_model_names_a_mirror():
    text = str(missing_model_error("v2-1_512-ema-pruned.safetensors", "Stable Diffusion Prior", FOLDERS))
    assert "no longer at stabilityai/stable-diffusion-2-1-base" in text
    assert "huggingface.co/Manojb/stable-diffusion-2-1-base" in text and "huggingface.co/stabilityai" not in text


def test_the_error_of_an_unknown_model_lists_the_known_ones():
    text = str(missing_model_error("nonsense.ckpt", "Zero123 Prior", FOLDERS))
    assert text.startswith('Zero123 Prior: there is no "nonsense.ckpt"') and "105000.ckpt, 165000.ckpt" in text
    assert str(missing_model_error("x", "Another Prior", FOLDERS)).endswith("models/diffusers. Put the model there.")


@every_model
def test_no_error_has_gaps(model):
    text = str(missing_model_error(model.target, model.node, FOLDERS))
    assert "None" not in text and "  " not in text and "()" not in text and text.endswith('models folder '
                                                                                          f'"{model.folder}".')


@every_model
def test_only_plain_files_are_offered_for_download(model):
    """ComfyUI's editor takes direct addresses of .safetensors files only, and nobody is logged in there."""
    if model.direct:
        assert model.file.endswith(".safetensors") and not model.is_gated
        assert model.direct in (() if model.is_removed else (model.published,)) + model.mirrors
        assert model.download == {"name": model.file, "directory": model.folder,
                                  "url": f"https://huggingface.co/{model.direct}/resolve/main/{model.inside}{model.file}"}
    else:
        assert model.download is None


def test_comfyui_s_own_node_loads_the_files_of_stable_diffusion():
    assert find_model("sd_xl_base_1.0.safetensors", "Load Checkpoint").name == "Stable Diffusion XL base"
    assert find_model("105000.ckpt", "Load Checkpoint") is None
    known = models_of("Load Checkpoint")
    assert known and all(model.node == "Stable Diffusion Prior" and model.folder == "checkpoints" for model in known)
