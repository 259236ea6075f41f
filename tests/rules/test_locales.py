"""Rules for the translations in locales/: English is what the schemas say, other languages have no texts of their own.

`make sync` writes locales/en.
"""
import json
from pathlib import Path

import pytest

import distill3d
from distill3d.runner.sync import english

LOCALES = Path(distill3d.__file__).resolve().parent / "locales"
FILES = ("main", "nodeDefs")
OTHERS = sorted(path.name for path in LOCALES.iterdir() if path.name != "en")
# What the front end reads as grammar in names and descriptions, though not in tooltips: plurals, variables, links.
GRAMMAR = set("|{}@")

every_other = pytest.mark.parametrize("language", OTHERS)


def read(language, file):
    return json.loads((LOCALES / language / f"{file}.json").read_text(encoding="utf-8"))


def leaves(content, path=()):
    """{path: text}"""
    if not isinstance(content, dict):
        return {path: content}
    return {key: text for name, below in content.items() for key, text in leaves(below, (*path, name)).items()}


@pytest.mark.parametrize("file", FILES)
@every_other
def test_no_language_has_texts_that_english_has_not(language, file):
    assert not leaves(read(language, file)).keys() - leaves(english()[file]).keys()


@pytest.mark.parametrize("language", ["en", *OTHERS])
def test_every_text_can_be_shown(language):
    for file in FILES:
        for path, text in leaves(read(language, file)).items():
            assert isinstance(text, str) and text.strip() == text != "", path
            assert path[-1] == "tooltip" or not GRAMMAR & set(text), path


@every_other
def test_a_translation_is_one(language):
    """No tooltip of more than two words stands there in English, by oversight or by force."""
    own, theirs = leaves(read("en", "nodeDefs")), leaves(read(language, "nodeDefs"))
    assert theirs and not [path for path, text in theirs.items()
                           if path[-1] in ("tooltip", "description") and len(text.split()) > 2 and text == own[path]]
