import json

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.models.builtin import BUILTIN_MVDREAM, BUILTIN_NORMAL_DEPTH
from distill3d.nodes.models.model_files import choices, locate, network_dtype, vae_dtype
from distill3d.nodes.priors.mvdream import MVDreamPriorNode
from distill3d.nodes.priors.normal_depth import NormalDepthPriorNode


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "output", "cpu")
    set_host(host)
    yield host
    set_host(None)


def test_the_packs_own_model_and_trained_ones_are_offered(host, tmp_path):
    shipped = tmp_path / "shipped"
    assert "built-in" not in choices(shipped=shipped)
    shipped.mkdir()
    trained = host.output_directory / "distill3d" / "mine" / "builtin"
    trained.mkdir(parents=True)
    (trained / "model_index.json").write_text(json.dumps({}))
    assert choices(shipped=shipped)[:2] == ["built-in", "distill3d/mine/builtin"]
    assert locate("built-in", "Test", shipped=shipped) == shipped
    assert locate("distill3d/mine/builtin", "Test").samefile(trained)
    with pytest.raises(DistillError, match="built-in"):
        locate("built-in", "Test")


def test_the_built_in_multi_view_prior_is_shown_its_own_resolution(host):
    pytest.importorskip("transformers")
    recipe, = MVDreamPriorNode.execute("built-in", resolution=256, precision="float32").args
    prior = recipe.load(LoadedPriors(torch.device("cpu")))
    assert recipe.path == str(BUILTIN_MVDREAM) and (prior.pixels, prior.views) == (32, 4)
    around = torch.arange(4) * (torch.pi / 2)
    cameras = orbit(around, 0.3, 2.75, 0.7, 32, 32)
    texts = ["an orange sphere with a blue nose"] * 4
    t = torch.full((4,), 999)
    z_t = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    z0, = prior.denoise(z_t, t, [prior.encode_prompts(texts)], cameras)
    front, left, back, right = prior.decode_image(z0)
    # Even from pure noise it knows: blue in front, where the nose is, and none behind; the border is white.
    assert front[14:18, 14:18, 2].mean() > back[14:18, 14:18, 2].mean() + 0.1
    assert all(view[:2].mean() > 0.9 for view in (front, left, back, right))


def test_the_built_in_normal_depth_prior_knows_where_a_nose_is(host):
    pytest.importorskip("transformers")
    recipe, = NormalDepthPriorNode.execute("built-in", precision="float32").args
    prior = recipe.load(LoadedPriors(torch.device("cpu")))
    assert recipe.path == str(BUILTIN_NORMAL_DEPTH) and prior.views == 4
    around = torch.arange(4) * (torch.pi / 2)
    cameras = orbit(around, 0.3, 2.75, 0.7, 32, 32)
    z_t = torch.randn(4, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    z0, = prior.denoise(z_t, torch.full((4,), 999), [prior.encode_prompts(["a red cube with a green "
                                                                           "nose"] * 4)], cameras)
    _, left, back, right = z0[:, 3]  # nearness, -1 where nothing is
    # Even from pure noise: a nose on the front's side only, which is left where the camera stands to the left of it.
    noses = [float(view[14:18, columns].mean() - view[22:26, columns].mean())
             for view, columns in ((left, slice(4, 10)), (right, slice(22, 28)), (back, slice(4, 8)),
                                   (back, slice(24, 28)))]
    assert min(noses[:2]) > 2 * max(noses[2:]) + 0.2, noses


@pytest.mark.parametrize("kind, half, has_bf16, expected", [
    ("cuda", torch.float16, True, torch.float16), ("cuda", torch.bfloat16, True, torch.bfloat16),
    ("cuda", torch.bfloat16, False, torch.float16), ("xpu", torch.bfloat16, False, torch.bfloat16),
    ("mps", torch.bfloat16, False, torch.float16), ("cpu", torch.float16, False, torch.float32)])
def test_half_precision_is_that_of_the_model_where_the_device_has_it(kind, half, has_bf16, expected, monkeypatch):
    def is_supported(including_emulation=True):
        return has_bf16 or including_emulation  # cards before Ampere emulate it

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert network_dtype("auto", torch.device(kind), half) == expected
    assert network_dtype("float32", torch.device(kind), half) == torch.float32
    assert vae_dtype("auto", torch.device(kind), True, half) != torch.float16
