"""Run by test_comfyui_ten_minutes.py with an interpreter that has playwright: the first ten minutes of a new user, and
prints one JSON object. Nodes are found by what they are, in subgraphs too, so that templates may change.

comfyui_drive_ten_minutes.py ADDRESS VUE(0 or 1) OUTPUT(folder of the server) PICTURES(folder) STEPS(0: as shipped)
"""
import base64
import json
import sys
import time
from pathlib import Path

from comfyui_drive_drop import DROP

from comfyui_page import OPTIMIZE, editor

PROMPT, BUILTIN, IMAGE, MESH = "Distill3D_ViewPrompt", "Distill3D_BuiltinPrior", "LoadImage", "MESH"
# all(): [node, its graph] of every graph. set(): a widget of a node, on the subgraph around it where it is promoted.
TOOLS = """() => { globalThis.ten = {
    all: (one = app.rootGraph, outer = null) => one.nodes.flatMap(node => [{node, graph: one, outer},
        ...(node.subgraph ? ten.all(node.subgraph, node) : [])]),
    find: kind => ten.all().find(({node}) => node.comfyClass === kind),
    set: (kind, name, value) => { const {node, outer} = ten.find(kind);
        const at = outer?.widgets?.find(one => one.name === name) ?? node.widgets.find(one => one.name === name);
        at.value = value; at.callback?.(value) },
    heard: [] };
    for (const kind of ['distill3d.panel', 'distill3d.warning', 'execution_start', 'execution_success', 'execution_error',
                        'execution_interrupted', 'execution_cached'])
        app.api.addEventListener(kind, ({detail}) => ten.heard.push({kind, at: Date.now(), text: detail?.text,
            step: detail?.step, picture: Boolean(detail?.picture), error: detail?.exception_message})) }"""
KINDS = "() => ten.all().map(({node}) => node.comfyClass ?? node.type)"
PANEL = "() => [...document.querySelectorAll('.distill3d-panel')].some(one => one.getClientRects().length)"
NOTES = "() => [...document.querySelectorAll('.distill3d-warnings p')].map(one => one.textContent)"
ENDS = {"execution_success", "execution_error", "execution_interrupted"}


class Person:
    """Does what a person does, counts the clicks, and keeps the time."""

    def __init__(self, page, output, pictures):
        self.page, self.output, self.pictures = page, output, pictures
        self.evaluate, self.clicks, self.jarred = page.page.evaluate, 0, []
        self.evaluate(TOOLS)

    def click(self, find, count=1):
        self.page.page.locator(find).first.click(timeout=20_000)
        self.clicks += count

    def shoot(self, name):
        self.page.settle()
        self.page.page.screenshot(path=str(self.pictures / f"{name}.png"))

    def open(self, accept):
        """The smallest template whose nodes are accepted, one named "start" before others. Two clicks: Templates, and its
        picture."""
        listed = self.evaluate("async () => (await app.api.fetchApi('/workflow_templates')).json()")["distill3d"]
        files = {name: self.evaluate("async name => (await app.api.fetchApi("
                                     "`/workflow_templates/distill3d/${encodeURIComponent(name)}.json`)).json()", name)
                 for name in listed}
        for name in sorted(listed, key=lambda name: ("start" not in name.lower(), len(json.dumps(files[name])))):
            workflow = files[name]
            types = {node["type"] for part in (workflow, *workflow.get("definitions", {}).get("subgraphs", ()))
                     for node in part["nodes"]}
            if accept(types):
                self.page.load(workflow, name)
                self.clicks += 2
                zoom = self.evaluate("() => app.canvas.ds.scale")
                if zoom < 0.4:
                    self.jarred.append(f'"{name}" opens at {zoom:.0%} zoom.')
                return {"name": name, "zoom": zoom, "nodes": self.evaluate("() => app.rootGraph.nodes.length")}
        return None

    def write(self, text):
        self.evaluate("([kind, text]) => ten.set(kind, 'text', text)", [PROMPT, text])
        self.clicks += 1

    def run(self, finish_at=0, before=lambda: None):
        """One click on Run. finish_at: steps after which Finish now is clicked. Returns times in seconds, warnings, and
        how it ended."""
        self.evaluate("() => { ten.heard.length = 0 }")
        began = time.time()
        before()
        if before.__name__ == "<lambda>":
            self.click("[data-testid='queue-button']")
        is_finishing = False

        def heard():
            nonlocal is_finishing
            found = self.evaluate("() => ten.heard")
            if finish_at and not is_finishing and any((one["step"] or 0) >= finish_at for one in found):
                is_finishing = True
                self.finish()
            return found

        is_over, found = self.page.until(heard, lambda all: ENDS & {one["kind"] for one in all}, 900)
        picture = next((one["at"] for one in found if one["picture"]), None)
        return {"ended": found[-1]["kind"] if is_over else "not", "seconds": round(found[-1]["at"] / 1000 - began, 1),
                "first picture": picture and round(picture / 1000 - began, 1),
                "step": max((one["step"] or 0 for one in found), default=0),
                "warnings": [one["text"] for one in found if one["kind"] == "distill3d.warning"],
                "error": next((one["error"] for one in found if one["error"]), None)}

    def enter(self):
        """Goes to the graph of Optimize, so that its panel can be seen; a double click where that is a subgraph."""
        if self.evaluate("kind => { const {node, graph} = ten.find(kind); const inside = graph !== app.canvas.graph;"
                         "if (inside) app.canvas.setGraph(graph); const view = app.canvas.ds; view.scale = 1;"
                         "view.offset = [150 - node.pos[0], 120 - node.pos[1]]; return inside }", OPTIMIZE):
            self.clicks += 2
        self.page.settle()

    def leave(self):
        if self.evaluate("() => { const inside = app.canvas.graph !== app.rootGraph; app.canvas.setGraph(app.rootGraph);"
                         "return inside }"):
            self.clicks += 1
        self.page.settle()

    def finish(self):
        """The button of the panel, where one is in view; otherwise what it sends."""
        button = self.page.page.locator(".distill3d-panel .head > .finish").first
        if button.is_visible():
            button.click()
        else:
            self.evaluate("async () => { await app.api.fetchApi('/distill3d/finish', {method: 'POST', body: '{}', "
                          "headers: {'Content-Type': 'application/json'}}) }")
        self.clicks += 1

    def glbs(self):
        return sorted(self.output.rglob("*.glb"), key=lambda path: path.stat().st_mtime)


