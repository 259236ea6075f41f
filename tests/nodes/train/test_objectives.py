"""The objectives of Train Prior: velocity, DDPM's simple one, NCSN's."""
import json
from dataclasses import replace

import pytest
import torch

from distill3d.kernels.distill.score_matching import denoising_score_matching
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.train.denoising_trainer import LARGEST_SIGMA, OBJECTIVES, timestep_density
from distill3d.nodes.train.prior_trainer import PriorRecipe, PriorTrainer
from distill3d.nodes.train.sample_sheet import noise_schedule
from distill3d.nodes.train.training_run import run_training

RECIPE = PriorRecipe(steps=2, batch=4, channels=(16, 32), warmup=1, reading_steps=0)


def test_timesteps_of_each_objective():
    alphas = noise_schedule().alphas_cumprod
    assert timestep_density(alphas, replace(RECIPE, objective="noise")).unique().tolist() == [1.0]
    density = timestep_density(alphas, replace(RECIPE, objective="score")).double()
    level = ((1 - alphas) / alphas).sqrt().double()
    within = (level > 0.05) & (level < LARGEST_SIGMA)
    # Uniform in the logarithm: the share of draws below a level is its logarithm, up to the step width.
    drawn = (density[within].cumsum(0) / density[within].sum())
    expected = (level[within].log() - level[within][0].log()) / (level[within][-1] / level[within][0]).log()
    assert float((drawn - expected).abs().max()) < 0.02
    assert float(density[level > LARGEST_SIGMA].std()) == 0


@pytest.mark.parametrize("objective", ["noise", "score"])
def test_the_loss_is_score_matching_of_the_predicted_noise(data, objective, monkeypatch):
    trainer = PriorTrainer(data, replace(RECIPE, objective=objective))
    seen = {}
    lesson = trainer.lesson

    def spy(*args):
        found = lesson(*args)

        def predict(noisy, t):
            seen.update(clean=found.clean, noisy=noisy, t=t, said=found.predict(noisy, t))
            return seen["said"]

        return found._replace(predict=predict)

    monkeypatch.setattr(trainer, "lesson", spy)
    loss = trainer.train_step(0.0)
    alpha, sigma = trainer.signal[seen["t"]], trainer.noise[seen["t"]]
    noise = (seen["noisy"] - alpha.view(-1, 1, 1, 1) * seen["clean"]) / sigma.view(-1, 1, 1, 1)
    level = sigma / alpha
    score = -seen["said"].flatten(1) / level[:, None]
    matching = denoising_score_matching(score, noise.flatten(1), level) * 2 / noise[0].numel()
    assert loss == pytest.approx(matching.item(), rel=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_saved_prior_says_what_it_predicts(data, tmp_path, short_sheet, objective):
    run_training(PriorTrainer(data, replace(RECIPE, objective=objective)), str(tmp_path))
    folder = tmp_path / "builtin"
    said = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["prediction_type"]
    assert said == OBJECTIVES[objective]
    assert LoadedPriors(torch.device("cpu"))(BuiltinPrior(str(folder))).prediction == said


def test_a_run_keeps_its_objective(data, tmp_path, short_sheet):
    run_training(PriorTrainer(data, RECIPE), str(tmp_path))
    with pytest.raises(DistillError, match="objective = velocity"):
        run_training(PriorTrainer(data, replace(RECIPE, objective="noise")), str(tmp_path))
    with pytest.raises(DistillError, match='objective "elbo"'):
        PriorTrainer(data, replace(RECIPE, objective="elbo"))
