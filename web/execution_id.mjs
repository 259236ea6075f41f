// The names that nodes have while they run: "9:2" is node 2 of the subgraph behind node 9.

/** The node of that name, null where there is none. */
export function nodeOf(id, root) {
  let graph = root;
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(Number(part)) ?? graph?.getNodeById(part) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

/** The name of a node; of one in a subgraph that is used several times, the first. Undefined where it is nowhere. */
export function idOf(node, root) {
  for (const one of root.nodes) {
    if (one === node) return String(one.id);
    const inner = one.subgraph && idOf(node, one.subgraph);
    if (inner) return `${one.id}:${inner}`;
  }
}
