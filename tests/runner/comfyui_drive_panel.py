"""Run by test_comfyui_panel.py with an interpreter that has playwright: drives the editor, and prints one JSON object.

comfyui_drive_panel.py ADDRESS WORKFLOW VUE(0 or 1) WIDGETS(JSON: {node type: {widget: value}})
"""
import json
import sys

from comfyui_page import OPTIMIZE, editor

FIND = f"(app.rootGraph ?? app.graph).nodes.find(node => node.comfyClass === '{OPTIMIZE}')"
PANELS = """() => [...document.querySelectorAll('.distill3d-panel')].filter(one => one.getClientRects().length).map(one => ({
    text: one.querySelector('.status').textContent, status: one.dataset.status, lines: one.querySelectorAll('polyline').length,
    picture: one.querySelector('img').naturalWidth, button: !one.querySelector('button').hidden,
    height: one.getBoundingClientRect().height, width: one.getBoundingClientRect().width}))"""
HEARD = ["distill3d.panel", "execution_success", "progress_text", "execution_error", "execution_cached"]


class Driver:
    def __init__(self, page):
        self.page, self.evaluate = page, page.page.evaluate

    def panels(self):
        return self.evaluate(PANELS)

    def panel(self, what, seconds=300):
        """The panel, when something is true of it; what it was like in the end where that never came."""
        is_true, panels = self.page.until(lambda: self.panels() or None, lambda panels: what(panels[0]), seconds)
        return {**(panels[0] if panels else {}), **({} if is_true else {"too late": True})}

    def look_at(self, find=FIND):
        """Brings the node into view at its real size."""
        self.evaluate(f"() => {{ const node = {find}, view = app.canvas.ds; view.scale = 1;"
                      "view.offset = [150 - node.pos[0], 120 - node.pos[1]] }")
        self.page.settle()

    def set(self, widgets):
        self.evaluate("""widgets => { for (const node of (app.rootGraph ?? app.graph).nodes)
            for (const [name, value] of Object.entries(widgets[node.comfyClass] ?? {}))
                node.widgets.find(one => one.name === name).value = value }""", widgets)

    def switch(self, is_on):
        with self.page.page.expect_response("**/distill3d/panels"):  # the server is told
            self.page.settings({"Distill3D.LivePanel": is_on})

    def queue(self):
        self.evaluate("""kinds => { if (!globalThis.seen) for (const kind of kinds)
            app.api.addEventListener(kind, event => seen.push([kind, Date.now(), event.detail]));
            globalThis.seen = [["queued", Date.now(), null]] }""", HEARD)
        self.evaluate("() => app.queuePrompt(0)")

    def end(self):
        """What was heard until the run came to its end."""
        ends = {"execution_success", "execution_error"}
        return self.page.until(lambda: self.evaluate("() => seen"), lambda seen: ends & {kind for kind, *_ in seen})[1]

    def run(self):
        self.queue()
        return self.end()


def texts_of(seen):
    return [detail.get("nodeId") for kind, _, detail in seen if kind == "progress_text"]


def drive(page, workflow, widgets):
    at, found = Driver(page), {}
    page.load(workflow, "first", flat=True)
    at.set(widgets)
    at.look_at()
    found["node"] = at.evaluate(f"() => String({FIND}.id)")
    found["before"] = at.panels()

    at.set({OPTIMIZE: {"steps": 100_000}})
    at.queue()
    found["running"] = at.panel(lambda panel: panel["lines"] >= 2 and panel["picture"])
    page.page.locator(".distill3d-panel .finish").first.click()
    seen = at.end()
    found["events"], found["texts"] = [[kind, when] for kind, when, _ in seen], texts_of(seen)
    found["finished"] = at.panel(lambda panel: panel["status"] != "running", 60)

    seen = at.run()
    found["again"] = {"cached": [detail["nodes"] for kind, _, detail in seen if kind == "execution_cached"],
                      "panel": at.panels()}
    found["saved widgets"] = at.evaluate(f"() => {FIND}.serialize().widgets_values")

    saved = at.evaluate("() => (app.rootGraph ?? app.graph).serialize()")
    page.load({key: value for key, value in saved.items() if key != "id"}, "copy")
    at.look_at()
    found["copy"] = {"before": at.panels()}
    at.run()
    found["copy"]["after"] = at.panel(lambda panel: panel["status"], 60)

    at.set({OPTIMIZE: {"steps": 3}})
    at.run()
    found["short"] = at.panel(lambda panel: panel["text"].startswith("Finished"), 60)
    # The editor keeps its draft now and then.
    page.until(lambda: at.evaluate("() => JSON.stringify(Object.entries(localStorage))"), lambda kept: OPTIMIZE in kept,
               20)
    page.page.reload(wait_until="domcontentloaded")
    page.wait()
    page.until(lambda: at.evaluate(f"() => Boolean({FIND})"), bool, 60)
    at.look_at()
    found["reloaded"] = at.panel(lambda panel: panel["status"], 60)

    at.switch(False)
    at.set({OPTIMIZE: {"steps": 4}})
    page.settle()
    found["off"] = {"panels": at.panels(), "texts": texts_of(at.run())}
    at.switch(True)

    at.set({OPTIMIZE: {"steps": 5}})
    at.evaluate(f"() => {{ const node = {FIND}; node.graph.convertToSubgraph(new Set([node])) }}")
    seen = at.run()
    details = [detail for kind, _, detail in seen if kind == "distill3d.panel"]
    at.evaluate("() => app.canvas.setGraph(app.rootGraph.nodes.find(one => one.subgraph).subgraph)")
    at.look_at("app.canvas.graph.nodes[0]")
    found["inside"] = {"node": details[-1]["node"] if details else None, "ends": seen[-1][0],
                       "panel": at.panel(lambda panel: panel["status"], 60)}
    at.evaluate("() => { const graph = app.canvas.graph; graph.remove(graph.nodes[0]) }")
    found["deleted"] = page.until(at.panels, lambda panels: not panels, 20)[1]
    return found


def main():
    address, workflow, vue, widgets = sys.argv[1:]
    with editor(address, vue == "1") as page:
        found = drive(page, json.load(open(workflow, encoding="utf-8")), json.loads(widgets))
    print("MEASURED " + json.dumps({**found, "errors": page.errors}))


if __name__ == "__main__":
    main()
