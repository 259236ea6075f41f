import sys

import pytest

from distill3d.nodes.models.silence import silence


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
@pytest.mark.parametrize("had_bars", [True, False])
def test_settings_come_back(library, had_bars):
    logging = pytest.importorskip(f"{library}.utils.logging")
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_info()
        (logging.enable_progress_bar if had_bars else logging.disable_progress_bar)()
        level = logging.get_verbosity()
        with pytest.raises(ZeroDivisionError), silence():
            assert not logging.is_progress_bar_enabled() and logging.get_verbosity() > level
            1 / 0
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, had_bars)
    finally:
        logging.set_verbosity(before[0])
        (logging.enable_progress_bar if before[1] else logging.disable_progress_bar)()


def test_missing_libraries_need_no_silence(monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] in ("diffusers", "transformers"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with silence():
        pass
