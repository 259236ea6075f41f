"""Losses, priors and adapters leave their numbers on the device."""
import pytest
import torch

from device_reads import unexplained, waits_of_a_step
from distill3d.nodes.cameras.multi_view_orbit import MultiViewOrbit
from distill3d.nodes.cameras.reference_view import ReferenceViewNode
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.losses.bsd import BSD
from distill3d.nodes.losses.normal_smoothness import NormalSmoothness
from distill3d.nodes.losses.reference_depth import ReferenceDepth
from distill3d.nodes.losses.reference_mask import ReferenceMask
from distill3d.nodes.losses.reference_normal import ReferenceNormal
from distill3d.nodes.losses.reference_rgb import ReferenceRGB
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.losses.sjc import SJC
from distill3d.nodes.losses.vsd import VSD
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.random_background import RandomBackground
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF
from distill3d.nodes.priors.dreambooth_prior import DreamBooth
from distill3d.nodes.priors.lora_prior import LoRA
from distill3d.nodes.priors.mvdream import MVDream
from distill3d.nodes.priors.reference_views import reference_views
from distill3d.nodes.priors.stable_diffusion import StableDiffusion
from distill3d.nodes.priors.zero123 import Zero123
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

SCENE = SceneRecipe(VolumeRenderer(samples=12, occupancy=16), VoxelVolume(resolutions=(4, 8)), Lambertian(),
                    RandomBackground())
PROMPT = Prompt("a red cube")


@pytest.fixture(scope="module")
def models(tiny_if, tmp_path_factory):
    """Priors of every layout, by name."""
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
    return {"if": DeepFloydIF(str(tiny_if)), "sd": StableDiffusion(str(root / "sd1")), "zero123": zero123,
            "mvdream": MVDream(str(root / "mv.pt"), 4, str(root / "tokenizer"), tiny_mv.PIXELS)}


@pytest.mark.parametrize("model, make", [
    ("if", lambda prior: SDS(prior, PROMPT)), ("sd", lambda prior: SDS(prior, PROMPT)),
    ("mvdream", lambda prior: SDS(prior, PROMPT, rescaling=0.5)), ("zero123", lambda prior: SDS(prior, PROMPT)),
    ("sd", lambda prior: SJC(prior, PROMPT)), ("sd", lambda prior: VSD(prior, LoRA(prior), PROMPT)),
    ("if", lambda prior: BSD(DreamBooth(prior, steps=2, refresh=1), LoRA(prior), PROMPT, cycle=10, learning=2)),
    ("if", lambda prior: BSD(DreamBooth(prior, steps=2, refresh=1), LoRA(prior), PROMPT, cycle=10, learning=8))])
def test_scores(tmp_path, monkeypatch, models, model, make):
    views = dict(views=MultiViewOrbit(), batch=4) if model == "mvdream" else {}
    assert unexplained(waits_of_a_step(tmp_path, monkeypatch, SCENE, [make(models[model])], **views)) == {}


def test_pictures(tmp_path, monkeypatch, output_host):
    image = torch.rand(1, 16, 16, 3)
    mask = torch.ones(1, 16, 16)  # 1 is transparent, as Load Image gives it
    mask[:, 4:12, 4:12] = 0
    grey = image[..., :1].expand(-1, -1, -1, 3)
    views, pictures, *_ = ReferenceViewNode.execute(image, mask=mask, depth=grey, normal=image).args
    losses = [ReferenceRGB(pictures), ReferenceMask(pictures), ReferenceDepth(pictures), ReferenceNormal(pictures),
              NormalSmoothness()]
    assert unexplained(waits_of_a_step(tmp_path, monkeypatch, SCENE, losses, views=views, batch=1)) == {}
