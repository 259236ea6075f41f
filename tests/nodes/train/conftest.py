import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def data():
    from distill3d.nodes.train.shape_dataset import ShapeDataset

    return ShapeDataset(32, resolution=8, supersample=1).render()


@pytest.fixture
def short_sheet(monkeypatch):
    """One sample instead of many, with one step: the sheet is the slow part of a tiny run."""
    from distill3d.nodes.train import prior_trainer

    sample = prior_trainer.sample_prior
    monkeypatch.setattr(prior_trainer, "SHEET_PROMPTS", ("a red cube",))
    monkeypatch.setattr(prior_trainer, "sample_prior", lambda *args, **options: sample(*args, steps=2, **options))
