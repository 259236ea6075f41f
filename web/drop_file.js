// A PLY, OBJ or GIF of this pack opens the workflow that it carries, as the host does it for GLB, WebP, MP4 and safetensors.
import { app } from "../../scripts/app.js";

const HEAD = 4 << 20; // bytes; more than any workflow needs
// nodes/assets/notes.py and nodes/export/save_animation.py write them.
const TEXTS = {
  ply: async (file) => {
    const text = await file.slice(0, HEAD).text();
    return text.startsWith("ply") ? text.slice(0, text.indexOf("\nend_header")) : "";
  },
  obj: (file) => file.slice(0, HEAD).text(),
  gif: async (file) => comments(new Uint8Array(await file.slice(0, HEAD).arrayBuffer())),
};
const NOTE = { ply: /^comment (workflow|prompt) (\{.*\})$/gm, obj: /^# (workflow|prompt) (\{.*\})$/gm,
  gif: /^(workflow|prompt) (\{.*\})$/gm };

/** The comments of a GIF before its first picture. */
function comments(bytes) {
  const palette = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + palette(bytes[10]);
  let text = "";
  while (bytes[at] === 0x21) { // an extension: kind, then blocks, each with its size before it, up to an empty one
    const isComment = bytes[at + 1] === 0xfe;
    at += 2;
    for (let size = bytes[at]; size; size = bytes[at]) {
      if (isComment) text += String.fromCharCode(...bytes.subarray(at + 1, at + 1 + size));
      at += size + 1;
    }
    at += 1;
  }
  return text;
}

/** Workflow and prompt in a file, undefined for files of other kinds. */
async function notesOf(file) {
  const kind = file?.name?.split(".").at(-1).toLowerCase();
  if (!Object.hasOwn(TEXTS, kind)) return undefined;
  const notes = {};
  for (const [, name, json] of (await TEXTS[kind](file)).matchAll(NOTE[kind])) notes[name] = JSON.parse(json);
  return notes;
}

app.registerExtension({
  name: "distill3d.drop",
  setup() {
    const handle = app.handleFile.bind(app);
    app.handleFile = async (file, ...rest) => {
      const notes = await notesOf(file);
      const name = file?.name?.replace(/\.\w+$/, "");
      if (notes?.workflow) return app.loadGraphData(notes.workflow, true, true, name);
      if (notes?.prompt) return app.loadApiJson(notes.prompt, name);
      return handle(file, ...rest);
    };
  },
});
