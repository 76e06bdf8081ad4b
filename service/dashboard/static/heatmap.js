// The ensemble as a picture: a row for each state, a column for each member. Only as
// many of both as can be told apart are downloaded.

import { h, unique } from "./dom.js";
import { call, session } from "./api.js";
import { count, number, plural } from "./format.js";
import { diverging, sequential } from "./colours.js";

const MOST_MEMBERS = 80;
const MOST_STATES = 120;
// Pixels that a line of labels wants.
const LINE = 15;

/** Members `0:m` and every step-th state of an ensemble. */
export function partOf(members, states) {
  const step = Math.ceil(states / MOST_STATES);
  return { members: Math.min(members, MOST_MEMBERS), step, shown: Math.ceil(states / step) };
}

/** Each state in its own deviations from its own mean. */
export function anomalies(rows) {
  const n = rows.length;
  return rows[0].map((_, j) => {
    const mean = rows.reduce((sum, row) => sum + row[j], 0) / n;
    const square = rows.reduce((sum, row) => sum + (row[j] - mean) ** 2, 0);
    const std = Math.sqrt(square / Math.max(1, n - 1));
    return rows.map((row) => (std > 0 ? (row[j] - mean) / std : 0));
  });
}

export class HeatMap {
  constructor(history, signal) {
    this.history = history;
    this.signal = signal;
    const id = unique("heat");
    this.mode = h("select", { id: `${id}-mode` },
      h("option", { value: "anomaly" }, "Deviation from the mean"),
      h("option", { value: "value" }, "Value"));
    this.mode.addEventListener("change", () => this.#paint());
    this.canvas = h("canvas", {
      tabindex: "0", role: "application", "aria-roledescription": "heat map",
      "aria-label": "Ensemble: states by members. Arrow keys move from cell to cell.",
      "aria-describedby": `${id}-read`,
    });
    this.read = h("p", { class: "note", id: `${id}-read`, "aria-live": "polite" });
    this.note = h("p", { class: "note" });
    this.labels = h("div", { class: "heat-labels", "aria-hidden": "true" });
    this.legend = h("div", { class: "heat-legend", "aria-hidden": "true" });
    this.frame = h("div", { class: "heat" }, this.labels, h("div", { class: "heat-field" }, this.canvas,
      h("p", { class: "axis-name", "aria-hidden": "true" }, "Members")));
    this.message = h("p", { class: "faint" });
    this.root = h("figure", { class: "card panel wide", "aria-labelledby": id },
      h("figcaption", {}, h("h2", { id }, "Analysis ensemble"),
        h("p", { class: "about" }, "One column per member, one row per state. Stripes across a row are shared by few members; two colours side by side are two groups.")),
      h("div", { class: "row" }, h("label", { for: `${id}-mode` }, "Colour by"), this.mode, this.legend),
      this.message, this.frame, this.read, this.note);
    Object.assign(this, { rows: null, cell: null, shown: null, loading: null, wanted: null });
    new ResizeObserver(() => this.#paint()).observe(this.frame);
    document.addEventListener("ccdm-theme", () => this.#paint(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint(), { signal });
    this.canvas.addEventListener("pointermove", (event) => this.#hover(event));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => { this.cell = null; this.#paint(); });
  }

  /** Show the analysis of a cycle, if its samples are kept. */
  async show(k) {
    this.wanted = k;
    // One at a time; of those that were wanted meanwhile, the last.
    if (this.loading !== null || this.shown === k) return;
    const view = this.history.view;
    if (k < view.oldest_kept || (k === 0 && !view.members)) {
      return this.#blank(`The samples of cycle ${count(k)} are no longer kept; those from cycle ${count(view.oldest_kept)} on are.`);
    }
    const part = partOf(this.history.at(k)?.n_samples ?? view.members, view.state_dim);
    this.loading = k;
    try {
      const found = await call(
        `${session(this.history.id)}/cycles/${k}/analysis?members=0:${part.members}&states=0:${view.state_dim}:${part.step}`,
        { signal: this.signal });
      Object.assign(this, { rows: found.analysis_samples, part, shown: k, cell: null });
      this.message.textContent = "";
      this.#paint();
    } catch (error) {
      if (!this.signal.aborted) this.#blank(error.message);
    } finally {
      this.loading = null;
    }
    if (this.wanted !== k && !this.signal.aborted) this.show(this.wanted);
  }

  #blank(text) {
    Object.assign(this, { rows: null, shown: null });
    this.message.textContent = text;
    this.#paint();
  }

  #paint() {
    this.frame.hidden = this.note.hidden = this.read.hidden = !this.rows;
    this.legend.hidden = !this.rows;
    if (!this.rows) return;
    const { rows, part } = this;
    const dark = getComputedStyle(this.root).colorScheme === "dark"
      || (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    const byState = this.mode.value === "anomaly";
    const table = byState ? anomalies(rows) : rows[0].map((_, j) => rows.map((row) => row[j]));
    const all = table.flat();
    const [low, high] = byState ? [-3, 3] : [Math.min(...all), Math.max(...all)];
    const colour = byState ? (v) => diverging(v / 3, dark) : (v) => sequential((v - low) / (high - low || 1));
    const tall = Math.max(3, Math.min(24, Math.floor(420 / table.length)));
    const ratio = window.devicePixelRatio || 1;
    this.labels.replaceChildren(...this.#rowNames(table.length, tall));
    const width = Math.max(60, this.canvas.parentElement.clientWidth);
    Object.assign(this, { tall, columns: rows.length });
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(tall * table.length * ratio);
    this.canvas.style.height = `${tall * table.length}px`;
    const ink = this.canvas.getContext("2d");
    const wide = this.canvas.width / rows.length;
    table.forEach((row, j) => row.forEach((value, i) => {
      ink.fillStyle = colour(value);
      const left = Math.floor(i * wide);
      const top = Math.floor(j * tall * ratio);
      ink.fillRect(left, top, Math.floor((i + 1) * wide) - left, Math.floor((j + 1) * tall * ratio) - top);
    }));
    if (this.cell) {
      ink.strokeStyle = getComputedStyle(this.root).color;
      ink.lineWidth = 2 * ratio;
      ink.strokeRect(this.cell[0] * wide, this.cell[1] * tall * ratio, wide, tall * ratio);
    }
    this.#legend(low, high, colour, byState);
    const view = this.history.view;
    const members = this.history.at(this.shown)?.n_samples ?? view.members;
    const some = [
      part.members < members ? `the first ${part.members} of ${plural(members, "member")}` : plural(members, "member"),
      part.step > 1 ? `one in ${part.step} of ${plural(view.state_dim, "state")}` : plural(view.state_dim, "state"),
    ];
    this.note.textContent = `Cycle ${count(this.shown)}: ${some.join(", ")}.`;
  }

  #rowNames(rows, tall) {
    // A name takes as many rows as a line of text needs; the rows between have none.
    const every = Math.ceil(LINE / tall);
    const names = [];
    for (let j = 0; j < rows; j += every) {
      const left = Math.min(every, rows - j) * tall;
      const fits = j === 0 || left >= LINE;
      const name = h("span", {}, fits ? this.history.state(j * this.part.step) : "");
      name.style.height = `${left}px`;
      names.push(name);
    }
    return names;
  }

  #legend(low, high, colour, byState) {
    const bar = h("canvas", { width: 96, height: 10 });
    const ink = bar.getContext("2d");
    for (let i = 0; i < 96; i += 1) {
      ink.fillStyle = colour(low + ((high - low) * i) / 95);
      ink.fillRect(i, 0, 1, 10);
    }
    const ends = byState ? ["−3", "3 deviations"] : [number(low), number(high)];
    this.legend.replaceChildren(ends[0], bar, ends[1]);
  }

  #hover(event) {
    const box = this.canvas.getBoundingClientRect();
    this.#tell(Math.floor(((event.clientX - box.left) / box.width) * this.columns),
      Math.floor((event.clientY - box.top) / this.tall));
  }

  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || !this.rows) return;
    event.preventDefault();
    const [i, j] = this.cell ?? [-step[0], -step[1]];
    this.cell = [
      Math.max(0, Math.min(this.columns - 1, i + step[0])),
      Math.max(0, Math.min(this.rows[0].length - 1, j + step[1])),
    ];
    this.#paint();
    this.#tell(...this.cell);
  }

  #tell(i, j) {
    const value = this.rows?.[i]?.[j];
    if (value === undefined) return;
    const state = j * this.part.step;
    const unit = this.history.unitOf("states", state);
    this.read.textContent = `Member ${count(i)}, ${this.history.state(state)}: ${number(value)}${unit ? ` ${unit}` : ""}`;
  }
}
