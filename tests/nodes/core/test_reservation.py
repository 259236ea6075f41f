"""Names of files are reserved: runs that share a folder never write to one file."""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.reservation import MACHINE, release, reserve, sweep
from distill3d.nodes.core.state import write_atomically

WRITER = """
import sys
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.state import write_atomically

host = Host(sys.argv[1])
for turn in range(8):
    for extension in ("glb", "png"):
        write_atomically(host.save_path("distill3d/object", extension), f"{sys.argv[2]} {turn}".encode())
    host.end()
"""


def test_runs_that_share_a_folder_keep_all_files(tmp_path):
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(subprocess.run, [sys.executable, "-c", WRITER, str(tmp_path), str(name)], check=True)
                for name in range(4)]
        [run.result() for run in runs]
    for extension in ("glb", "png"):
        found = sorted(path.read_text() for path in (tmp_path / "distill3d").glob(f"*.{extension}"))
        assert found == sorted(f"{name} {turn}" for name in range(4) for turn in range(8))


def test_a_name_is_given_back_where_nothing_was_written(tmp_path):
    host = Host(tmp_path)
    first, second = host.save_path("object", "glb"), host.save_path("object", "glb")
    assert first != second
    write_atomically(second, b"glTF")
    host.end()
    assert not first.exists() and second.read_bytes() == b"glTF"
    assert [path.name for path in tmp_path.iterdir()] == ["object_00002_.glb"]


def test_what_a_killed_process_reserved_is_free_again(tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path = tmp_path / "object_00001_.glb"
    path.write_text(f"reserved by Distill3D: {MACHINE} {killed.pid}")
    sweep([path])
    assert path.exists() and not reserve(path)
    killed.kill()
    killed.communicate()
    assert Host(tmp_path).save_path("object", "glb") == path.resolve()


def test_reservations_of_other_machines_last_a_day(tmp_path):
    path = tmp_path / "object_00001_.glb"
    path.write_text("reserved by Distill3D: elsewhere 1")
    sweep([path])
    assert path.exists()
    os.utime(path, (0, 0))
    sweep([path])
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"glTF", b"reserved by Distill3D: ", b"reserved by Distill3D: \xff 1"])
def test_other_files_stay(tmp_path, content):
    path = tmp_path / "object_00001_.glb"
    path.write_bytes(content)
    os.utime(path, (0, 0))
    sweep([path])
    release(path)
    assert path.read_bytes() == content and not reserve(path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DistillError, match="Cannot write"):
        reserve(tmp_path / "object_00001_.glb")


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "distill3d").write_text("")
    with pytest.raises(DistillError, match="Cannot write"):
        Host(tmp_path).save_path("distill3d/object", "glb")
