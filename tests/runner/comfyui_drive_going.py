"""Run by test_comfyui_going.py with an interpreter that has playwright: ends a stage early, queues it again and continues
it, and prints one JSON object.

comfyui_drive_going.py ADDRESS WORKFLOW VUE(0 or 1) WIDGETS(JSON: {node type: {widget: value}}) [PICTURES(a folder)]
"""
import json
import sys

from comfyui_drive_panel import FIND, Driver

from comfyui_page import OPTIMIZE, editor

GOING = """() => { const panel = [...document.querySelectorAll('.distill3d-panel')].find(one => one.getClientRects().length);
    const shown = one => !panel.querySelector(one).hidden;
    return panel && {status: panel.dataset.status, text: panel.querySelector('.status').textContent,
        offered: shown('.going') ? Number(panel.querySelector('.more').value) : null,
        note: shown('.note') ? panel.querySelector('.note').textContent : ''} }"""
WIDGETS = f"() => Object.fromEntries({FIND}.widgets.map(one => [one.name, one.value]))"
WARNINGS = "() => [...document.querySelectorAll('.distill3d-warnings p')].map(one => one.textContent)"


def drive(page, workflow, widgets, shoot):
    at, found = Driver(page), {}
    page.load(workflow, "first", flat=True)
    at.set(widgets)
    at.set({OPTIMIZE: {"steps": 3000}})
    at.look_at()

    at.queue()
    at.panel(lambda panel: panel["lines"] >= 2 and panel["picture"])
    page.page.locator(".distill3d-panel .finish").first.click()
    at.end()
    at.panel(lambda panel: panel["status"] != "running", 60)
    found["early"] = at.evaluate(GOING)
    at.run()
    page.settle()
    found["again"] = at.evaluate(GOING)
    shoot("again")

    def proceed(steps):
        page.page.locator(".distill3d-panel .more").first.fill(str(steps))
        at.evaluate("() => { seen.length = 0 }")
        page.page.locator(".distill3d-panel .going .finish").first.click()
        ended = at.end()[-1][0]
        page.settle()
        return {"ended": ended, **at.evaluate(GOING), "widgets": at.evaluate(WIDGETS), "warnings": at.evaluate(WARNINGS)}

    at.evaluate(f"() => {{ {FIND}.widgets.find(one => one.name === 'seed').value += 5 }}")  # as "randomize" would
    found["continued"] = proceed(4)
    shoot("continued")
    found["twice"] = proceed(2)
    return found


def main():
    address, workflow, vue, widgets, *folder = sys.argv[1:]
    with editor(address, vue == "1") as page:
        def shoot(name):
            if folder:
                page.page.screenshot(path=f"{folder[0]}/{name}_{vue}.png")
        found = drive(page, json.load(open(workflow, encoding="utf-8")), json.loads(widgets), shoot)
    print("MEASURED " + json.dumps({**found, "errors": page.errors}))


if __name__ == "__main__":
    main()
