"""Measures the canvas of workflow files: how large, at which zoom it opens, and which wires run behind nodes.

    python tests/parts/canvas.py [FOLDER OF WORKFLOWS ...]    prints a table
"""
import json
import sys
from pathlib import Path

TITLE, SLOT = 30, 20
WINDOW = (1460, 790)  # of a canvas on a screen of 1600 x 900; without a saved view the editor fits everything into it


def bounds(node):
    """left, top (with the title), right, bottom"""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def extent(data):
    """(width, height) of all nodes."""
    left, top, right, bottom = (pick(values) for pick, values in zip((min, min, max, max), zip(*map(bounds,
                                                                                                    data["nodes"]))))
    return right - left, bottom - top


def zoom(data):
    """At which it opens."""
    width, height = extent(data)
    saved = (data.get("extra") or {}).get("ds")
    return saved["scale"] if saved else min(1.0, WINDOW[0] / width, WINDOW[1] / height)


def curve(start, end, points=60):
    """A wire as the classic editor draws it: a cubic that leaves and arrives level."""
    (x0, y0), (x3, y3) = start, end
    reach = 0.25 * ((x3 - x0) ** 2 + (y3 - y0) ** 2) ** 0.5
    for i in range(points + 1):
        t = i / points
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t ** 3
        yield a * x0 + b * (x0 + reach) + c * (x3 - reach) + d * x3, (a + b) * y0 + (c + d) * y3


def crossings(data):
    """[(wire, node)] of wires of the canvas that run behind a node that they do not join."""
    nodes = {node["id"]: node for node in data["nodes"]}
    found = []
    for number, source, out_slot, target, in_slot, *_ in data["links"]:
        a, b = nodes[source], nodes[target]
        start = (a["pos"][0] + a["size"][0], a["pos"][1] + SLOT * (out_slot + 0.7))
        end = (b["pos"][0], b["pos"][1] + SLOT * (in_slot + 0.7))
        line = list(curve(start, end))
        found += [(number, one) for one, node in nodes.items() if one not in (source, target)
                  and any(box[0] < x < box[2] and box[1] < y < box[3] for box in [bounds(node)] for x, y in line)]
    return found


def main():
    for folder in sys.argv[1:] or [Path(__file__).parents[2] / "workflows"]:
        print(f"{'workflow':30} {'nodes':>5} {'wires':>5} {'width':>6} {'height':>6} {'zoom':>5} {'behind':>6}")
        for path in sorted(Path(folder).glob("*.json")):
            data = json.loads(path.read_text(encoding="utf-8"))
            width, height = extent(data)
            print(f"{path.stem:30} {len(data['nodes']):5} {len(data['links']):5} {width:6.0f} {height:6.0f} "
                  f"{zoom(data):5.2f} {len(crossings(data)):6}")


if __name__ == "__main__":
    main()
