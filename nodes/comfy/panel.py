"""The contents of the live panel on a node. They are kept on the server, so that a reloaded page can restore them."""
from __future__ import annotations

import math
import time
from typing import Any, Collection, Mapping

POINTS = 256
KEPT = 32
PAGES, LONGEST_NAME = 64, 200  # pages, and characters of what a page calls itself
RUNNING, FINISHED, ENDED, CANCELLED, FAILED = "running", "finished", "ended early", "cancelled", "failed"


class Curve:
    """A growing series of numbers in at most POINTS points [step, value]. When it is full, every second point is
    dropped, and the sampling interval doubles."""

    def __init__(self):
        self.points: list[list[float]] = []
        self._stride, self._seen = 1, 0

    def add(self, step: int, value: float) -> bool:
        """Whether the number was kept."""
        is_kept = self._seen % self._stride == 0
        self._seen += 1
        if is_kept:
            self.points.append([step, value])
            if len(self.points) >= POINTS:
                del self.points[1::2]
                self._stride *= 2
        return is_kept


class Panel:
    """One run of one node. `workflow` and `node` identify its panel, `run` distinguishes the runs of the node.

    widgets  of the node in this run, by name, for a button that continues it
    """

    def __init__(self, workflow: str, node: str, run: str, total: int, widgets: Mapping[str, Any] = {}):
        self.workflow, self.node, self.run, self.total = workflow, node, run, total
        self.widgets = dict(widgets)
        self.step, self.status, self.picture = 0, RUNNING, ""
        self.curves: dict[str, Curve] = {}
        self._began, self._first, self._speed = time.monotonic(), -1, 0.0

    def see(self, step: int, picture: str, facts: Mapping[str, float]) -> dict:
        """Adds the numbers after `step` steps and returns the message for the page: facts as [step, value, whether the
        curve keeps it]. picture: a data URL, "" for none."""
        now = time.monotonic()
        if self._first < 0:  # a resumed run begins in the middle, so the first step does not count for the speed
            self._first = max(step - 1, 0)
        self.step, self.picture = step, picture or self.picture
        self._speed = (step - self._first) / max(now - self._began, 1e-9)
        # JSON has no numbers that are not finite.
        facts = {name: float(value) for name, value in facts.items() if math.isfinite(value)}
        points = {name: [step, value, self.curves.setdefault(name, Curve()).add(step, value)]
                  for name, value in facts.items()}
        return {**self.head(), "facts": points, **({"picture": picture} if picture else {})}

    def end(self, status: str) -> dict:
        self.status = status
        return {**self.head(), "facts": {}}

    def head(self) -> dict:
        """step of total, speed in steps a second."""
        return {"workflow": self.workflow, "node": self.node, "run": self.run, "status": self.status, "step": self.step,
                "total": self.total, "speed": self._speed, "widgets": self.widgets}

    def whole(self) -> dict:
        return {**self.head(), "picture": self.picture,
                "curves": {name: curve.points for name, curve in self.curves.items()}}


class Panels:
    """The KEPT last runs of nodes, the warnings of each node's last run, and which pages show panels."""

    def __init__(self):
        self._panels: list[Panel] = []
        self._warnings: dict[tuple[str, str], list[dict]] = {}  # by workflow and node, the latest last
        self._pages: dict[str, None] = {}  # a set in the order in which pages came

    @property
    def pages(self) -> Collection[str]:
        """The pages that display panels."""
        return self._pages.keys()

    def see(self, page: str, is_on: bool) -> None:
        """Sets whether a page displays panels. Only the latest PAGES are kept, as closed pages are not reported."""
        page = page[:LONGEST_NAME]
        self._pages.pop(page, None)
        if is_on:
            self._pages[page] = None
            for oldest in list(self._pages)[:-PAGES]:
                del self._pages[oldest]

    def open(self, panel: Panel) -> Panel:
        self._panels = [*self._panels, panel][-KEPT:]
        return panel

    def of(self, workflow: str) -> list[dict]:
        """The last run of each node of a workflow."""
        last = {panel.node: panel for panel in self._panels if panel.workflow == workflow}
        return [panel.whole() for panel in last.values()]

    def find(self, run: str, node: str) -> list[dict]:
        """A node's part of one run: at most one."""
        return [panel.whole() for panel in self._panels if (panel.run, panel.node) == (run, node)]

    def begin(self, workflow: str, node: str) -> None:
        """A node runs again: what its last run warned of is past."""
        self._warnings.pop((workflow, node), None)

    def warn(self, warning: dict) -> None:
        """warning: workflow, node, run and text."""
        place = warning["workflow"], warning["node"]
        self._warnings[place] = [*self._warnings.pop(place, []), warning]
        for oldest in list(self._warnings)[:-KEPT]:
            del self._warnings[oldest]

    def warnings(self, workflow: str) -> list[dict]:
        """Those of the last run of each node of a workflow, in the order that they came."""
        return [warning for place, told in self._warnings.items() if place[0] == workflow for warning in told]
