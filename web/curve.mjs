// The curve of one number over the steps of a run, drawn as SVG.
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 100;
const HEIGHT = 30;
export const POINTS = 256; // the same as in nodes/comfy/panel.py

/** Three digits: 0.2548 -> "0.255", 1234567 -> "1.23e6". */
export function numberText(value) {
  return Math.abs(value) >= 1e5 ? value.toExponential(2).replace("e+", "e") : String(Number(value.toPrecision(3)));
}

export class Curve {
  constructor(name) {
    this.points = [];
    this.element = document.createElement("figure");
    const caption = document.createElement("figcaption");
    this.label = document.createElement("span");
    this.label.textContent = name;
    this.value = document.createElement("b");
    caption.append(this.label, this.value);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    this.line = document.createElementNS(SVG, "polyline");
    this.line.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(this.line);
    this.element.append(caption, svg);
    this.name = name;
  }

  set(points) {
    this.points = points.slice();
    this.tip = points.at(-1);
  }

  /** nodes/comfy/panel.py keeps the authoritative curve and decides which points to keep; this is a copy of it. */
  add([step, value, isKept]) {
    this.tip = [step, value];
    if (!isKept) return;
    this.points.push(this.tip);
    if (this.points.length >= POINTS) this.points = this.points.filter((_, i) => i % 2 === 0);
  }

  get drawn() {
    return this.tip === this.points.at(-1) ? this.points : [...this.points, this.tip];
  }

  get isConstant() {
    return this.points.every(([, value]) => value === this.points[0][1]);
  }

  draw() {
    const drawn = this.drawn;
    const first = drawn[0][0];
    const steps = this.tip[0] - first || 1;
    const values = drawn.map(([, value]) => value);
    const low = Math.min(...values);
    const high = Math.max(...values);
    const isLog = low > 0 && high > 50 * low;
    const place = isLog ? Math.log : (value) => value;
    const span = place(high) - place(low) || 1;
    this.line.setAttribute("points", drawn.map(([step, value]) =>
      `${(WIDTH * (step - first)) / steps},${HEIGHT - 1 - ((HEIGHT - 2) * (place(value) - place(low))) / span}`).join(" "));
    this.value.textContent = numberText(values.at(-1));
    this.element.title = `${this.name}: ${numberText(low)} to ${numberText(high)}${isLog ? ", logarithmic" : ""}`;
  }
}
