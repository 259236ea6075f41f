"""Generated files are up to date."""
from distill3d.runner import sync


def test_nothing_is_out_of_date():
    stale = [str(path.relative_to(sync.PACK)) for path in sync.out_of_date()]
    assert not stale, "Run make sync, look at what it changed, and commit it."


def test_no_stub_of_a_help_page_is_left():
    stubs = [path.name for path in sync.HELP.glob("*.md") if "(Write here" in path.read_text(encoding="utf-8")]
    assert not stubs, "Replace each (Write here: ...) in web/docs."
