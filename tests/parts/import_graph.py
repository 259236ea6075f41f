"""Who imports whom, read from the source: modules, rooms, and circles among them.

    python tests/parts/import_graph.py [FOLDER OF A CHECKOUT]

prints the files and lines of each room, the arrows between rooms, the circles, and the files of more than 300 lines.
"""
from __future__ import annotations

import ast
import functools
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"tests", "build", "dist"}


@dataclass(frozen=True)
class Import:
    """One imported module: relative ones by their place in the tree, others by their top-level name."""

    line: int
    at_load: bool                     # runs when the file is imported, not when a function is called
    for_types: bool                   # below TYPE_CHECKING: never runs
    outside: str | None               # "torch", or None for a module of the pack
    inside: tuple[str, ...] | None    # ("kernels", "volume", "march"), or None


def python_files(root: Path = ROOT) -> list[Path]:
    relative = (path.relative_to(root) for path in root.rglob("*.py"))
    return sorted(path for path in relative
                  if path.parts[0] not in NOT_OURS and not any(part.startswith(".") for part in path.parts))


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports_of(path: Path, source: str, root: Path = ROOT) -> list[Import]:
    found: list[Import] = []

    def visit(node: ast.AST, at_load: bool, for_types: bool = False) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(node.lineno, at_load, for_types, alias.name.split(".")[0], None)
                         for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(Import(node.lineno, at_load, for_types, node.module.split(".")[0], None))
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[:-1]
            package = package[:len(package) - (node.level - 1)]
            module = package + tuple((node.module or "").split(".")) if node.module else package
            for alias in node.names:
                # "from . import march" names a module, "from .march import march_rays" a thing in one.
                full = root.joinpath(*module, alias.name)
                is_module = full.is_dir() or full.with_suffix(".py").is_file()
                found.append(Import(node.lineno, at_load, for_types, None,
                                    module + (alias.name,) if is_module else module))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            at_load = False
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.body:
                visit(child, False, True)
            for child in node.orelse:
                visit(child, at_load, for_types)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, at_load, for_types)

    visit(ast.parse(source, str(path)), True)
    return found


@functools.cache
def graph(root: Path = ROOT) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """{module: the modules of the pack that it imports by value}, when it is loaded or when a function runs.

    Left out: a kernel's imports of its own backends (hash_grid of hash_grid_warp), in the functions that it registers.
    A backend imports its reference, and both are one kernel in two files.
    """
    modules = {module_of(path): path for path in python_files(root)}
    return {module: {found.inside for found in imports_of(path, (root / path).read_text(encoding="utf-8"), root)
                     if found.inside in modules and found.inside != module and not found.for_types
                     and not is_own_backend(module, found)}
            for module, path in modules.items()}


def is_own_backend(module: tuple[str, ...], found: Import) -> bool:
    return (module[:1] == ("kernels",) and not found.at_load
            and found.inside[:-1] == module[:-1] and found.inside[-1].startswith(f"{module[-1]}_"))


def circles(edges: Mapping[tuple[str, ...], set[tuple[str, ...]]]) -> list[list[tuple[str, ...]]]:
    """The strongly connected components with more than one member (Tarjan 1972), each sorted."""
    numbers: dict[tuple[str, ...], int] = {}
    lowest: dict[tuple[str, ...], int] = {}
    stack: list[tuple[str, ...]] = []
    found = []

    def visit(one: tuple[str, ...]) -> None:
        numbers[one] = lowest[one] = len(numbers)
        stack.append(one)
        for other in edges[one]:
            if other not in numbers:
                visit(other)
            if other in stack:
                lowest[one] = min(lowest[one], lowest[other])
        if lowest[one] == numbers[one]:
            place = stack.index(one)
            if len(stack) - place > 1:
                found.append(sorted(stack[place:]))
            del stack[place:]

    for one in edges:
        if one not in numbers:
            visit(one)
    return sorted(found)


def room_of(module: tuple[str, ...]) -> str:
    """"kernels", "nodes/losses", "runner", ...; files beside the folders belong to "(top)"."""
    if not module or len(module) == 1 and module[0] not in ("kernels", "nodes", "runner", "workflows"):
        return "(top)"
    return "/".join(module[:2]) if module[0] == "nodes" else module[0]


def report(root: Path) -> Iterator[str]:
    edges = graph(root)
    lines = {module_of(path): len((root / path).read_text(encoding="utf-8").splitlines())
             for path in python_files(root)}
    files, sizes = Counter(map(room_of, lines)), Counter()
    for module, count in lines.items():
        sizes[room_of(module)] += count
    arrows = Counter((room_of(one), room_of(other)) for one, others in edges.items() for other in others)
    yield f"{len(lines)} files, {sum(lines.values())} lines, {sum(map(len, edges.values()))} imports"
    for room in sorted(files):
        towards = ", ".join(f"{other} {count}" for (one, other), count in sorted(arrows.items())
                            if one == room != other)
        yield f"{room:18} {files[room]:3} files {sizes[room]:6} lines -> {towards or 'nothing'}"
    found = circles(edges)
    yield f"circles of modules: {len(found)}"
    yield from (f"  {', '.join('/'.join(one) for one in circle)}" for circle in found)
    rooms = {room: {other for one, other in arrows if one == room != other} for room in files}
    found = circles(rooms)
    yield f"circles of rooms: {len(found)}"
    yield from (f"  {', '.join(circle)}" for circle in found)
    long = sorted(((count, module) for module, count in lines.items() if count > 300), reverse=True)
    yield f"files of more than 300 lines: {len(long)}"
    yield from (f"  {count} {'/'.join(module)}" for count, module in long)


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT)))
