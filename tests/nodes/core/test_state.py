import errno
import os

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.state import read_state, save_state, write_atomically

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([True, False]),
           "c": torch.tensor(3, dtype=torch.int64)}
FACTS = {"step": 12, "seed": 2**53 - 1, "name": "a red cube, ä", "list": [1, 2.5, None]}


def test_what_is_saved_is_read(tmp_path):
    path = save_state(tmp_path / "deep" / "run.safetensors", TENSORS, FACTS)
    tensors, facts = read_state(path)
    assert facts == FACTS and sorted(tensors) == sorted(TENSORS)
    assert all(torch.equal(tensors[name], TENSORS[name]) and tensors[name].dtype == TENSORS[name].dtype
               for name in TENSORS)
    assert os.listdir(path.parent) == ["run.safetensors"]


def test_equal_content_gives_equal_bytes(tmp_path):
    first = save_state(tmp_path / "1", TENSORS, FACTS).read_bytes()
    second = save_state(tmp_path / "2", dict(reversed(TENSORS.items())), dict(reversed(FACTS.items()))).read_bytes()
    assert first == second
    assert save_state(tmp_path / "3", TENSORS, {**FACTS, "step": 13}).read_bytes() != first


def test_strided_graph_and_shared_tensors_are_saved(tmp_path):
    base = torch.arange(6.0, requires_grad=True).reshape(2, 3)
    tensors = {"turned": base.T, "same": base, "again": base, "row": base[0]}
    read, _ = read_state(save_state(tmp_path / "state", tensors, {}))
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def _fails(error):
    def fail(*_, **__):
        raise error
    return fail


class _FullDisk:
    """A file on a disk that takes a few bytes and then is full."""

    def __init__(self, handle, mode):
        self.file = open(handle, mode)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[:5])
        self.file.flush()
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name, replacement, words", [
    ("os.replace", _fails(PermissionError(errno.EACCES, "Permission denied")), "Permission denied"),
    ("os.fsync", _fails(OSError(errno.EIO, "Input/output error")), "Input/output error"),
    ("os.fdopen", _FullDisk, "No space left"),
    ("tempfile.mkstemp", _fails(PermissionError(errno.EACCES, "Permission denied")), "Permission denied"),
])
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch, name, replacement, words):
    path = tmp_path / "state"
    write_atomically(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(name, replacement)
        with pytest.raises(DistillError, match=words):
            write_atomically(path, b"new and longer")
    assert os.listdir(tmp_path) == ["state"] and path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DistillError, match="file"):
        write_atomically(tmp_path / "file" / "state", b"data")
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_is_replaced_and_everyone_may_read_it(tmp_path):
    path = write_atomically(write_atomically(tmp_path / "state", b"old"), b"new")
    assert path.read_bytes() == b"new"
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o644


def test_every_cut_off_file_is_refused(tmp_path):
    whole = save_state(tmp_path / "whole", TENSORS, FACTS).read_bytes()
    for length in (0, 1, 7, 8, 40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(DistillError, match="cut"):
            read_state(tmp_path / "cut")


def test_other_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(DistillError, match="does not exist"):
        read_state(tmp_path / "nowhere")
    (tmp_path / "text").write_text("not a state at all, but quite long enough to have a header")
    with pytest.raises(DistillError, match="text"):
        read_state(tmp_path / "text")
    save_file({"x": torch.zeros(2)}, tmp_path / "other")
    with pytest.raises(DistillError, match="no state of Distill3D"):
        read_state(tmp_path / "other")
