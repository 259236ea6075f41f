"""Run by test_comfyui_panel.py with an interpreter that has playwright: drives the editor, and prints one JSON object.

comfyui_drive_panel.py ADDRESS WORKFLOW VUE(0 or 1) WIDGETS(JSON: {node type: {widget: value}})
"""
import json
import re
import shutil
import sys
import time

from playwright.sync_api import sync_playwright

OPTIMIZE = "Distill3D_Optimize"
FIND = f"(app.rootGraph ?? app.graph).nodes.find(node => node.comfyClass === '{OPTIMIZE}')"
PANELS = """() => [...document.querySelectorAll('.distill3d-panel')].filter(one => one.getClientRects().length).map(one => ({
    text: one.querySelector('.status').textContent, status: one.dataset.status, lines: one.querySelectorAll('polyline').length,
    picture: one.querySelector('img').naturalWidth, button: !one.querySelector('button').hidden,
    height: one.getBoundingClientRect().height, width: one.getBoundingClientRect().width}))"""


class Page:
    def __init__(self, page, address):
        self.page, self.errors = page, []
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1|localhost)"), lambda route: route.abort())
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address, wait_until="domcontentloaded", timeout=180_000)
        self.wait()

    def wait(self):
        self.page.wait_for_function("Boolean(window.app?.graph && window.app.extensionManager && window.LiteGraph"
                                    f"?.registered_node_types['{OPTIMIZE}'])", timeout=180_000)
        time.sleep(3)

    def panels(self):
        return self.page.evaluate(PANELS)

    def until(self, what, seconds=300):
        """The panel, when something is true of it; what it was like in the end where that never came."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            panels = self.panels()
            if panels and what(panels[0]):
                return panels[0]
            time.sleep(0.3)
        return {**(panels[0] if panels else {}), "too late": True}

    def look_at(self):
        """Brings the node into view at its real size."""
        self.page.evaluate(f"() => {{ const node = {FIND}, view = app.canvas.ds; view.scale = 1;"
                           "view.offset = [200 - node.pos[0], 100 - node.pos[1]]; app.canvas.setDirty(true, true) }")
        time.sleep(1.5)

    def set(self, widgets):
        self.page.evaluate("""widgets => { for (const node of (app.rootGraph ?? app.graph).nodes)
            for (const [name, value] of Object.entries(widgets[node.comfyClass] ?? {}))
                node.widgets.find(one => one.name === name).value = value }""", widgets)

    def queue(self):
        self.page.evaluate("""() => { globalThis.seen = []; for (const kind of ['distill3d.panel', 'execution_success',
            'progress_text', 'execution_error', 'execution_cached', 'b_preview'])
            app.api.addEventListener(kind, event => seen.push([kind, Date.now(), kind === 'b_preview' ? null : event.detail])) }""")
        self.page.evaluate("() => app.queuePrompt(0)")

    def wait_for_end(self, seconds=300):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen = self.page.evaluate("() => seen")
            if any(kind.startswith("execution_") and kind != "execution_cached" for kind, *_ in seen):
                break
            time.sleep(0.3)
        return seen


def drive(page, workflow, widgets):
    found = {}
    page.page.evaluate("async workflow => { await app.loadGraphData(workflow, true, true, 'panel') }", workflow)
    time.sleep(2)
    page.set(widgets)
    page.look_at()
    found["before"] = page.panels()
    page.set({OPTIMIZE: {"steps": 100_000}})
    page.queue()
    found["running"] = page.until(lambda panel: panel["lines"] >= 2 and panel["picture"])
    page.page.locator(".distill3d-panel .finish").first.click(timeout=120_000)
    seen = page.wait_for_end()
    found["events"] = [[kind, when] for kind, when, _ in seen]
    found["texts"] = [detail.get("nodeId") for kind, _, detail in seen if kind == "progress_text"]
    found["node"] = page.page.evaluate(f"() => String({FIND}.id)")
    found["finished"] = page.until(lambda panel: panel["status"] != "running", 20)
    page.queue()
    again = page.wait_for_end()
    found["again"] = {"cached": [detail["nodes"] for kind, _, detail in again if kind == "execution_cached"],
                      "panel": page.panels()}
    found["saved widgets"] = page.page.evaluate(f"() => {FIND}.serialize().widgets_values")
    time.sleep(3)  # the editor keeps its draft now and then
    page.page.reload(wait_until="domcontentloaded")
    page.wait()
    page.look_at()
    found["reloaded"] = page.until(lambda panel: panel["status"], 20)
    page.set({OPTIMIZE: {"steps": 3}})
    page.page.evaluate(f"() => {{ const node = {FIND}; node.graph.convertToSubgraph(new Set([node])) }}")
    page.queue()
    seen = page.wait_for_end()
    details = [detail for kind, _, detail in seen if kind == "distill3d.panel"]
    found["inside"] = {"node": details[-1]["node"] if details else None, "ends": [kind for kind, *_ in seen][-1]}
    page.page.evaluate("""() => { const node = app.rootGraph.nodes.find(one => one.subgraph); app.canvas.setGraph(node.subgraph);
        app.canvas.ds.scale = 1; const inner = node.subgraph.nodes[0];
        app.canvas.ds.offset = [200 - inner.pos[0], 100 - inner.pos[1]]; app.canvas.setDirty(true, true) }""")
    found["inside"]["panel"] = page.until(lambda panel: panel["status"], 20)
    page.page.evaluate("() => { const graph = app.canvas.graph; graph.remove(graph.nodes[0]) }")
    time.sleep(2)
    found["deleted"] = page.panels()
    return found


def main():
    address, workflow, vue, widgets = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=[
            "--no-sandbox", "--disable-dev-shm-usage", "--use-gl=angle", "--use-angle=swiftshader"])
        context = browser.new_context(viewport={"width": 1000, "height": 900})
        page = Page(context.new_page(), address)
        for name, value in {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue == "1"}.items():
            page.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])
        page.page.keyboard.press("Escape")
        found = drive(page, json.load(open(workflow, encoding="utf-8")), json.loads(widgets))
        browser.close()
    print("MEASURED " + json.dumps({**found, "errors": page.errors}))


if __name__ == "__main__":
    main()
