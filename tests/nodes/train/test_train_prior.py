import os
from dataclasses import replace

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.priors.builtin_prior import BuiltinPriorNode
from distill3d.nodes.train.prior_trainer import PriorRecipe
from distill3d.nodes.train.shape_dataset import ShapeDataset
from distill3d.nodes.train.train_prior import TrainPriorNode, train_prior
from distill3d.nodes.train.training_run import parse_channels

RECIPE = PriorRecipe(steps=5, batch=4, channels=(16, 32), warmup=2, reading_steps=3)
DATASET = ShapeDataset(8, resolution=8, supersample=1)

pytestmark = pytest.mark.usefixtures("short_sheet")


@pytest.fixture
def host(tmp_path):
    host = RecordingHost(tmp_path / "output")
    set_host(host)
    yield host
    set_host(None)


class RecordingHost(Host):
    """Keeps what is shown; does `at[step]` once that many pictures of progress were shown."""

    def __init__(self, output):
        super().__init__(output, "cpu")
        self.shown, self.checks, self.then = [], 0, None

    def check(self):
        self.checks += 1
        super().check()

    def progress(self, node_id, title, total):
        progress = super().progress(node_id, title, total)

        def update(step, text="", image=None, facts=None):
            self.shown.append((step, text, image, facts))
            if self.then:
                self.then()

        progress.update = update
        return progress


def run(**widgets):
    return TrainPriorNode.execute(DATASET, **{"steps": 3, "channels": "16, 32", "batch": 2, "folder": "run",
                                              "reading_steps": 2, **widgets}).args


def test_resumed_run_is_bit_exact(data, tmp_path):
    whole = train_prior(data, RECIPE)
    stop_after = lambda step, seconds: 1.0 if step >= 2 else RECIPE.progress(step, seconds)
    first = train_prior(data, RECIPE, str(tmp_path), budget=stop_after)
    assert not torch.equal(first.unet.conv_in.weight, whole.unet.conv_in.weight)
    resumed = train_prior(data, RECIPE, str(tmp_path))
    for part in ("unet", "text_encoder"):
        wanted, found = getattr(whole, part).state_dict(), getattr(resumed, part).state_dict()
        assert all(torch.equal(value, found[name]) for name, value in wanted.items())
    files = sorted(os.listdir(tmp_path))
    assert files == ["builtin", "samples_000002.png", "samples_000005.png", "state.pt"]


def test_callback_reports_and_can_stop(data):
    seen = []
    train_prior(data, replace(RECIPE, steps=2), callback=lambda *args: seen.append(args))
    assert [(step, total) for step, total, _, _ in seen] == [(1, 2), (2, 2), (2, 2)]
    assert seen[0][3] is None and seen[-1][3].shape == (32, 6 * 32, 3)

    def stop(step, total, loss, image=None):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_prior(data, RECIPE, callback=stop)


def test_trains_inside_inference_mode(data):
    with torch.inference_mode():
        prior = train_prior(data, replace(RECIPE, steps=1))
    assert not prior.unet.conv_in.weight.is_inference()


def test_node_trains_a_prior_that_the_builtin_prior_node_loads(host):
    with torch.inference_mode():
        folder, samples = run()
        prior = BuiltinPriorNode.execute(folder).args[0].load(LoadedPriors(torch.device("cpu")))
    assert folder == "run/builtin" and samples.shape == (1, 32, 6 * 32, 3)
    assert prior.size == 8 and prior.channels == 3
    assert [path.name for path in host.written] == ["model_index.json"] and host.written[0].is_file()
    # Pictures were drawn, then three steps and the end were shown; the user was asked at each of them.
    steps = [entry for entry in host.shown if entry[3] is not None]
    assert [step for step, *_ in steps] == [333, 666, 1000, 1000] and host.checks >= 5
    assert steps[-1][2].shape == (32, 6 * 32, 3) and steps[0][3]["loss"] > 0


