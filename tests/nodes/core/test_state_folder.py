"""Which states are deleted, and that no run in progress loses one."""
import os
import subprocess
import sys
import time

import pytest

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.state_folder import DAY, Limits, StateFolder


def state(folder, name, days=0.0, size=1000):
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    used = time.time() - days * DAY
    os.utime(path, (used, used))
    return path


def names(files):
    return [file.path.stem for file in files]


def test_the_longest_unused_go_until_the_rest_fits(tmp_path):
    for name, days in ("c", 3), ("a", 1), ("b", 2):
        state(tmp_path, name, days)
    folder = StateFolder(tmp_path)
    assert names(folder.files()) == ["a", "b", "c"]
    assert names(folder.prune(Limits(2e-6, 0))) == ["c"] and names(folder.files()) == ["a", "b"]
    assert folder.prune(Limits(2e-6, 0)) == []


def test_what_was_not_used_for_long_goes(tmp_path):
    for name, days in ("a", 1), ("b", 9):
        state(tmp_path, name, days)
    assert names(StateFolder(tmp_path).prune(Limits(0, 5))) == ["b"]


def test_without_limits_nothing_goes(tmp_path):
    state(tmp_path, "a", 4000)
    assert StateFolder(tmp_path).prune(Limits(0, 0)) == []


def test_what_was_just_used_stays(tmp_path):
    state(tmp_path, "a")
    assert StateFolder(tmp_path).prune(Limits(1e-9, 1)) == []


SLEEPER = ("import sys, time; from distill3d.nodes.core.state_folder import StateFolder; "
           "StateFolder(sys.argv[1]).need([sys.argv[2]]); print('ready', flush=True); time.sleep(600)")


def test_the_state_of_another_process_stays_until_it_ends(tmp_path):
    for name in "ab":
        state(tmp_path, name, 9)
    other = subprocess.Popen([sys.executable, "-c", SLEEPER, str(tmp_path), "a.safetensors"], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"ready\n"
        folder = StateFolder(tmp_path)
        assert names(folder.prune(Limits(0, 5))) == ["b"] and names(folder.files()) == ["a"]
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert names(folder.prune(Limits(0, 5))) == ["a"] and list(tmp_path.iterdir()) == []


def test_earlier_stages_of_the_run_stay(tmp_path):
    host = Host(tmp_path)
    host.is_running = True
    folder = StateFolder(host.state_directory)
    first = state(folder.path, "first", 9)
    host.need_state(first)
    host.stage_ended()
    state(folder.path, "old", 9)
    assert names(folder.prune(Limits(0, 5))) == ["old"]
    host.need_no_states()
    assert names(folder.prune(Limits(0, 5))) == ["first"]


@pytest.mark.parametrize("given, expected", [({"GIGABYTES": "3", "DAYS": "0"}, Limits(3, 0)), ({}, Limits()),
                                             ({"GIGABYTES": "-1", "DAYS": "nan"}, Limits()), ({"DAYS": "x"}, Limits())])
def test_limits_come_from_the_environment(given, expected, monkeypatch, tmp_path):
    for name, value in given.items():
        monkeypatch.setenv(f"DISTILL3D_STATES_{name}", value)
    assert Host(tmp_path).state_limits() == expected
