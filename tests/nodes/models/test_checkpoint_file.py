"""Checkpoint files: what is in them, and what is refused."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import Linear

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.checkpoint_file import CheckpointFile, read_module

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, 2.0])}


def _saved(path, wrapped):
    if path.suffix == ".safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save({"state_dict": WEIGHTS, "epoch": 3} if wrapped else WEIGHTS, path)
    return path


@pytest.mark.parametrize(("file", "wrapped"), [("a.safetensors", False), ("a.ckpt", True), ("a.pt", False)])
def test_every_format_gives_the_same(tmp_path, file, wrapped):
    source = CheckpointFile(_saved(tmp_path / file, wrapped), "Test Prior")
    assert source.shapes == {"a.weight": (2, 3), "a.bias": (2,)}
    assert torch.equal(source.tensor("a.weight"), WEIGHTS["a.weight"])
    assert source.below("a.") == {"weight": "a.weight", "bias": "a.bias"}
    module = read_module(lambda: Linear(3, 2), source.below("a."), source, lambda key: key)
    assert torch.equal(module.bias, WEIGHTS["a.bias"]) and not module.weight.requires_grad


def test_an_old_file_that_is_no_archive(tmp_path):
    torch.save(WEIGHTS, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert torch.equal(CheckpointFile(tmp_path / "old.ckpt", "Test Prior").tensor("a.bias"), WEIGHTS["a.bias"])


class _Evil:
    def __reduce__(self):
        return (open, ("stolen", "w"))


def test_code_in_a_pickle_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": WEIGHTS, "extra": _Evil()}, "evil.ckpt")
    with pytest.raises(DistillError, match="holds more than weights, and its code is not run"):
        CheckpointFile("evil.ckpt", "Test Prior")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(DistillError, match="Test Prior: "):
        CheckpointFile("plain.ckpt", "Test Prior")
    assert not (tmp_path / "stolen").exists()


def test_the_trainer_s_own_classes_do_no_harm(tmp_path):
    import sys
    import types

    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    names = ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__)
    sys.modules.update({name: module for name in names})
    try:
        torch.save({"state_dict": WEIGHTS, "callbacks": {module.ModelCheckpoint: {"best": 1.0}}}, tmp_path / "a.ckpt")
    finally:
        for name in names:
            del sys.modules[name]
    assert "a.weight" in CheckpointFile(tmp_path / "a.ckpt", "Test Prior")


@pytest.mark.parametrize("file", ["a.safetensors", "a.ckpt"])
def test_a_file_that_is_cut_off(tmp_path, file):
    path = _saved(tmp_path / file, True)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DistillError, match="cut off"):
        CheckpointFile(path, "Test Prior")


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(DistillError, match="there is no file"):
        CheckpointFile(tmp_path / "none.ckpt", "Test Prior")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DistillError, match="is not a checkpoint"):
        CheckpointFile(tmp_path / "notes.txt", "Test Prior")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DistillError, match="no weights by name"):
        CheckpointFile(tmp_path / "list.pt", "Test Prior")


def test_read_module_names_the_first_difference(tmp_path):
    source = CheckpointFile(_saved(tmp_path / "a.safetensors", False), "Test Prior")
    with pytest.raises(DistillError, match=r'"a.weight" has the shape \[2, 3\]; \[2, 4\] was expected'):
        read_module(lambda: Linear(4, 2), source.below("a."), source, lambda key: key)
    with pytest.raises(DistillError, match='has "bias" too many'):
        read_module(lambda: Linear(3, 2, bias=False), source.below("a."), source, lambda key: key)


def test_capital_letters_in_the_ending(tmp_path):
    path = _saved(tmp_path / "a.safetensors", False).rename(tmp_path / "A.SAFETENSORS")
    assert "a.weight" in CheckpointFile(path, "Test")


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_is_read_as_float16_times_its_scale(tmp_path, kind):
    half = torch.tensor(0.5)
    save_file({"a.weight": WEIGHTS["a.weight"].to(kind), "a.bias": WEIGHTS["a.bias"].to(kind), "a.scale_weight": half,
               "scaled_fp8": torch.zeros(2).to(kind)}, tmp_path / "a.safetensors")
    source = CheckpointFile(tmp_path / "a.safetensors", "Test")
    assert set(source) == {"a.weight", "a.bias"} and source.tensor("a.bias").dtype == torch.float16
    module = read_module(lambda: Linear(3, 2), source.below("a."), source, lambda key: key, torch.float32)
    assert torch.equal(module.weight, WEIGHTS["a.weight"] / 2) and torch.equal(module.bias, WEIGHTS["a.bias"])


def test_a_compressed_archive_is_refused_before_it_grows(tmp_path):
    import zipfile

    torch.save({"a": torch.zeros(64 << 20, dtype=torch.uint8)}, tmp_path / "whole.ckpt")
    with (zipfile.ZipFile(tmp_path / "whole.ckpt") as whole,
          zipfile.ZipFile(tmp_path / "small.ckpt", "w", zipfile.ZIP_DEFLATED) as small):
        for entry in whole.infolist():
            small.writestr(entry.filename, whole.read(entry))
    assert (tmp_path / "small.ckpt").stat().st_size < 1 << 20
    with pytest.raises(DistillError, match="compressed archive that grows to 64 MiB"):
        CheckpointFile(tmp_path / "small.ckpt", "Test")


def test_the_message_on_other_classes_has_no_advice_to_load_code(tmp_path):
    torch.save({"state_dict": WEIGHTS, "extra": _Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(DistillError) as caught:
        CheckpointFile(tmp_path / "evil.ckpt", "Test")
    text = str(caught.value)
    assert "(io.open)" in text and "weights_only" not in text and "\x1b" not in text
