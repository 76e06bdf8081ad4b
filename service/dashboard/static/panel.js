// A picture with its title, its legend that reads values off, and its numbers as a table.

import { h, s, table, unique } from "./dom.js";
import { draw, mark } from "./charts.js";

const HEIGHT = 220;
const MOST_ROWS = 200;

function swatch(entry) {
  const shapes = {
    line: () => s("line", { class: `line ${entry.ink}`, x1: 1, x2: 17, y1: 6, y2: 6 }),
    level: () => s("line", { class: `level ${entry.ink}`, x1: 1, x2: 17, y1: 6, y2: 6 }),
    band: () => s("rect", { class: `band ${entry.ink}`, x: 1, y: 1, width: 16, height: 10 }),
    bars: () => s("rect", { class: `bar ${entry.ink}`, x: 4, y: 1, width: 10, height: 10 }),
    dots: () => mark(entry.shape, 9, 6, 3.2, `dot ${entry.ink}`),
  };
  return s("svg", { class: "swatch", width: 18, height: 12, "aria-hidden": "true" }, shapes[entry.kind]());
}

export class Panel {
  /**
   * @param about what the picture shows and how to read it
   * @param build from the history to a picture; null where there is nothing to show
   * @param ui hover and select, called with a cycle
   */
  constructor({ title, about, build, wide = false, height = HEIGHT, empty, ui }) {
    this.build = build;
    this.height = height;
    this.ui = ui;
    this.missing = empty ?? "Nothing to show yet.";
    const id = unique("panel");
    this.legend = h("ul", { class: "legend" });
    this.host = h("div", { class: "plot" });
    this.note = h("p", { class: "note" });
    this.numbers = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, table` });
    this.details = h("details", { class: "numbers" }, h("summary", {}, "Table"), this.numbers);
    this.details.addEventListener("toggle", () => this.#fill());
    this.root = h("figure", { class: `card panel${wide ? " wide" : ""}`, "aria-labelledby": id },
      h("figcaption", {}, h("h2", { id }, title), h("p", { class: "about" }, about)),
      this.legend, this.host, this.note, this.details);
    this.title = title;
    this.picture = null;
    this.cursor = null;
    this.width = 0;
    new ResizeObserver(([entry]) => {
      const width = Math.floor(entry.contentRect.width);
      if (width !== this.width) { this.width = width; this.#paint(); }
    }).observe(this.host);
    this.host.addEventListener("pointermove", (event) => this.#point(event, "hover"));
    this.host.addEventListener("pointerleave", () => this.ui?.hover(null));
    this.host.addEventListener("click", (event) => this.#point(event, "select"));
  }

  update(history, state) {
    this.picture = this.build(history, state);
    this.note.textContent = this.picture?.note ?? "";
    this.#paint();
    this.#fill();
  }

  /** Show where a cycle is, and its values in the legend. */
  point(cycle) {
    this.cursor = cycle;
    this.drawn?.point(this.picture?.timeless ? null : cycle?.k ?? null);
    if (!this.picture) return;
    this.legend.querySelectorAll(".value").forEach((place, i) => {
      const entry = this.picture.legend.filter((one) => one.value)[i];
      place.textContent = cycle ? entry.value(cycle) : "";
    });
  }

  #point(event, what) {
    if (!this.drawn || this.picture.timeless || !this.ui) return;
    this.ui[what](this.drawn.cycleAt(event.clientX - this.host.getBoundingClientRect().left));
  }

  #paint() {
    this.details.hidden = !this.picture;
    if (!this.picture) {
      this.legend.replaceChildren();
      this.host.replaceChildren(h("p", { class: "faint" }, this.missing));
      this.drawn = null;
      return;
    }
    this.legend.replaceChildren(...this.picture.legend.map((entry) => h("li", {}, swatch(entry),
      h("span", { class: "clamped", title: entry.label }, entry.label), entry.value ? h("span", { class: "value" }) : null)));
    if (!this.width) return;
    const label = [this.title, this.picture.summary].filter(Boolean).join(". ");
    this.drawn = draw({ ...this.picture.spec, label }, {
      width: this.width, height: this.picture.height ?? this.height,
    });
    this.host.replaceChildren(this.drawn.svg);
    this.point(this.cursor);
  }

  #fill() {
    if (!this.details.open || !this.picture) return;
    const { head, rows } = this.picture.table();
    this.numbers.replaceChildren(table(this.title, head, rows.slice(-MOST_ROWS)));
  }
}
