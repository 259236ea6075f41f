// The view of the live panel, independent of nodes, graphs and the server: show() and update() take the server's messages.
import { Curve } from "./curve.mjs";

const PICTURES = ["color", "normal", "opacity"]; // from left to right in one picture, each as wide as it is high
const ENDINGS = { finished: "Finished", "ended early": "Ended early", cancelled: "Cancelled", failed: "Failed",
  lost: "The server was started anew" };
const EMPTY_HEIGHT = 28;
const HEIGHT = 310;

const sheet = fetch(new URL("./panel.css", import.meta.url)).then((answer) => answer.text());

function element(kind, name, ...children) {
  const made = document.createElement(kind);
  made.className = name;
  made.append(...children);
  return made;
}

/** 51 -> "51 s", 3725 -> "1 h 2 min". */
export function timeText(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function speedText(speed) {
  return speed >= 1 ? `${speed.toPrecision(3)} it/s` : `${(1 / speed).toPrecision(3)} s/it`;
}

export class Panel {
  /** finish(node id): requests the end of the run with its result kept; true if accepted. resize(): the panel needs more room.
   * proceed(state, steps): continues the run of a state by so many steps. */
  constructor({ finish, proceed, resize }) {
    this.resize = resize;
    this.isGiven = false; // whether the last request was answered with the result that was there
    this.curves = new Map();
    this.status = element("span", "status", "The run will be shown here.");
    this.button = element("button", "finish", "Finish now");
    this.button.title = "Ends this stage and keeps its result. Cancel throws it away.";
    this.button.hidden = true;
    this.button.onclick = async () => {
      this.button.disabled = true;
      this.button.textContent = "Finishing";
      if (!(await finish(this.state?.node))) this.resetButton();
    };
    this.more = element("input", "more");
    Object.assign(this.more, { type: "number", min: 1, max: 1000000, step: 1, title: "Steps to add" });
    this.more.onkeydown = (event) => event.stopPropagation(); // not a shortcut of the editor
    this.onward = element("button", "finish", "Continue");
    this.onward.title = "Adds steps to this result: the scene and the optimiser go on from here. Schedules follow the "
      + "steps of the node, and keep their last values beyond them.";
    this.onward.onclick = () => {
      const steps = Math.round(this.more.valueAsNumber);
      if (steps >= 1) proceed(this.state, steps);
    };
    this.going = element("span", "going", this.more, this.onward);
    this.going.hidden = true;
    this.note = element("div", "note");
    this.note.hidden = true;
    this.bar = element("i", "done");
    this.image = element("img", "picture");
    this.image.alt = PICTURES.join(", ");
    this.image.draggable = false;
    this.pictures = element("div", "pictures", this.image,
      element("div", "captions", ...PICTURES.map((text) => element("span", "", text))));
    this.charts = element("div", "charts");
    this.body = element("div", "body", this.pictures, element("div", "bar", this.bar), this.charts);
    this.element = element("div", "distill3d-panel", element("div", "head", this.status, this.button, this.going),
      this.note, this.body);
    // The style sheet is in the panel, not in the page's head, which all packs share.
    const style = document.createElement("style");
    this.element.append(style);
    sheet.then((text) => { style.textContent = text; });
    this.body.hidden = this.pictures.hidden = true;
  }

  get minHeight() {
    return this.body.hidden ? EMPTY_HEIGHT : HEIGHT;
  }

  resetButton() {
    this.button.disabled = false;
    this.button.textContent = "Finish now";
  }

  /** A run so far. */
  show({ curves, picture, ...state }) {
    this.begin(state);
    if (picture) this.setPicture(picture);
    for (const [name, points] of Object.entries(curves)) this.curve(name).set(points);
    this.draw();
  }

  /** What is new of a run. */
  update({ facts = {}, picture, ...state }) {
    if (state.run !== this.state?.run) this.begin(state);
    this.state = state;
    if (picture) this.setPicture(picture);
    for (const [name, point] of Object.entries(facts)) this.curve(name).add(point);
    this.draw();
  }

  /** A new request got the result that is here, without a run. */
  give(node) {
    if (this.state?.node !== String(node) || this.state.status !== "ended early") return;
    this.isGiven = true;
    this.draw();
  }

  /** The server no longer has the run. */
  lose() {
    if (this.state?.status !== "running") return;
    this.state = { ...this.state, status: "lost", speed: 0 };
    this.draw();
  }

  begin(state) {
    this.state = state;
    this.isGiven = false;
    this.curves.clear();
    this.charts.replaceChildren();
    this.pictures.hidden = true;
    this.resetButton();
    if (this.body.hidden) {
      this.body.hidden = false;
      this.resize();
    }
  }

  curve(name) {
    if (!this.curves.has(name)) this.curves.set(name, new Curve(name));
    return this.curves.get(name);
  }

  setPicture(url) {
    this.image.src = url;
    this.pictures.hidden = false;
  }

  draw() {
    const { step, total, speed, status } = this.state;
    const isRunning = status === "running";
    const parts = [`${step} / ${total}`];
    if (!isRunning) parts.unshift(ENDINGS[status] ?? status);
    if (speed) parts.push(speedText(speed));
    if (isRunning && speed && step < total) parts.push(`${timeText((total - step) / speed)} left`);
    this.status.textContent = parts.join(" \u00b7 ");
    this.button.hidden = !isRunning;
    const isOver = status === "finished" || status === "ended early" || (status === "cancelled" && step > 0);
    if (isOver && this.going.hidden) this.more.value = step < total ? total - step : Math.max(1, Math.round(total / 2));
    this.going.hidden = !isOver;
    this.note.hidden = !this.isGiven;
    this.note.textContent = `This stage was ended early, and its early result was used again. Continue trains the other ${total - step} steps.`;
    this.bar.style.width = `${(100 * step) / total}%`;
    this.element.dataset.status = status;
    for (const curve of this.curves.values()) {
      // Constant numbers, such as a constant weight, are not shown.
      if (curve.points.length < 2 || curve.isConstant) continue;
      if (!curve.element.isConnected) this.charts.append(curve.element);
      curve.draw();
    }
  }
}
