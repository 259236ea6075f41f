"""Run by test_comfyui_templates.py with an interpreter that has playwright: opens every workflow that the template
browser lists for the pack, and prints one JSON object.

comfyui_drive_templates.py ADDRESS VUE(0 or 1)
"""
import json
import sys

from comfyui_page import editor

PACK = "distill3d"
# undefined leaves with it, as in a saved file.
LOOK = """() => JSON.parse(JSON.stringify({saved: app.graph.serialize(),
    live: app.graph.nodes.map(node => ({id: node.id, box: [...node.getBounding()],
        known: Boolean(LiteGraph.registered_node_types[node.type])})),
    alerts: [...document.querySelectorAll('[role=alert]')].map(one => one.innerText).filter(Boolean)}))"""


def main():
    address, vue = sys.argv[1:]
    found = {}
    with editor(address, vue == "1") as page:
        listed = page.page.evaluate("async () => (await app.api.fetchApi('/workflow_templates')).json()")[PACK]
        for name in listed:
            workflow = page.page.evaluate(
                "async ([pack, name]) => (await app.api.fetchApi(`/workflow_templates/${pack}/"
                                          "${name}.json`)).json()", [PACK, name])
            page.load(workflow, name)
            found[name] = page.page.evaluate(LOOK)
    print("MEASURED " + json.dumps({"templates": found, "errors": page.errors}))


if __name__ == "__main__":
    main()
