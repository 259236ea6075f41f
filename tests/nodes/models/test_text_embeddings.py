import shutil

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import INTERPOLATED, VIEW_WORDINGS, Prompt
from distill3d.nodes.core.state import save_state
from distill3d.nodes.models.text_embeddings import read_embeddings, write_embeddings
from distill3d.nodes.priors import deepfloyd_if
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF, DeepFloydIFPriorNode
from distill3d.nodes.priors.save_text_embeddings import SaveTextEmbeddingsNode

CPU = torch.device("cpu")
PROMPT = Prompt("a Red cube", "ugly")


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "output")
    set_host(host)
    yield host
    set_host(None)


@pytest.fixture
def small_machine(tiny_if, host):
    """A model folder below the output folder that has neither text encoder nor tokenizer."""
    folder = shutil.copytree(tiny_if, host.output_directory / "small")
    shutil.rmtree(folder / "text_encoder")
    shutil.rmtree(folder / "tokenizer")
    return folder


def test_what_is_written_is_read(tmp_path):
    embeddings = torch.randn(2, 77, 4)
    path = write_embeddings(tmp_path / "a.safetensors", ["", " A cat"], embeddings)
    found = read_embeddings(path, 4, "A Prior")
    assert list(found) == ["", "a cat"] and torch.equal(torch.cat([row.embedding for row in found.values()]),
                                                        embeddings)


def test_saved_embeddings_run_a_machine_without_text_encoder(tiny_if, host, small_machine):
    with torch.inference_mode():  # as in the host
        file, = SaveTextEmbeddingsNode.execute(DeepFloydIF(str(tiny_if)), PROMPT, "kept/cube").args
    assert file.startswith("kept/cube_") and [path.name for path in host.written] == [file.split("/")[1]]
    prior = DeepFloydIFPriorNode.execute("small", embeddings=file).args[0].load(LoadedPriors(CPU))
    whole = DeepFloydIF(str(tiny_if)).load(LoadedPriors(CPU))
    z, t = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([400, 20])
    texts = ["ugly", PROMPT.of_view(90, 0)]
    found, = prior.denoise(z, t, [prior.encode_prompts(texts)], None)
    expected, = whole.denoise(z, t, [whole.encode_prompts(texts)], None)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert not host.warnings
    with pytest.raises(DistillError, match='none for "a blue cube, side view".*"a red cube, front view"'):
        prior.encode_prompts(["a blue cube, side view"])


def test_saving_reads_no_unet(tiny_if, host, monkeypatch):
    monkeypatch.setattr(deepfloyd_if, "load_network", None)
    file, = SaveTextEmbeddingsNode.execute(DeepFloydIF(str(tiny_if)), PROMPT).args
    found = read_embeddings(host.output_directory / file, 64, "A Prior")
    assert set(found) == {"ugly", *(f"a red cube, {view} view" for view in ("front", "side", "back", "overhead"))}


def test_with_both_the_file_comes_first_and_the_encoder_knows_the_rest(tiny_if, host, tmp_path):
    path = write_embeddings(tmp_path / "a.safetensors", ["a red cube"], torch.full((1, 77, 64), 3.0))
    prior = DeepFloydIF(str(tiny_if), embeddings=str(path)).load(LoadedPriors(CPU))
    found = prior.encode_prompts(["a red cube", "a blue cube"]).embedding
    assert bool((found[0] == 3).all())
    assert torch.equal(found[1],
                       DeepFloydIF(str(tiny_if)).load(LoadedPriors(CPU)).encode_prompts(["a blue cube"]).embedding[0])


@pytest.mark.parametrize("views", VIEW_WORDINGS)
def test_all_texts_are_all_that_cameras_get(views):
    prompt = Prompt("a cat", "ugly", views)
    if views == "degrees":
        assert prompt.all_texts() == ()
        return
    used = {"ugly", *(prompt.of_view(azimuth, elevation) for azimuth in range(0, 360, 15) for elevation in (0, 80))}
    assert set(prompt.all_texts()) == used and len(prompt.all_texts()) == len(used)
    assert prompt.all_texts()[0] == "ugly"


def test_all_texts_name_each_once():
    assert Prompt("a cat", "a cat", "none").all_texts() == ("a cat",)
    assert len(Prompt("a cat", views=INTERPOLATED).all_texts()) == 5


@pytest.mark.parametrize("write, words", [
    (lambda path: path.write_bytes(b"nonsense"), "cannot be read"),
    (lambda path: save_state(path, {"scene.x": torch.zeros(2)}, {"kind": "scene"}), "holds no text embeddings"),
    (lambda path: save_state(path, {"text_embeddings": torch.zeros(2, 7, 64)}, {"texts": ["one"]}), "holds no text "
     "embeddings"),
    (lambda path: write_embeddings(path, ["a cat"], torch.zeros(1, 77, 4096)), "4096 numbers per word and the model "
     "takes 64"),
])
def test_other_files_are_refused(tiny_if, tmp_path, write, words):
    path = tmp_path / "a.safetensors"
    write(path)
    with pytest.raises(DistillError, match=words) as caught:
        DeepFloydIF(str(tiny_if), embeddings=str(path)).load(LoadedPriors(CPU))
    assert str(caught.value).startswith("DeepFloyd IF Prior: ")


def test_without_embeddings_the_folder_needs_its_text_encoder(small_machine):
    with pytest.raises(DistillError, match="has no text_encoder/config.json"):
        DeepFloydIF(str(small_machine)).load(LoadedPriors(CPU))


def test_only_prompts_and_priors_that_make_sense_are_saved(tiny_if, host):
    with pytest.raises(DistillError, match="only the DeepFloyd IF Prior"):
        SaveTextEmbeddingsNode.execute(BuiltinPrior(str(tiny_if)), PROMPT)
    with pytest.raises(DistillError, match="words in degrees make too many"):
        SaveTextEmbeddingsNode.execute(DeepFloydIF(str(tiny_if)), Prompt("a cat", views="degrees"))