def drive(page, output, pictures, steps):
    person, found = Person(page, output, pictures), {}
    found["starter"] = person.open(lambda types: {PROMPT, BUILTIN} <= types and IMAGE not in types and OPTIMIZE in types)
    person.shoot("1_starter")
    if steps:
        person.evaluate("([kind, steps]) => ten.set(kind, 'steps', steps)", [OPTIMIZE, steps])
    found["clicks to the first run"] = person.clicks + 1
    found["first run"] = person.run()
    found["panel in view"] = person.evaluate(PANEL)
    if not found["panel in view"]:
        person.jarred.append("The live panel is inside a subgraph: pictures, Finish now and Continue take two clicks.")
    person.shoot("2_first_run")
    found["objects"] = len(person.glbs())

    person.write("a red cone")
    found["known"] = person.run(finish_at=10)
    person.shoot("3_known_prompt")
    person.write("a dragon eating ramen")
    if not found["panel in view"]:
        person.enter()
    found["unknown"] = person.run(finish_at=10)
    found["on the node"] = person.evaluate(NOTES)
    person.shoot("4_unknown_prompt")
    found["again"] = person.run()
    found["note"] = person.evaluate("() => [...document.querySelectorAll('.distill3d-panel .note')]"
                                    ".filter(one => one.getClientRects().length).map(one => one.textContent)")

    def proceed():
        page.page.locator(".distill3d-panel .more").first.fill("5")
        person.click(".distill3d-panel .going .finish")
        person.clicks += 1
    found["continued"] = person.run(before=proceed)
    person.shoot("5_continued")
    person.leave()

    last, kinds = person.glbs()[-1], person.evaluate(KINDS)
    person.evaluate("async () => { await app.loadGraphData({nodes: [], links: [], version: 0.4}, true, true, 'empty') }")
    person.evaluate(DROP, [last.name, base64.b64encode(last.read_bytes()).decode(), "model/gltf-binary"])
    found["dropped"] = page.until(lambda: person.evaluate(KINDS), bool, 30)[1] == kinds
    person.shoot("6_dropped")

    found["image"] = person.open(lambda types: {IMAGE, OPTIMIZE} <= types and "CheckpointLoaderSimple" not in types
                                 and "Distill3D_StableDiffusionPrior" not in types)
    person.shoot("7_image_template")
    found["image run"] = person.run(finish_at=10)
    person.shoot("8_image_run")

    found["mesh wire"] = person.evaluate("""type => {
        const made = ten.all().filter(({node}) => node.comfyClass?.startsWith('Distill3D_')
            && node.outputs?.some(one => one.type === type)).at(-1);
        if (!made) return null;
        const core = LiteGraph.createNode('SaveGLB');
        made.graph.add(core);
        core.pos = [made.node.pos[0] + 400, made.node.pos[1]];
        made.node.connect(made.node.outputs.findIndex(one => one.type === type), core, 0);
        return made.node.comfyClass + ' -> SaveGLB' }""", MESH)
    person.clicks += 3
    before = len(person.glbs())
    found["core run"] = person.run()
    found["core files"] = len(person.glbs()) - before
    person.shoot("9_core_node")
    return {**found, "clicks": person.clicks, "jarred": person.jarred}


def main():
    address, vue, output, pictures, steps = sys.argv[1:]
    with editor(address, vue == "1", 1600, 1000) as page:
        began = time.time()
        found = drive(page, Path(output), Path(pictures), int(steps))
        found["minutes"] = round((time.time() - began) / 60, 1)
    print("MEASURED " + json.dumps({**found, "errors": page.errors}))


if __name__ == "__main__":
    main()
