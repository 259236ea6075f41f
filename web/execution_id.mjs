// Ids of nodes during execution: "9:2" is node 2 of the subgraph of node 9.

/** The node with an id, null if there is none. */
export function nodeOf(id, root) {
  let graph = root;
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(Number(part)) ?? graph?.getNodeById(part) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

/** The id of a node; the first one if its subgraph is used several times. Undefined if the graph does not contain it. */
export function idOf(node, root) {
  for (const one of root.nodes) {
    if (one === node) return String(one.id);
    const inner = one.subgraph && idOf(node, one.subgraph);
    if (inner) return `${one.id}:${inner}`;
  }
}
