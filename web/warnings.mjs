// A list of warnings as it stands on a node. It knows nothing of nodes, graphs or the server.

const LINE = 16; // pixels, as in the sheet
const LETTER = 5.6; // pixels, about
const MARGINS = 44; // pixels beside the text, the sign included
const MOST = 8; // lines before the list scrolls

const sheet = fetch(new URL("./warnings.css", import.meta.url)).then((answer) => answer.text());

export class Warnings {
  /** texts: at least one. */
  constructor(texts) {
    this.texts = texts;
    this.element = document.createElement("div");
    this.element.className = "distill3d-warnings";
    for (const text of texts) {
      const line = document.createElement("p");
      line.textContent = text;
      this.element.append(line);
    }
    this.element.title = texts.join("\n");
    const style = document.createElement("style");
    this.element.append(style);
    sheet.then((css) => { style.textContent = css; });
  }

  /** Pixels that the texts need on a node of that width. */
  heightAt(width) {
    const letters = Math.max(10, (width - MARGINS) / LETTER);
    const lines = this.texts.reduce((sum, text) => sum + Math.ceil(text.length / letters), 0);
    return Math.min(lines, MOST) * LINE + 4 * this.texts.length + 14;
  }
}
