"""Making pictures without ComfyUI: Euler's method against a prior whose answers are known, and tiny Stable
Diffusion."""

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.runner.core_image import ImageFromBatch
from distill3d.runner.core_sampling import KSampler, VAEDecode, sample
from distill3d.runner.run import run_workflow

SHAPE = (2, 4, 8, 8)


class Certain:
    """Knows one clean picture for each text: what is led to is 1, what is led from 0.5."""

    timesteps, device = 1000, torch.device("cpu")

    def encode_prompts(self, texts):
        return torch.tensor([1.0 if text == "this" else 0.5 for text in texts])

    def sigma(self, t):
        return 0.03 * 500 ** (t / 999)

    def add_noise(self, z, noise, t):
        return z

    def denoise(self, z_t, t, conditions, cameras):
        return [row.view(-1, 1, 1, 1).expand_as(z_t) for row in conditions]


class Agreeing(Certain):
    """Takes whatever it is given for clean."""

    def denoise(self, z_t, t, conditions, cameras):
        return [z_t, z_t]


def walk(guidance=1.0):
    return sample(Certain(), torch.zeros(SHAPE), ["this"], ["that"], 10, guidance, 1.0, 0)


def test_it_ends_at_what_a_certain_prior_says(here):
    torch.testing.assert_close(walk(), torch.ones(SHAPE))
    torch.testing.assert_close(walk(guidance=3.0), torch.full(SHAPE, 2.0))


def test_a_share_of_the_schedule_starts_from_the_picture(here):
    """Of an agreeing prior the noise that was added first is left."""
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))
    for share in (0.1, 0.5, 1.0):
        left = sample(Agreeing(), start, ["this"], ["that"], 10, 1.0, share, 0) - start
        sigma = float(Certain().sigma(torch.tensor(999 * share)))
        assert 0.6 * sigma < float(left.std()) < 1.2 * sigma


def test_the_seed_decides(here):
    """Of an agreeing prior the noise itself is left."""
    one, same, other = (sample(Agreeing(), torch.zeros(SHAPE), ["this"], ["that"], 2, 1.0, 1.0, seed)
                        for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("name, scheduler", [("dpmpp_2m", "normal"), ("euler", "karras")])
def test_other_samplers_are_for_comfyui(here, name, scheduler):
    with pytest.raises(DistillError, match='KSampler: without ComfyUI there is sampler_name "euler"'):
        KSampler.execute(None, 0, 1, 1.0, name, scheduler, ["a"], [""], {"samples": torch.zeros(SHAPE)})


def test_a_model_of_something_else(here):
    with pytest.raises(DistillError, match="VAE Decode: without ComfyUI a model comes from Load Checkpoint"):
        VAEDecode.execute({"samples": torch.zeros(SHAPE)}, "a VAE")


def test_nothing_made_anew_is_the_latent_itself(here):
    latent = {"samples": torch.zeros(SHAPE)}
    assert KSampler.execute(None, 0, 1, 1.0, "euler", "normal", ["a"], [""], latent, denoise=0.0).args[0] is latent


@pytest.mark.parametrize("first, length, found",
                         [(0, 1, [0]), (-1, 1, [3]), (2, 9, [2, 3]), (9, 1, [3]), (-9, 2, [0, 1])])
def test_pictures_of_a_batch(first, length, found):
    batch = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 2, 3)
    assert ImageFromBatch.execute(batch, first, length).args[0][:, 0, 0, 0].tolist() == found


@pytest.fixture
def checkpoint(here, tmp_path, monkeypatch):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from tiny_sd import write_file, write_tokenizer

    monkeypatch.setattr(type(here), "model_folders", lambda self, kind: [tmp_path / "models" / kind])
    (tmp_path / "models/checkpoints").mkdir(parents=True)
    write_file(tmp_path / "models/checkpoints/tiny.safetensors", "sd1")
    write_tokenizer(tmp_path / "models/text_encoders/clip_tokenizer")
    return "tiny.safetensors"


def test_a_graph_from_text_to_picture_and_back(checkpoint, here):
    """The tiny autoencoder's pictures are noise, but sizes, files and the way through the wires are the real ones."""
    def node(kind, **inputs):
        return {"class_type": kind, "inputs": inputs}

    sampling = dict(model=["1", 0], positive=["2", 0], negative=["2", 0], steps=2, cfg=2.0, sampler_name="euler",
                    scheduler="normal", seed=5)
    result = run_workflow({
        "1": node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": node("CLIPTextEncode", text="red", clip=["1", 1]),
        "3": node("EmptyLatentImage", width=64, height=48, batch_size=2),
        "4": node("KSampler", **sampling, latent_image=["3", 0], denoise=1.0),
        "5": node("VAEDecode", samples=["4", 0], vae=["1", 2]),
        "6": node("ImageFromBatch", image=["5", 0], batch_index=1, length=1),
        "7": node("VAEEncode", pixels=["6", 0], vae=["1", 2]),
        "8": node("KSampler", **sampling, latent_image=["7", 0], denoise=0.5),
        "9": node("VAEDecode", samples=["8", 0], vae=["1", 2]),
        "10": node("SaveImage", images=["9", 0], filename_prefix="p")}, host=here)
    picture, back = result.outputs["5"][0], result.outputs["9"][0]
    assert picture.shape == (2, 48, 64, 3) and back.shape == (1, 48, 64, 3) and len(result.files) == 1
    assert bool(picture.isfinite().all()) and not torch.equal(picture[1:], back)
