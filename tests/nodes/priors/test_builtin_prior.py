import shutil

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.models.builtin import BUILTIN_FOLDER
from distill3d.nodes.priors.builtin_prior import BuiltinPrior, BuiltinPriorNode, weights_digest
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF
from distill3d.nodes.shapes.caption import KNOWN_WORDS


class _Host(Host):
    def model_folders(self, kind):
        return [self.output_directory.parent / "models" / kind]


@pytest.fixture
def host(tmp_path):
    host = _Host(tmp_path / "output")
    set_host(host)
    yield host
    set_host(None)


def load(tiny_if):
    return BuiltinPrior(str(tiny_if)).load(LoadedPriors(torch.device("cpu")))


def test_unknown_words_give_one_warning(host, tiny_if):
    prior = load(tiny_if)
    prior.encode_prompts(["a red hamburger, az30 el15", "a RED cube on a bread-like Käse, az30 el15"])
    warning, = host.warnings
    assert "'hamburger', 'bread-like', 'käse'" in warning and all(word in warning for word in KNOWN_WORDS)
    prior.encode_prompts(["a red hamburger, az45 el15", "a red hamburger, az60 el15"])  # new views, the same words
    assert len(host.warnings) == 1
    prior.encode_prompts(["a red plane, az45 el15"])
    assert len(host.warnings) == 2 and "'plane'" in host.warnings[1] and "hamburger" not in host.warnings[1]


def test_known_words_give_none(host, tiny_if):
    load(tiny_if).encode_prompts(["", "A red cube on top of an orange sphere, az345 el-45.", "a dotted pink cone,side "
                                  "view"])
    assert not host.warnings


def test_it_is_an_if_prior(host, tiny_if):
    one, other = load(tiny_if), DeepFloydIF(str(tiny_if)).load(LoadedPriors(torch.device("cpu")))
    z, t = torch.randn(1, 3, 8, 8), torch.tensor([300])
    found = [prior.denoise(z, t, [prior.encode_prompts(["a red cube"])], None)[0] for prior in (one, other)]
    assert torch.equal(*found)


def test_node_takes_folders_below_output_and_models(host, tiny_if, tmp_path):
    inside, model = host.output_directory / "mine/builtin", tmp_path / "models/diffusers/shapes"
    for place in (inside, model):
        shutil.copytree(tiny_if, place)
    for folder, place in (("mine/builtin", inside), (str(inside), inside), ("shapes", model)):
        recipe = BuiltinPriorNode.execute(folder).args[0]
        assert recipe == BuiltinPrior(str(place), weights_digest(tiny_if)) and recipe.load(
            LoadedPriors(torch.device("cpu"))).size == 8
    assert BuiltinPriorNode.execute().args[0] == BuiltinPriorNode.execute("").args[0] == BuiltinPrior(
        "", weights_digest(BUILTIN_FOLDER))


def test_other_weights_make_another_recipe(host, tiny_if):
    place = host.output_directory / "mine"
    shutil.copytree(tiny_if, place)
    before, seen = BuiltinPriorNode.execute("mine").args[0], BuiltinPriorNode.fingerprint_inputs("mine")
    weights = next((place / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert BuiltinPriorNode.execute("mine").args[0] != before and BuiltinPriorNode.fingerprint_inputs("mine") != seen


@pytest.mark.parametrize("folder",
                         ["/", "..", ".", "../elsewhere", "mine/../../elsewhere", "link", "absent", "{tmp}/elsewhere"])
def test_node_refuses_every_other_place(host, tmp_path, folder):
    (tmp_path / "elsewhere").mkdir()
    (host.output_directory / "mine").mkdir(parents=True)
    (host.output_directory / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DistillError, match="not a folder below"):
        BuiltinPriorNode.execute(folder.format(tmp=tmp_path))
