"""PLY files as tables: every element with its properties, from text or binary of either byte order (Turk 1994)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import DistillError
from .mesh_part import check_count

TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
MAX_HEADER = 1 << 16


@dataclass
class Lists:
    """A list in every row: lengths [N], values end to end."""

    lengths: np.ndarray
    values: np.ndarray


@dataclass
class Ply:
    """elements: by name, properties by name: arrays [N] of their type, or Lists."""

    elements: dict[str, dict[str, np.ndarray | Lists]]
    comments: list[str]


def read_table(data: bytes) -> Ply:
    """Raises DistillError for what is no PLY, a damaged header and a file that is cut off."""
    head, mark, rest = data[:MAX_HEADER].partition(b"end_header")
    if not data.startswith(b"ply") or not mark:
        raise DistillError("it is no PLY: the header is missing or damaged.")
    start = len(head) + len(mark)
    start += 2 if data[start : start + 2] == b"\r\n" else 1
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines() if line.strip()]
    comments = [" ".join(line[1:]) for line in lines if line[0] in ("comment", "obj_info")]
    try:
        order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[
            next(line for line in lines if line[0] == "format")[1]
        ]
        elements: list[tuple[str, int, list[tuple[str, ...]]]] = []
        for line in lines:
            if line[0] == "element":
                elements.append((line[1], check_count(f"rows of {line[1][:30]}", int(line[2])), []))
            elif line[0] == "property":
                kinds = line[2:4] if line[1] == "list" else line[1:2]
                elements[-1][2].append((line[-1], *(TYPES[kind] for kind in kinds)))
    except DistillError:
        raise
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        raise DistillError(
            f"its header is damaged ({type(error).__name__}: {str(error)[:60]}). Export it again."
        ) from error
    if len({name for name, _, _ in elements}) < len(elements) or any(
        len({one[0] for one in properties}) < len(properties) for _, _, properties in elements
    ):
        raise DistillError("its header is damaged: a name stands there twice. Export it again.")
    reader = _Binary(data, start, order) if order else _Text(data[start:])
    return Ply({name: reader.element(name, count, properties) for name, count, properties in elements}, comments)


class _Binary:
    def __init__(self, data: bytes, offset: int, order: str):
        self.data, self.offset, self.order = data, offset, order

    def element(self, name: str, count: int, properties: list[tuple[str, ...]]) -> dict[str, np.ndarray | Lists]:
        if not any(len(one) == 3 for one in properties):
            table = self._table([(one[0], self.order + one[1]) for one in properties], count, name)
            return {one[0]: table[one[0]] for one in properties}
        return self._alike(name, count, properties) if count else {}

    def _table(self, layout: list, count: int, name: str, move: bool = True) -> np.ndarray:
        kind = np.dtype(layout)
        there = len(self.data) - self.offset
        if kind.itemsize * count > there:
            raise DistillError(
                f"it is cut off: {there // max(kind.itemsize, 1)} of {count} rows of {name} are there. Copy or "
                "export it again."
            )
        table = np.frombuffer(self.data, kind, count, self.offset)
        self.offset += kind.itemsize * count if move else 0
        return table

    def _alike(self, name: str, count: int, properties: list[tuple[str, ...]]) -> dict[str, np.ndarray | Lists]:
        """Rows with lists: at once where all have the lengths of the first, else row by row."""
        lengths, _ = self._row(properties, self.offset)
        layout = []
        for one, length in zip(properties, lengths):
            if len(one) == 2:
                layout.append((one[0], self.order + one[1]))
            else:
                layout += [(f"{one[0]} length", self.order + one[1]), (one[0], self.order + one[2], (length,))]
        size = np.dtype(layout).itemsize
        if size * count <= len(self.data) - self.offset:
            table = self._table(layout, count, name, move=False)
            if all(
                (table[f"{one[0]} length"] == length).all() for one, length in zip(properties, lengths) if len(one) == 3
            ):
                self.offset += size * count
                return {
                    one[0]: table[one[0]]
                    if len(one) == 2
                    else Lists(table[f"{one[0]} length"].astype(np.int64), table[one[0]].reshape(-1))
                    for one in properties
                }
        rows, columns = [], {one[0]: [] for one in properties}
        for _ in range(count):
            lengths, end = self._row(properties, self.offset)
            place = self.offset
            for one, length in zip(properties, lengths):
                kind = np.dtype(self.order + one[-1])
                place += 0 if len(one) == 2 else np.dtype(one[1]).itemsize
                columns[one[0]].append(np.frombuffer(self.data, kind, length, place))
                place += kind.itemsize * length
            rows.append(lengths)
            self.offset = end
        return _collected(properties, columns, np.array(rows))

    def _row(self, properties: list[tuple[str, ...]], place: int) -> tuple[list[int], int]:
        """How many values each property of the row at `place` has, and where the next row begins."""
        lengths = []
        for one in properties:
            length = 1
            if len(one) == 3:
                kind = np.dtype(self.order + one[1])
                if place + kind.itemsize > len(self.data):
                    raise DistillError("it is cut off. Copy or export it again.")
                length = int(np.frombuffer(self.data, kind, 1, place)[0])
                place += kind.itemsize
            place += np.dtype(one[-1]).itemsize * length
            if length < 0 or place > len(self.data):
                raise DistillError("it is cut off or damaged: a list ends beyond it. Copy or export it again.")
            lengths.append(length)
        return lengths, place


class _Text:
    def __init__(self, data: bytes):
        self.words, self.place = data.split(), 0

    def element(self, name: str, count: int, properties: list[tuple[str, ...]]) -> dict[str, np.ndarray | Lists]:
        if not properties or not count and any(len(one) == 3 for one in properties):
            return {}
        try:
            if not any(len(one) == 3 for one in properties):
                table = self._take(count * len(properties)).reshape(count, -1)
                return {one[0]: table[:, place].astype(one[1]) for place, one in enumerate(properties)}
            rows, columns = [], {one[0]: [] for one in properties}
            for _ in range(count):
                lengths = []
                for one in properties:
                    lengths.append(1 if len(one) == 2 else int(self._take(1)[0]))
                    columns[one[0]].append(self._take(lengths[-1]).astype(one[-1]))
                rows.append(lengths)
        except (ValueError, OverflowError) as error:
            raise DistillError(f"its rows of {name[:30]} are damaged ({str(error)[:60]}). Export it again.") from None
        return _collected(properties, columns, np.array(rows))

    def _take(self, count: int) -> np.ndarray:
        if not 0 <= count <= len(self.words) - self.place:
            raise DistillError("it is cut off. Copy or export it again.")
        self.place += count
        return np.array(self.words[self.place - count : self.place], np.float64)


def _collected(
    properties: list[tuple[str, ...]], columns: dict[str, list], rows: np.ndarray
) -> dict[str, np.ndarray | Lists]:
    found: dict[str, np.ndarray | Lists] = {}
    for place, one in enumerate(properties):
        values = np.concatenate(columns[one[0]])
        found[one[0]] = values if len(one) == 2 else Lists(rows[:, place].astype(np.int64), values)
    return found
