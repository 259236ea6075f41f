"""Rules for the help pages that ComfyUI shows for a node: web/docs/NODE_ID.md.

A page is written by hand down to its heading "Inputs"; `make sync` writes what follows, and a stub for a page that is
missing.
"""
import re
from pathlib import Path

import pytest

import distill3d
from distill3d.nodes import node_list
from distill3d.runner import schema
from distill3d.runner.core_nodes import core_nodes
from distill3d.runner.listing import written_help

PAGES = Path(distill3d.__file__).resolve().parent / "web" / "docs"
INPUTS = "\n## Inputs\n"
NODES = {node.define_schema().node_id: node for node in node_list()}
NAMES = {schema.display_name(node) for node in (*NODES.values(), *core_nodes())}

every_node = pytest.mark.parametrize("node_id", NODES)


def page(node_id):
    path = PAGES / f"{node_id}.md"
    assert path.is_file(), f"{node_id} has no help page. Run make sync, which begins it."
    return path.read_text(encoding="utf-8")


def written(node_id):
    return page(node_id).split(INPUTS)[0]


def test_every_page_has_its_node():
    assert {path.stem for path in PAGES.glob("*.md")} == set(NODES)


@every_node
def test_a_page_is_short_and_has_its_parts(node_id):
    text = written(node_id)
    assert text.startswith(f"# {schema.display_name(NODES[node_id])}\n\n")
    headings = re.findall(r"^## (.+)$", text, re.M)
    assert [name for name in headings if name in ("Wiring", "Numbers", "When it looks wrong", "Source")] == [
        "Wiring", "Numbers", "When it looks wrong", "Source"]
    assert len(page(node_id).splitlines()) <= 80 and 12 <= len(text.splitlines()) <= 40


@every_node
def test_a_page_names_what_exists(node_id):
    """Words in code are inputs and outputs of the node, those of others stand in quotes; bold ones are nodes."""
    slots = {*schema.inputs_of(NODES[node_id]), *(slot.id for slot in schema.outputs_of(NODES[node_id]))}
    text = written(node_id)
    assert not {word for word in re.findall(r"`([^`\n]*)`", text) if not word.startswith("distill3d ")} - slots
    assert not set(re.findall(r"\*\*(.+?)\*\*", text)) - NAMES


@every_node
def test_a_page_is_no_repetition_of_tooltips(node_id):
    text = " ".join(written(node_id).split())
    assert not [entry.id for entry in schema.inputs_of(NODES[node_id]).values() if len(entry.tooltip) > 50
                and entry.tooltip in text]


def test_the_command_line_shows_the_written_part():
    from distill3d.runner.listing import list_node

    text = list_node("SDS Loss", schema.default_registry())
    assert "\nNumbers\n" in text and "**" not in text and "`" not in text and "| input |" not in text
    assert written_help("Distill3D_Absent") == ""
