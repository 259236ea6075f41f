import json
import time

import pytest

from distill3d.nodes.comfy.panel import ENDED, KEPT, POINTS, Curve, Panel, Panels


def test_a_long_curve_keeps_its_shape_in_few_points():
    curve = Curve()
    for step in range(100_000):
        curve.add(step, step**2)
    assert POINTS // 2 <= len(curve.points) < POINTS
    gaps = {b[0] - a[0] for a, b in zip(curve.points, curve.points[1:])}
    assert len(gaps) == 1 and curve.points[0] == [0, 0]  # evenly spaced from the first step on
    assert all(value == step**2 for step, value in curve.points)
    assert 100_000 - curve.points[-1][0] <= gaps.pop()


def test_what_is_sent_adds_up_to_what_is_kept():
    panel, points = Panel("w", "9:2", "run", 5000), []
    for step in range(1, 2001):
        sent = panel.see(step, "", {"loss": 1 / step})
        step, value, is_kept = sent["facts"]["loss"]
        if is_kept:
            points.append([step, value])
            points = points[::2] if len(points) >= POINTS else points
    assert points == panel.whole()["curves"]["loss"]


def test_a_panel_tells_how_far_and_how_fast(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    panel = Panel("w", "1", "run", 50)
    now[0] += 5
    panel.see(11, "data:1", {"a": 1.0})  # resumed: the first step it is told of is the eleventh
    now[0] += 5
    sent = panel.see(30, "", {})
    assert sent["speed"] == pytest.approx(2.0) and (sent["step"], sent["total"], sent["status"]) == (30, 50, "running")
    assert "picture" not in sent and panel.whole()["picture"] == "data:1"
    assert panel.end(ENDED)["status"] == panel.whole()["status"] == ENDED


def test_numbers_that_json_has_not_are_left_out():
    panel = Panel("w", "1", "run", 10)
    panel.see(1, "", {"a": float("nan"), "b": float("inf"), "c": 1.0})
    assert list(json.loads(json.dumps(panel.whole(), allow_nan=False))["curves"]) == ["c"]


def test_a_run_is_found_again_though_the_node_ran_since():
    panels = Panels()
    for run in "first", "second":
        panels.open(Panel("w", "1", run, 10))
    assert [state["run"] for state in panels.find("first", "1")] == ["first"]
    assert panels.find("first", "2") == panels.find("third", "1") == []


def test_the_last_run_of_each_node_is_kept():
    panels = Panels()
    panels.open(Panel("w", "1", "first", 10))
    for node in range(KEPT - 3):
        panels.open(Panel("w", f"n{node}", "run", 10))
    panels.open(Panel("w", "1", "second", 10))
    panels.open(Panel("other", "1", "third", 10))
    assert [state["run"] for state in panels.of("w") if state["node"] == "1"] == ["second"]
    assert [state["run"] for state in panels.of("other")] == ["third"]
    assert len(panels.of("w")) == KEPT - 2
    for node in "2", "3":  # too many: the runs of longest ago go
        panels.open(Panel("other", node, "run", 10))
    assert {"n0", "n1"} - {state["node"] for state in panels.of("w")} == {"n0"} and len(panels.of("other")) == 3


def test_pages_that_are_closed_without_a_word_are_forgotten():
    panels = Panels()
    for number in range(1000):
        panels.see(f"{number} " + "x" * 10_000, True)
    assert len(panels.pages) == 64 and all(len(page) == 200 for page in panels.pages)
    panels.see("kept", True)
    panels.see("kept", False)
    assert "kept" not in panels.pages and len(panels.pages) == 63
