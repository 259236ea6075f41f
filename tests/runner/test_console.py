"""The terminal's host: Ctrl-C, progress lines, folders, devices."""
import ctypes
import io
import os
import signal

import pytest

from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.runner.console import Console, ConsoleProgress, QuietProgress, size_text, time_text


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def console(tmp_path, stream):
    return Console(tmp_path / "out", "cpu", tmp_path / "in", stream=stream)


def test_once_finishes_twice_cancels_thrice_breaks(console, stream):
    console.interrupt()
    console.check()
    assert console.should_finish("12") and not console.should_finish("12")
    console.interrupt()
    with pytest.raises(Cancelled):
        console.check()
    with pytest.raises(KeyboardInterrupt):
        console.interrupt()
    assert "Press Ctrl-C again" in stream.getvalue() and "Cancelling" in stream.getvalue()


def test_a_later_stage_can_be_finished_by_itself(console):
    console.interrupt()
    assert console.should_finish("1")
    console.progress("2", "Optimize", 10)
    assert not console.should_finish("2")
    console.interrupt()
    console.check()
    assert console.should_finish("2")


def test_work_that_cannot_be_finished_early_is_cancelled_by_the_second_press(console):
    console.interrupt()
    assert console.should_finish("1") and not console.should_finish("1")
    console.progress("2", "Unwrap UV", 10)
    console.interrupt()
    with pytest.raises(Cancelled):
        console.check()


def test_a_press_that_no_stage_has_answered_yet_counts(console):
    console.interrupt()
    console.progress("2", "Optimize", 10)
    console.interrupt()
    with pytest.raises(Cancelled):
        console.check()


@pytest.mark.skipif(os.name != "posix", reason="signals are counted where a pipe tells of them")
def test_two_presses_during_compiled_code_are_two(console):
    press = ctypes.PyDLL(None)["raise"]
    with console.listening():
        sum(map(press, (signal.SIGINT, signal.SIGINT)))  # without a return to Python between them
        with pytest.raises(Cancelled):
            console.check()
    assert signal.set_wakeup_fd(-1) == -1


def test_the_signal_arrives_and_the_old_handler_comes_back(console):
    before = signal.getsignal(signal.SIGINT)
    with console.listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert console.should_finish("any")
    assert signal.getsignal(signal.SIGINT) is before


def test_lines_where_there_is_no_terminal(console, stream):
    progress = console.progress("1", "Optimize", 100)
    assert isinstance(progress, ConsoleProgress) and progress.is_due()
    for step in range(1, 101):
        progress.update(step, facts={"opacity": 0.5})
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2  # the first step and the last; between them ten seconds must pass
    assert lines[0].startswith("Optimize 1/100, ") and lines[-1].startswith("Optimize 100/100, ")
    assert lines[-1].endswith("opacity 0.5") and "left" in lines[0] and "left" not in lines[-1]


def test_speed_counts_the_steps_of_this_run_only(stream):
    progress = ConsoleProgress("1", "Optimize", 1000, stream)
    progress.update(501)  # resumed at 500
    assert progress.line(600, 50.0) == "Optimize 600/1000, 2 it/s, 3:20 left"
    assert progress.line(510, 50.0) == "Optimize 510/1000, 5 s/it, 40:50 left"
    assert ConsoleProgress("1", "T", 10, stream).line(0, 0.0, "words") == "T 0/10, words"


def test_a_bar_on_a_terminal(tmp_path):
    pytest.importorskip("tqdm")
    stream = io.StringIO()
    stream.isatty = lambda: True
    console = Console(tmp_path, stream=stream)
    progress = console.progress("1", "Optimize", 50)
    progress.update(1)
    console.warn("mind the gap")
    progress.update(50, "done")
    progress.close()
    assert "50/50" in stream.getvalue() and "it/s" in stream.getvalue() and "done" in stream.getvalue()
    assert "warning: mind the gap\n" in stream.getvalue()


def test_quiet_draws_nothing_but_warns(tmp_path, stream):
    console = Console(tmp_path, quiet=True, stream=stream)
    progress = console.progress("1", "Optimize", 10)
    progress.update(10)
    assert isinstance(progress, QuietProgress) and not progress.is_due() and stream.getvalue() == ""
    console.warn("mind"), console.warn("mind")
    assert stream.getvalue() == "warning: mind\n" and console.warnings == ["mind", "mind"]


def test_the_list_of_files(console, tmp_path):
    for name, size in (("a.glb", 1_234_567), ("b.png", 12)):
        (tmp_path / name).write_bytes(bytes(size))
        console.written.append(tmp_path / name)
    console.written.append(tmp_path / "a.glb")
    assert console.listing(75) == f"{tmp_path}/a.glb  1.2 MB\n{tmp_path}/b.png  12 B\n2 files in 1:15.\n"
    console.quiet = True
    assert console.listing(75) == f"{tmp_path}/a.glb\n{tmp_path}/b.png\n"


def test_an_output_folder_that_stays_empty_is_not_left(tmp_path):
    console = Console(tmp_path / "a/b")
    with console.writable_output() as folder:
        assert folder.is_dir()
    assert not (tmp_path / "a").exists()
    with console.writable_output() as folder:
        (folder / "x").write_text("kept")
    assert (tmp_path / "a/b/x").read_text() == "kept"
    (tmp_path / "mine").mkdir()
    with Console(tmp_path / "mine").writable_output():
        pass
    assert (tmp_path / "mine").is_dir()


def test_an_output_folder_that_takes_no_files(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DistillError, match="Cannot write to the output folder .*file/below"):
        with Console(tmp_path / "file/below").writable_output():
            raise AssertionError("must not be reached")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:x", ""])
def test_devices_that_are_not_there(tmp_path, name):
    with pytest.raises(DistillError, match="cannot be used here"):
        Console(tmp_path, name)


def test_folders(console, tmp_path):
    assert (console.output_directory, console.input_directory) == (tmp_path / "out", tmp_path / "in")
    assert str(console.device()) == "cpu"


@pytest.mark.parametrize("text, expected", [
    (size_text(0), "0 B"), (size_text(999), "999 B"), (size_text(1000), "1.0 kB"), (size_text(5_250_000_000), "5.2 GB"),
    (time_text(4.24), "4.2 s"), (time_text(60), "1:00"), (time_text(7325), "2:02:05")])
def test_numbers_for_people(text, expected):
    assert text == expected
