"""Rules for the translations in locales/: English is what the schemas say, other languages have no texts of their own.

`python tests/rules/test_locales.py --write` writes locales/en anew. The files and keys are ComfyUI's: nodeDefs.json by node id,
outputs by their number, and main.json with the parts of the menu and the types of wires.
"""
import json
import sys
from pathlib import Path

import pytest

import distill3d
from distill3d.nodes import comfy
from distill3d.nodes import node_list
from distill3d.runner import schema

LOCALES = Path(distill3d.__file__).resolve().parent / "locales"
FILES = ("main", "nodeDefs")
OTHERS = sorted(path.name for path in LOCALES.iterdir() if path.name != "en")
# What the front end reads as grammar in names and descriptions, though not in tooltips: plurals, variables, links.
GRAMMAR = set("|{}@")

every_other = pytest.mark.parametrize("language", OTHERS)


def english():
    """{file: content} of the schemas."""
    nodes = sorted(node_list(), key=lambda node: schema.schema_of(node).node_id)
    rooms = sorted({part for node in nodes for part in schema.schema_of(node).category.split("/")})
    kinds = sorted(kind.io_type for kind in vars(comfy).values()
                   if isinstance(getattr(kind, "io_type", None), str) and kind.io_type.startswith("DISTILL3D_"))
    return {"main": {"nodeCategories": {room: room for room in rooms},
                     "dataTypes": {kind: kind.removeprefix("DISTILL3D_") for kind in kinds}},
            "nodeDefs": {schema.schema_of(node).node_id: texts_of(node) for node in nodes}}


def texts_of(node):
    entry = schema.schema_of(node)
    inputs = {name: {"name": name, "tooltip": socket.tooltip} for name, socket in schema.inputs_of(node).items()}
    outputs = {str(number): {"name": slot.display_name or slot.id, "tooltip": slot.tooltip}
               for number, slot in enumerate(schema.outputs_of(node))}
    return {"display_name": schema.display_name(node), "description": entry.description,
            "inputs": inputs, **({"outputs": outputs} if outputs else {})}


def as_text(content):
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read(language, file):
    return json.loads((LOCALES / language / f"{file}.json").read_text(encoding="utf-8"))


def leaves(content, path=()):
    """{path: text}"""
    if not isinstance(content, dict):
        return {path: content}
    return {key: text for name, below in content.items() for key, text in leaves(below, (*path, name)).items()}


@pytest.mark.parametrize("file", FILES)
def test_english_is_what_the_schemas_say(file):
    path = LOCALES / "en" / f"{file}.json"
    assert path.read_text(encoding="utf-8") == as_text(english()[file]), "Run: python tests/rules/test_locales.py --write"


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


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    for file, content in english().items():
        (LOCALES / "en").mkdir(parents=True, exist_ok=True)
        (LOCALES / "en" / f"{file}.json").write_text(as_text(content), encoding="utf-8")
