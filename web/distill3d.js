// Live panels on the nodes that optimise: pictures of the run, its curves, and a button that ends it early.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { idOf, nodeOf } from "./execution_id.mjs";
import { Panel } from "./panel.mjs";

const NODES = ["Distill3D_Optimize"]; // nodes/comfy/panel_routes.py has the same list
const SETTING = "Distill3D.LivePanel";
const WIDGET = "distill3d_panel";
const panels = new WeakMap(); // by node, so that the panel of a deleted node is collected

const graph = () => app.rootGraph ?? app.graph;
const isOn = () => app.extensionManager.setting.get(SETTING) ?? true;

function attach(node) {
  const panel = new Panel({
    finish: (id) => finish(node, id),
    proceed: (state, steps) => proceed(node, state, steps),
    resize: () => fit(node),
  });
  const widget = node.addDOMWidget(WIDGET, "DISTILL3D_PANEL", panel.element, {
    serialize: false, // not in the prompt
    hideOnZoom: false,
    getMinHeight: () => (widget.hidden ? 0 : panel.minHeight),
  });
  widget.serialize = false; // not in the saved workflow
  panels.set(node, { panel, widget });
  setVisible(node, isOn());
}

// The panels of a run: of its node, and of the subgraph node on the canvas that it is in.
function panelsOf(id) {
  const outer = String(id).includes(":") ? nodeOf(String(id).split(":")[0], graph()) : null;
  if (outer && !panels.has(outer)) attach(outer);
  return [nodeOf(id, graph()), outer].filter((node) => panels.has(node)).map((node) => panels.get(node).panel);
}

function fit(node) {
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  node.setDirtyCanvas?.(true, true);
}

function setVisible(node, visible) {
  const { widget, panel } = panels.get(node);
  widget.hidden = widget.options.hidden = !visible;
  panel.element.style.display = visible ? "" : "none";
}

async function finish(node, id) {
  const answer = await api.fetchApi("/distill3d/finish", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ node: id ?? idOf(node, graph()) }),
  });
  return answer.ok;
}

// Queues the node's last run again, with an end that is `steps` later. Its seed is set back, which may have been drawn anew.
async function proceed(shown, state, steps) {
  const node = nodeOf(state.node, graph()) ?? shown; // `shown` may be the subgraph node around it
  // Where a widget is promoted, that of the subgraph node counts.
  const outer = (graph().nodes ?? []).find((one) => one.subgraph?.nodes.includes(node));
  const widgets = (name) => [node, outer].flatMap((one) => one?.widgets?.filter((widget) => widget.name === name) ?? []);
  const [end] = widgets("continue_to");
  if (!end) return;
  for (const name of ["steps", "seed"]) {
    const value = state.widgets?.[name];
    for (const widget of value === undefined ? [] : widgets(name)) widget.value = value;
  }
  for (const widget of [node, outer].flatMap((one) => one?.widgets ?? [])) {
    if (["control_after_generate", "control after generate"].includes(widget.name)) widget.value = "fixed";
  }
  const target = state.step + steps;
  // A run to the same end is answered from the host's cache with its early result: one step more is not.
  end.value = target === end.value ? target + 1 : target;
  node.setDirtyCanvas?.(true, true);
  await app.queuePrompt(0);
}

function* nodesWithPanel(one = graph()) {
  for (const node of one.nodes) {
    if (panels.has(node)) yield node;
    if (node.subgraph) yield* nodesWithPanel(node.subgraph);
  }
}

async function fetchStates(query) {
  const answer = await api.fetchApi(`/distill3d/panels?${new URLSearchParams(query)}`);
  return answer.ok ? answer.json() : null;
}

// After a reload, in another tab of the editor, or after an undone change: restores what the server still has.
async function restore() {
  const states = await fetchStates({ workflow: graph().id });
  if (!states) return;
  const known = new Set(states.map((state) => state.run));
  for (const node of nodesWithPanel()) {
    const { panel } = panels.get(node);
    if (!known.has(panel.state?.run)) panel.lose();
  }
  for (const state of states) for (const panel of panelsOf(state.node)) panel.show(state);
}

// A cached result, possibly of a run in another copy of the workflow.
async function recall(shown, [run, id]) {
  const stale = shown.filter((panel) => panel.state?.run !== run);
  if (!stale.length) return;
  const [state] = (await fetchStates({ run, node: id })) ?? [];
  if (state) for (const panel of stale) panel.show(state);
}

// The server sends panel data only while a client shows panels, and plain text otherwise.
async function announce(on = isOn()) {
  if (!api.clientId) return;
  await api.fetchApi("/distill3d/panels", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ page: api.clientId, on }),
  });
}

app.registerExtension({
  name: "distill3d.panel",
  settings: [{
    id: SETTING,
    name: "Live panel on the Optimize node",
    tooltip: "Pictures and curves of the run. Off: one picture and one line of text.",
    category: ["Distill3D", "Optimize", "Live panel"],
    type: "boolean",
    defaultValue: true,
    onChange(value, before) {
      if (before === undefined || value === before) return;
      announce(value); // which is not set yet
      for (const node of nodesWithPanel()) setVisible(node, value);
      graph().setDirtyCanvas?.(true, true);
    },
  }, { // nodes/comfy/comfy_host.py reads the limits from the file of the settings
    id: "Distill3D.States.days",
    name: "Delete saved states that were not used for so many days",
    tooltip: "States are saved in distill3d_states of the output folder, for resuming and continuing. 0: no limit. A running job keeps its own.",
    category: ["Distill3D", "Saved states", "Days"],
    type: "number",
    attrs: { min: 0, max: 3650 },
    defaultValue: 30,
  }, {
    id: "Distill3D.States.gigabytes",
    name: "Delete the oldest saved states beyond so many gigabytes",
    tooltip: "Of all states in distill3d_states of the output folder together. 0: no limit. A running job keeps its own.",
    category: ["Distill3D", "Saved states", "Gigabytes"],
    type: "number",
    attrs: { min: 0, max: 100000 },
    defaultValue: 20,
  }],
  nodeCreated(node) {
    if (NODES.includes(node.comfyClass)) attach(node);
  },
  async afterConfigureGraph() {
    await restore();
  },
  async setup() {
    api.addEventListener("distill3d.panel", ({ detail }) => {
      if (detail.workflow && detail.workflow !== graph().id) return; // of a workflow in another tab
      for (const panel of panelsOf(detail.node)) panel.update(detail);
    });
    api.addEventListener("executed", ({ detail }) => {
      const made = detail.output?.distill3d_panel; // of nodes/comfy/panel_routes.py
      if (made) recall(panelsOf(detail.node), made);
    });
    api.addEventListener("execution_cached", ({ detail }) => {
      for (const id of detail.nodes ?? []) {
        for (const at of [nodeOf(id, graph()), nodeOf(String(id).split(":")[0], graph())]) panels.get(at)?.panel.give(id);
      }
    });
    let known;
    api.addEventListener("status", () => { // the first one contains the page's id
      if (known === api.clientId) return;
      known = api.clientId;
      announce();
    });
    api.addEventListener("reconnected", async () => { // possibly to a restarted server
      await announce();
      await restore();
    });
    await announce();
  },
});
