// Every type of wire of the pack has a color of its own, in the classic editor and in Nodes 2.0.
import { app } from "../../scripts/app.js";
import { COLORS } from "./wire_colors.mjs";

// The editor empties the colors of types that its palette does not know, each time a palette is loaded.
function keep(table) {
  for (const [type, color] of Object.entries(COLORS)) {
    Object.defineProperty(table, type, { get: () => color, set: () => {}, enumerable: true, configurable: true });
  }
}

app.registerExtension({
  name: "distill3d.wires",
  setup() {
    keep(app.canvas.default_connection_color_byType);
    keep(app.canvas.constructor.link_type_colors);
    const sheet = document.createElement("style"); // Nodes 2.0 reads properties of the page
    const lines = Object.entries(COLORS).map(([type, color]) => `--color-datatype-${type}: ${color};`);
    sheet.textContent = `:root { ${lines.join(" ")} }`;
    document.head.append(sheet);
    app.canvas.setDirty(true, true);
  },
});
