from dataclasses import replace

import numpy as np
import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.priors.mvdream import MVDream
from distill3d.nodes.priors.normal_depth import NormalDepth
from distill3d.nodes.train import multi_view_trainer
from distill3d.nodes.train.denoising_trainer import PriorRecipe
from distill3d.nodes.train.multi_view_trainer import MultiViewTrainer, NormalDepthTrainer, encode_text, paint
from distill3d.nodes.train.shape_views import ShapeViews
from distill3d.nodes.train.training_run import run_training

RECIPE = PriorRecipe(steps=4, batch=4, channels=(32, 64), warmup=2, autoencoder_steps=2, reading_steps=2)
KINDS = {"color": (MultiViewTrainer, MVDream), "normal and depth": (NormalDepthTrainer, NormalDepth)}


def drawn(picture):
    return ShapeViews(8, views=2, picture=picture, resolution=16, supersample=1).render()


@pytest.fixture(scope="module")
def data():
    return drawn("color")


@pytest.fixture(autouse=True)
def short_sheet(monkeypatch):
    monkeypatch.setattr(multi_view_trainer, "SHEET_CAPTIONS", ("a red cube",))
    monkeypatch.setattr(multi_view_trainer, "paint", lambda *args: paint(*args, steps=1))


def test_one_group_is_learned(data):
    one = data._replace(**{name: value[:1] for name, value in data._asdict().items()})
    trainer = MultiViewTrainer(one, replace(RECIPE, batch=8, warmup=1, lr=2e-3))
    losses = [trainer.train_step(0.0) for _ in range(40)]
    assert sum(losses[-8:]) < 0.6 * sum(losses[:8])


def test_views_of_a_group_share_their_timestep_and_see_each_other(data):
    trainer = MultiViewTrainer(data, RECIPE)
    seen = {}
    unet = trainer.model["unet"]
    unet.register_forward_pre_hook(lambda module, args: seen.update(t=args[1]))
    trainer.train_step(0.0)
    assert torch.equal(seen["t"][0::2], seen["t"][1::2]) and len(seen["t"]) == 4
    x, hidden = torch.randn(4, 4, 8, 8), torch.zeros(4, 77, 64)
    vectors = trainer.vectors(trainer.cameras(np.arange(2)))
    other = torch.cat([x[:1] + 1, x[1:]])
    with torch.no_grad():
        moved = (unet(other, 500, hidden, class_labels=vectors).sample
                 - unet(x, 500, hidden, class_labels=vectors).sample).abs().amax((1, 2, 3))
    assert moved[1] > 1e-6 and moved[2:].max() == 0


@pytest.mark.parametrize("picture", KINDS)
def test_the_prior_node_answers_as_the_trained_networks_do(picture, tmp_path):
    data = drawn(picture)
    build, recipe = KINDS[picture]
    trainer = build(data, RECIPE)
    run_training(trainer, str(tmp_path), budget=lambda step, seconds: step / 1)
    folder = str(tmp_path / "builtin")
    trainer.begin_from(folder)  # in half precision now, as the folder
    prior = recipe(folder, views=2, resolution=16, precision="float32").load(LoadedPriors(torch.device("cpu")))
    assert prior.size == (8 if picture == "color" else 16)
    cameras, texts = trainer.cameras(np.arange(2)), ["a red cube", "a red cube", "a blue torus", "a blue torus"]
    z_t = torch.randn(4, 4, prior.size, prior.size, generator=torch.Generator().manual_seed(0))
    t = torch.full((4,), 400)
    answer, = prior.denoise(z_t, t, [prior.encode_prompts(texts)], cameras)
    with torch.no_grad():
        hidden = encode_text(trainer.average["text_encoder"], trainer.tokenizer, texts)
        velocity = trainer.average["unet"](z_t, t, hidden, class_labels=trainer.vectors(cameras)).sample
    assert torch.allclose(answer, trainer.signal[400] * z_t - trainer.noise[400] * velocity, atol=1e-4)
    rendered = torch.rand(4, 16, 16, prior_channels(picture))
    x = rendered.permute(0, 3, 1, 2) * 2 - 1
    assert torch.allclose(prior.encode_image(rendered).clean, trainer.to_latents(x), atol=1e-4)


def prior_channels(picture):
    return 3 if picture == "color" else 4


def test_a_stopped_run_ends_as_an_unbroken_one(data, tmp_path):
    whole = MultiViewTrainer(data, RECIPE)
    run_training(whole, str(tmp_path / "whole"))
    run_training(MultiViewTrainer(data, RECIPE), str(tmp_path / "parts"),
                 budget=lambda step, seconds: step / 4 if step < 2 else 1.0)
    resumed = MultiViewTrainer(data, RECIPE)
    run_training(resumed, str(tmp_path / "parts"))
    for ours, theirs in zip(whole.average.state_dict().values(), resumed.average.state_dict().values()):
        assert torch.equal(ours, theirs)


def test_unsuitable_data_and_folders_are_refused(data, tmp_path):
    with pytest.raises(DistillError, match="Train Normal-Depth Prior.*normal and depth"):
        NormalDepthTrainer(data, RECIPE)
    with pytest.raises(DistillError, match="multiple of 2"):
        MultiViewTrainer(data, replace(RECIPE, batch=5))
    with pytest.raises(DistillError, match="channels"):
        MultiViewTrainer(data, replace(RECIPE, channels=(16, 32)))
    trainer = MultiViewTrainer(data, RECIPE)
    trainer.save_pipeline(str(tmp_path / "prior"))
    with pytest.raises(DistillError, match="other sizes"):
        MultiViewTrainer(data, replace(RECIPE, channels=(32, 96))).begin_from(str(tmp_path / "prior"))
    trainer.save(str(tmp_path / "state.pt"))
    with pytest.raises(DistillError, match="another kind of prior"):
        NormalDepthTrainer(drawn("normal and depth"), RECIPE).load(str(tmp_path / "state.pt"))
