"""Run by test_comfyui_drop.py with an interpreter that has playwright: drops files on the canvas, and prints one JSON object.

comfyui_drive_drop.py ADDRESS WORKFLOW VUE(0 or 1) WIDGETS(JSON: {node type: {widget: value}}) OUTPUT(folder of the server)
"""
import base64
import json
import sys
from pathlib import Path

from comfyui_drive_panel import Driver

from comfyui_page import editor

SAVE, ANIMATION = "Distill3D_SaveMesh", "Distill3D_SaveAnimation"
TYPES = {".glb": "model/gltf-binary", ".webp": "image/webp", ".mp4": "video/mp4", ".gif": "image/gif", ".ply": "",
         ".obj": ""}  # a system's own
DROP = """async ([name, content, type]) => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0)), data = new DataTransfer();
    data.items.add(new File([bytes], name, {type}));
    document.querySelector('#graph-canvas').dispatchEvent(
        new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data, clientX: 400, clientY: 700})) }"""
STATE = """() => app.rootGraph.nodes.map(node => [node.comfyClass, node.widgets?.find(one => one.name === 'steps')?.value ?? null])"""


def drive(page, workflow, widgets, output):
    at, found = Driver(page), {}
    page.load(workflow, "first", flat=True)
    for kinds in ("glb", "webp"), ("ply", "mp4"), ("obj", "gif"):
        at.set({**widgets, SAVE: {"format": kinds[0]}, ANIMATION: {"format": kinds[1]}})
        found[" ".join(kinds)] = at.run()[-1][0]
    found["files"] = files = sorted(str(path.relative_to(output)) for path in output.rglob("*_0*") if path.is_file())
    found["made by"] = at.evaluate(STATE)
    found["dropped"] = {}
    for name in files:
        path = output / name
        if path.suffix in TYPES:
            at.evaluate("async () => { await app.loadGraphData({nodes: [], links: [], version: 0.4}, true, true, 'empty') }")
            at.evaluate(DROP, [path.name, base64.b64encode(path.read_bytes()).decode(), TYPES[path.suffix]])
            found["dropped"][name] = page.until(lambda: at.evaluate(STATE), bool, 20)[1]
    return found


def main():
    address, workflow, vue, widgets, output = sys.argv[1:]
    with editor(address, vue == "1") as page:
        found = drive(page, json.load(open(workflow, encoding="utf-8")), json.loads(widgets), Path(output))
    print("MEASURED " + json.dumps({**found, "errors": page.errors}))


if __name__ == "__main__":
    main()
