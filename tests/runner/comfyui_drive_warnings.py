"""Run by test_comfyui_warnings.py with an interpreter that has playwright: drives the editor, and prints one JSON
object.

comfyui_drive_warnings.py ADDRESS WORKFLOW VUE(0 or 1) WIDGETS(JSON: {node type: {widget: value}}) [FOLDER for pictures]
"""
import json
import sys

from comfyui_drive_panel import FIND, Driver

from comfyui_page import OPTIMIZE, editor

PROMPT = "Distill3D_ViewPrompt"
SHOWN = """() => [...document.querySelectorAll('.distill3d-warnings')].filter(one => one.getClientRects().length).map(one => ({
    texts: [...one.querySelectorAll('p')].map(line => line.textContent), height: one.getBoundingClientRect().height,
    needs: one.scrollHeight, width: one.getBoundingClientRect().width}))"""
TOASTS = "() => [...document.querySelectorAll('.p-toast-message')].map(one => one.innerText)"


def drive(page, workflow, widgets, folder):
    at, found = Driver(page), {}

    def picture(name):
        if folder:
            page.page.screenshot(path=f"{folder}/{name}.png")

    page.load(workflow, "first", flat=True)
    at.set({**widgets, PROMPT: {"text": "a dragon eating ramen"}})
    at.look_at()
    found["node"] = at.evaluate(f"() => String({FIND}.id)")
    found["before"] = at.evaluate(SHOWN)
    found["ends"] = at.run()[-1][0]
    found["after"] = page.until(lambda: at.evaluate(SHOWN), bool, 20)[1]
    found["toasts"] = page.until(lambda: at.evaluate(TOASTS), bool, 10)[1]
    page.settle()
    picture("warned")
    found["saved widgets"] = at.evaluate(f"() => {FIND}.serialize().widgets_values")
    found["height"] = at.evaluate(f"() => {FIND}.size[1]")

    # Nothing runs again, so the warning holds for what is there.
    at.run()
    found["cached"] = at.evaluate(SHOWN)
    page.until(lambda: at.evaluate("() => JSON.stringify(Object.entries(localStorage))"), lambda kept: OPTIMIZE in kept,
               20)
    page.page.reload(wait_until="domcontentloaded")
    page.wait()
    page.until(lambda: at.evaluate(f"() => Boolean({FIND})"), bool, 60)
    at.look_at()
    found["reloaded"] = page.until(lambda: at.evaluate(SHOWN), bool, 20)[1]

    at.set({PROMPT: {"text": "a red cube"}})
    at.run()
    found["known"] = page.until(lambda: at.evaluate(SHOWN), lambda shown: not shown, 20)[1]
    page.settle()
    found["height without"] = at.evaluate(f"() => {FIND}.size[1]")
    picture("known")

    at.set({PROMPT: {"text": "a purple whale"}})
    at.evaluate(f"() => {{ const node = {FIND}; node.graph.convertToSubgraph(new Set([node])) }}")
    at.run()
    found["badges"] = at.evaluate("""() => app.rootGraph.nodes.filter(one => one.subgraph)
        .map(one => one.badges.map(badge => (typeof badge === 'function' ? badge() : badge).text))""")
    at.look_at("app.rootGraph.nodes.find(one => one.subgraph)")
    page.settle()
    picture("subgraph")
    at.evaluate("() => app.canvas.setGraph(app.rootGraph.nodes.find(one => one.subgraph).subgraph)")
    at.look_at("app.canvas.graph.nodes[0]")
    found["inside"] = page.until(lambda: at.evaluate(SHOWN), bool, 20)[1]
    picture("inside")
    return found


def main():
    address, workflow, vue, widgets, *folder = sys.argv[1:]
    with editor(address, vue == "1") as page:
        found = drive(page, json.load(open(workflow, encoding="utf-8")), json.loads(widgets),
                      folder[0] if folder else None)
    print("MEASURED " + json.dumps({**found, "errors": page.errors}))


if __name__ == "__main__":
    main()