def test_node_goes_on_where_it_ended_or_refuses(host):
    run(steps=2)
    with pytest.raises(DistillError, match='"run" contains a run already'):
        run(resume=False)
    host.shown.clear()
    run(steps=3)
    assert [text.split()[0] for _, text, _, facts in host.shown if facts] == ["3/3", "3/3"]
    assert not any("drawn" in text for _, text, *_ in host.shown)  # the dataset was kept too


def test_finishing_keeps_the_result_and_cancelling_stops(host):
    def finish():
        if host.shown[-1][3]:
            host.finish_now(None)

    host.then = finish
    folder, samples = run(steps=1000)
    assert (host.output_directory / folder / "unet").is_dir() and samples.shape[0] == 1
    assert host.shown[-1][1].startswith("1/1 ")

    host.then, host.cancelled = None, True
    with pytest.raises(Cancelled):
        run(folder="other")
    assert not (host.output_directory / "other").exists()


@pytest.mark.parametrize("folder", ["", ".", "../outside", "/tmp/outside", "a/../.."])
def test_folders_outside_the_output_folder_are_refused(host, folder):
    with pytest.raises(DistillError, match="output folder"):
        run(folder=folder)
    assert not host.shown


def test_a_folder_of_another_origin_is_not_replaced(host):
    (host.output_directory / "mine" / "builtin").mkdir(parents=True)
    with pytest.raises(DistillError, match="would be replaced"):
        run(folder="mine")


def test_channels_are_checked_before_any_work(host):
    assert parse_channels("32, 64 96") == (32, 64, 96)
    for text in ("32, x", "", "32", "-32, 64", "32, 40", "16, 16", "0, 32"):
        with pytest.raises(DistillError, match="channels"):
            run(channels=text)
    assert not host.shown


def test_missing_package_is_named_before_any_work(host, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ImportError, match="diffusers"):
        run()
    assert not host.shown


def test_a_new_run_can_begin_with_the_weights_of_another(tmp_path):
    from distill3d.nodes.core.errors import DistillError
    from distill3d.nodes.train.if_layout import save_if_folder
    from distill3d.nodes.train.prior_trainer import PriorRecipe, PriorTrainer
    from distill3d.nodes.train.shape_dataset import ShapeDataset

    data = ShapeDataset(8, resolution=8, supersample=1).render()
    first = PriorTrainer(data, PriorRecipe(steps=2, batch=2, channels=(16, 32)))
    first.train_step(0.0)
    save_if_folder(str(tmp_path / "prior"), *first.prior())
    second = PriorTrainer(data, PriorRecipe(steps=2, batch=2, channels=(16, 32), seed=5))
    second.begin_from(str(tmp_path / "prior"))
    for name, tensor in first.average.state_dict().items():
        assert torch.allclose(second.model.state_dict()[name], tensor, atol=2e-3)  # saved in half precision
    assert first.must_read and not second.must_read  # all words are known
    with pytest.raises(DistillError, match="other sizes"):
        PriorTrainer(data, PriorRecipe(steps=2, batch=2, channels=(32, 64))).begin_from(str(tmp_path / "prior"))


def test_only_a_text_encoder_with_new_words_is_pretrained_again(tmp_path):
    from distill3d.nodes.train.if_layout import save_if_folder
    from distill3d.nodes.train.prior_trainer import PriorRecipe, PriorTrainer
    from distill3d.nodes.train.shape_dataset import ShapeDataset
    from distill3d.nodes.train.train_prior import train_prior

    data = ShapeDataset(8, resolution=8, supersample=1).render()
    recipe = PriorRecipe(steps=1, batch=2, channels=(16, 32), reading_steps=2)
    folder, read = tmp_path / "prior", []
    save_if_folder(str(folder), *PriorTrainer(data, recipe).prior())
    train_prior(data, recipe, start=str(folder), reading=lambda *facts: read.append(facts))
    assert not read
    words = folder / "tokenizer" / "tokenizer.json"
    words.write_text(words.read_text().replace('"torus"', '"ring"'))
    train_prior(data, recipe, start=str(folder), reading=lambda *facts: read.append(facts))
    assert len(read) == 2
