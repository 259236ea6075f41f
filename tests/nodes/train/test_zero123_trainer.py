from dataclasses import replace

import pytest
import torch

from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.priors.reference_views import reference_views
from distill3d.nodes.priors.zero123 import Zero123
from distill3d.nodes.train import zero123_trainer
from distill3d.nodes.train.denoising_trainer import PriorRecipe
from distill3d.nodes.train.shape_views import ANYWHERE, ShapeViews
from distill3d.nodes.train.training_run import run_training
from distill3d.nodes.train.zero123_trainer import Zero123Trainer, condition, paint, poses

RECIPE = PriorRecipe(steps=4, batch=4, channels=(16, 32), warmup=2, autoencoder_steps=3)


@pytest.fixture(scope="module")
def data():
    return ShapeViews(8, views=3, cameras=ANYWHERE, resolution=16, supersample=1).render()


@pytest.fixture(autouse=True)
def short_sheet(monkeypatch):
    monkeypatch.setattr(zero123_trainer, "paint", lambda *args: paint(*args, steps=1))


def test_one_pair_is_learned(data):
    pair = data._replace(**{name: value[:1, :2] for name, value in data._asdict().items() if name != "captions"})
    trainer = Zero123Trainer(pair, replace(RECIPE, batch=8, warmup=1, lr=2e-3))
    losses = [trainer.train_step(0.0) for _ in range(40)]
    assert sum(losses[-8:]) < 0.6 * sum(losses[:8])


def test_a_stopped_run_ends_as_an_unbroken_one(data, tmp_path):
    whole = Zero123Trainer(data, RECIPE)
    run_training(whole, str(tmp_path / "whole"))
    first = Zero123Trainer(data, RECIPE)
    run_training(first, str(tmp_path / "parts"), budget=lambda step, seconds: step / 4 if step < 2 else 1.0)
    second = Zero123Trainer(data, RECIPE)
    run_training(second, str(tmp_path / "parts"))
    assert second.step == 4
    for ours, theirs in zip(whole.average.state_dict().values(), second.average.state_dict().values()):
        assert torch.equal(ours, theirs)


def test_the_prior_node_answers_as_the_trained_networks_do(data, tmp_path):
    trainer = Zero123Trainer(data, RECIPE)
    trainer.prepare()
    trainer.train_step(0.0)
    trainer.save_pipeline(str(tmp_path / "prior"))
    trainer.begin_from(str(tmp_path / "prior"))  # in half precision now, as the folder
    assert not trainer.must_read
    elevation, azimuth = (torch.rad2deg(torch.tensor(float(angle[2, 0]))).item()
                          for angle in (data.elevation, data.azimuth))
    rgb = torch.from_numpy(data.images[2, :1]).float() / 255
    views = reference_views("Test", rgb, None, str(elevation), str(azimuth), float(data.distance[2, 0]))
    prior = Zero123(str(tmp_path / "prior"), views, "Zero123", "float32").load(LoadedPriors(torch.device("cpu")))
    cameras = orbit(*(torch.from_numpy(values[2, 1:2])
                      for values in (data.azimuth, data.elevation, data.distance, data.fovy)),
                    16, 16)
    z_t, t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([400])
    negative, positive = prior.denoise(z_t, t, [prior.encode_negatives([""]), prior.encode_prompts(["a red "
                                                                                                    "cube"])], cameras)
    with torch.no_grad():
        token, beside = condition(trainer.average, data.images[[2], [0]], poses(data, [2], [0], [1]))
        for answer, share in ((negative, 0.0), (positive, 1.0)):
            velocity = trainer.average["unet"](torch.cat([z_t, share * beside], 1), t, share * token).sample
            clean = trainer.signal[400] * z_t - trainer.noise[400] * velocity
            assert torch.allclose(answer, clean, atol=1e-4)
    assert not torch.allclose(negative, positive, atol=1e-3)


def test_data_and_folders_that_do_not_fit_are_refused(data, tmp_path):
    with pytest.raises(DistillError, match="Shape Views"):
        Zero123Trainer(data._replace(images=data.images[:, :1]), RECIPE)
    with pytest.raises(DistillError, match="Shape Views"):
        Zero123Trainer(ShapeViews(1, picture="normal and depth", resolution=16, supersample=1).render(), RECIPE)
    with pytest.raises(DistillError, match="channels"):
        Zero123Trainer(data, replace(RECIPE, channels=(20, 40)))
    Zero123Trainer(data, RECIPE).save_pipeline(str(tmp_path / "prior"))
    with pytest.raises(DistillError, match="other sizes"):
        Zero123Trainer(data, replace(RECIPE, channels=(32, 64))).begin_from(str(tmp_path / "prior"))
