// Warnings of a run: on the node that gave them, and in a toast.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { idOf, nodeOf } from "./execution_id.mjs";
import { Warnings } from "./warnings.mjs";

const OUTPUT = "distill3d_warnings"; // nodes/comfy/node.py has the same name
const WIDGET = "distill3d_warnings";
const LIFE = 20000; // milliseconds
const shown = new Map(); // node -> its widget and texts

const graph = () => app.rootGraph ?? app.graph;

function set(node, texts) {
  const old = shown.get(node);
  if (!node || (old?.texts ?? []).join("\n") === texts.join("\n")) return;
  if (old) {
    const height = Math.max(old.grown, old.list.element.offsetHeight);
    old.list.element.remove();
    node.removeWidget?.(old.widget);
    shown.delete(node);
    grow(node, -height);
  }
  if (texts.length) {
    const list = new Warnings(texts);
    const widget = node.addDOMWidget(WIDGET, "DISTILL3D_WARNINGS", list.element, {
      serialize: false, // nothing in the prompt
      hideOnZoom: false,
      getMinHeight: () => list.heightAt(node.size[0]),
      getMaxHeight: () => list.heightAt(node.size[0]),
    });
    widget.serialize = false; // nothing in the saved workflow
    shown.set(node, { list, widget, texts, grown: grow(node, 0) });
  }
  for (const outer of around(node, graph()) ?? []) mark(outer);
  node.setDirtyCanvas?.(true, true);
}

// A node as high as it was and by so many pixels more, and at least as high as it needs. Returns how much higher it became.
function grow(node, by) {
  const [width, height] = node.size;
  const [least, need] = node.computeSize();
  node.setSize([Math.max(width, least), Math.max(height + by, need)]);
  return node.size[1] - height;
}

// The subgraph nodes that a node is in, from the outside; undefined where it is nowhere.
function around(node, one) {
  if (one.nodes.includes(node)) return [];
  for (const outer of one.nodes) {
    const inner = outer.subgraph && around(node, outer.subgraph);
    if (inner) return [outer, ...inner];
  }
}

// The badge of a subgraph node: how many warnings are inside.
function mark(outer) {
  let count = 0;
  for (const [node, { texts }] of shown) if (around(node, outer.subgraph)) count += texts.length;
  const others = outer.badges.filter((badge) => badge !== outer.distill3dBadge);
  const text = `\u26a0 ${count} ${count > 1 ? "warnings" : "warning"}`;
  outer.distill3dBadge = count ? new LGraphBadge({ text, fgColor: "#1a1a1a", bgColor: "#e0a030" }) : null;
  // Nodes 2.0 takes the first badge for the host's own, which a subgraph node may lack, and does not show it.
  const first = others.length ? others : [new LGraphBadge({ text: "" })];
  outer.badges = outer.distill3dBadge ? [...first, outer.distill3dBadge] : others;
  // What the host sends where it changes badges itself: Nodes 2.0 keeps a copy of them.
  outer.graph?.trigger?.("node:property:changed",
    { type: "node:property:changed", nodeId: outer.id, property: "badges", oldValue: [], newValue: outer.badges });
}

function add(node, text) {
  const texts = shown.get(node)?.texts ?? [];
  if (node && !texts.includes(text)) set(node, [...texts, text]);
}

function toast(node, text) {
  const title = node?.title ?? "Distill3D";
  app.extensionManager.toast.add({ severity: "warn", summary: title, detail: text, life: LIFE });
}

// What the server still knows, for a page that was reloaded.
async function restore() {
  const id = graph().id;
  const answer = await api.fetchApi(`/distill3d/warnings?${new URLSearchParams({ workflow: id ?? "" })}`);
  if (!answer.ok) return;
  for (const { node, text } of await answer.json()) add(nodeOf(node, graph()), text);
}

app.registerExtension({
  name: "distill3d.warnings",
  async afterConfigureGraph() {
    for (const node of [...shown.keys()]) if (!idOf(node, graph())) shown.delete(node);
    await restore();
  },
  async setup() {
    api.addEventListener("distill3d.warning", ({ detail }) => {
      const isHere = !detail.workflow || detail.workflow === graph().id; // else of a workflow in another tab
      const node = isHere ? nodeOf(detail.node, graph()) : null;
      toast(node, detail.text);
      add(node, detail.text);
    });
    api.addEventListener("executing", ({ detail }) => { // the node runs again: what it said is past
      const id = detail?.node ?? detail;
      const node = id && nodeOf(id, graph());
      if (node && shown.has(node)) set(node, []);
    });
    api.addEventListener("executed", ({ detail }) => { // a result from the cache, perhaps of another copy of the workflow
      const texts = detail.output?.[OUTPUT];
      const node = texts && nodeOf(detail.node, graph());
      if (node) set(node, texts);
    });
  },
});
