"""No prior outlives its run: what is released is freed at once, without waiting for the garbage collector."""
import gc
import weakref

import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF
from distill3d.nodes.priors.diffusers_prior import DiffusersModel
from distill3d.nodes.priors.dreambooth_prior import DreamBooth
from distill3d.nodes.priors.lora_prior import LoRA
from distill3d.nodes.priors.mvdream import MVDream
from distill3d.nodes.priors.reference_views import reference_views
from distill3d.nodes.priors.stable_diffusion import StableDiffusion
from distill3d.nodes.priors.zero123 import Zero123

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tiny_if, tmp_path_factory):
    import tiny_families
    import tiny_mv
    import tiny_zero123
    from tiny_sd import write_folder, write_tokenizer

    root = tmp_path_factory.mktemp("models")
    write_folder(root / "sd1", "sd1")
    write_tokenizer(root / "tokenizer")
    tiny_mv.write_file(root / "mv.pt", "sd2")
    picture = torch.rand(1, tiny_zero123.PIXELS, tiny_zero123.PIXELS, 3)
    views = reference_views("test", picture, None, "5", "20", 1.5)
    zero123 = Zero123(str(tiny_zero123.write_checkpoint(root / "105000.ckpt")), views)
    base = DeepFloydIF(str(tiny_if))
    return {"if": base, "sd": StableDiffusion(str(root / "sd1")), "zero123": zero123, "builtin": BuiltinPrior(),
            "mvdream": MVDream(str(root / "mv.pt"), 4, str(root / "tokenizer"), tiny_mv.PIXELS),
            "sd3": DiffusersModel(str(tiny_families.write(root / "sd3", "sd3")), 64),
            "lora": LoRA(base), "dreambooth": DreamBooth(base, steps=2, refresh=1),
            "lora over mvdream": LoRA(MVDream(str(root / "mv.pt"), 4, str(root / "tokenizer"), tiny_mv.PIXELS))}


@pytest.mark.parametrize("kind", ["if", "sd", "zero123", "builtin", "mvdream", "sd3", "lora", "dreambooth",
                                  "lora over mvdream"])
def test_a_released_prior_is_freed_at_once(models, kind):
    gc.collect()
    gc.disable()
    try:
        priors = LoadedPriors(CPU)
        watched = use(priors(models[kind]))
        priors.release()
        assert [ref() for ref in watched if ref() is not None] == []
    finally:
        gc.enable()


def use(prior):
    """Denoises, and trains a step where the prior learns. Returns references to the prior and its networks."""
    cameras = turntable(4, 15, 3, 40, 8)
    condition, z = prior.encode_prompts(["a red cube"] * 4), torch.randn(4, prior.channels, prior.size, prior.size)
    with torch.no_grad():
        prior.denoise(z, torch.full((4,), 300), [condition], cameras)
    if prior.is_learning:
        prior.learn(lambda: prior.encode_image(torch.rand(4, 8, 8, 3)), cameras,
                    lambda cameras: [prior.encode_negatives([""] * 4), condition], 0, 10, Streams(0, 0))
    networks = [value for value in vars(prior).values() if isinstance(value, torch.nn.Module)]
    return [weakref.ref(each) for each in (prior, *networks)]
