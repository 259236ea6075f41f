// A PLY of Save Mesh opens the workflow that it carries, as the host does it for GLB, WebP and MP4.
import { app } from "../../scripts/app.js";

const HEAD = 4 << 20; // bytes; more than any workflow needs

/** The workflow in the comments of a PLY (nodes/assets/notes.py wrote them), undefined where there is none. */
async function workflowOf(file) {
  const text = await file.slice(0, HEAD).text();
  const head = text.slice(0, text.indexOf("\nend_header"));
  if (!head.startsWith("ply")) return undefined;
  const notes = {};
  for (const [, name, json] of head.matchAll(/^comment (workflow|prompt) (\{.*\})$/gm)) notes[name] = JSON.parse(json);
  return notes;
}

app.registerExtension({
  name: "distill3d.drop",
  setup() {
    const handle = app.handleFile.bind(app);
    app.handleFile = async (file, ...rest) => {
      const notes = /\.ply$/i.test(file?.name ?? "") ? await workflowOf(file) : undefined;
      const name = file?.name?.replace(/\.\w+$/, "");
      if (notes?.workflow) return app.loadGraphData(notes.workflow, true, true, name);
      if (notes?.prompt) return app.loadApiJson(notes.prompt, name);
      return handle(file, ...rest);
    };
  },
});
