// One session: everything that tells how well the filter does, cycle by cycle.

import { facts as list, h } from "./dom.js";
import { clouds, count, duration, modelName, moment, number, plural, relative } from "./format.js";
import { HeatMap } from "./heatmap.js";
import { History } from "./history.js";
import { follow } from "./live.js";
import { Panel } from "./panel.js";
import { problemBox } from "./problem.js";
import * as pictures from "./pictures.js";
import { titleOf } from "./sessions.js";
import { warningsCard } from "./warnings.js";

const STATUS = {
  live: ["Live", ""],
  polling: ["Asking every few seconds", "Events are not to be had; the page asks instead."],
  waiting: ["Service away, trying again", "What is shown is what was known last."],
  ended: ["Ended", "The session was deleted or has expired. What is shown is what was known last."],
};
// How often "5 s ago" is counted on.
const CLOCK = 5000;

export async function sessionView(page, id) {
  page.titled("Session");
  page.root.append(h("p", { class: "faint" }, "Loading…"));
  const history = new History(id, page.signal);
  try {
    await history.refresh();
  } catch (error) {
    if (!page.signal.aborted) page.failed(error);
    return;
  }
  new SessionPage(page, history).start();
}

class SessionPage {
  constructor(page, history) {
    this.page = page;
    this.history = history;
    this.selected = null;
    this.measurement = null;
    this.staged = new Set();
    this.status = h("span", { class: "pill", role: "status" });
    this.meaning = h("p", { class: "stale" });
    this.about = h("div", { class: "card about-session" });
    this.waiting = h("section", { class: "card empty", hidden: true },
      h("h2", {}, "Waiting for the first cycle"),
      h("p", {}, "It appears here when the simulator sends ", h("code", {}, `PUT …/cycles/1`), ", or its members one by one."));
    this.#controls();
    this.warnings = warningsCard((k) => this.select(k));
    this.detail = h("section", { class: "card detail wide", "aria-label": "Selected cycle" });
    this.heat = new HeatMap(history, page.signal);
    this.panels = this.#panels();
    this.grid = h("div", { class: "cards" }, this.panels.map((panel) => panel.root), this.detail, this.heat.root);
  }

  #panels() {
    const ui = { hover: (k) => this.hover(k), select: (k) => this.select(k) };
    const make = (title, about, build, more) => new Panel({ title, about, build, ui, ...more });
    return [
      make("Observation in the simulated ensemble", "Nine in ten observations should lie within the light band.", pictures.fan,
        { wide: true, height: 270, empty: "No observation was assimilated in these cycles." }),
      make("Spread", "Root mean variance over all states, before and after each analysis.", pictures.spread),
      make("Innovation", "Observation minus predicted mean. It should scatter about zero.", pictures.innovation,
        { empty: "No observation was assimilated in these cycles." }),
      make("Rank histogram", "How many members lie below the observation. Flat is calibrated.", pictures.ranks,
        { empty: "No observation was assimilated in these cycles." }),
      make("Weights", "Effective sample size. Near zero, few members carry the analysis.", pictures.weights),
      make("Bandwidths", "Kernel widths of states and measurements; joint kernels have one for both.", pictures.bandwidths,
        { empty: "No kernels were used in these cycles." }),
      make("Timings", "Where each cycle's time in the service went.", pictures.timings,
        { empty: "These cycles were kept without timings." }),
      make("Model", "Joint kernels lie on states and measurements together. Else a regression, and kernels on the measurements if named.", pictures.models, { wide: true }),
    ];
  }

  #controls() {
    this.which = h("select", { id: "measurement" });
    this.which.addEventListener("change", () => {
      this.measurement = Number(this.which.value);
      this.draw();
    });
    this.whichRow = h("div", { class: "control" },
      h("label", { for: "measurement" }, "Measurement"), this.which);
    this.all = h("input", { id: "all-ranks", type: "checkbox" });
    this.all.addEventListener("change", () => this.draw());
    this.allRow = h("label", { class: "check", for: "all-ranks" }, this.all, "Ranks of all measurements");
    this.slider = h("input", { id: "cycle", type: "range", step: "1" });
    this.slider.addEventListener("input", () => this.select(Number(this.slider.value)));
    this.place = h("output", { for: "cycle", class: "place" });
    this.latest = h("button", { type: "button", class: "quiet", onclick: () => this.select(null) }, "Follow latest");
    this.more = h("button", { type: "button", class: "quiet", onclick: () => this.#earlier() }, "Load earlier");
    this.missed = h("div", {});
    this.controls = h("div", { class: "controls card", role: "group", "aria-label": "What is shown" },
      h("div", { class: "control grow" }, h("label", { for: "cycle" }, "Cycle"), this.slider, this.place),
      this.latest, this.more, this.whichRow, this.allRow);
  }

  start() {
    const title = titleOf(this.history.view);
    this.page.titled(title);
    this.page.root.replaceChildren(
      h("div", { class: "heading" },
        h("div", {}, h("p", { class: "crumb" }, h("a", { href: "#/" }, "Sessions")), h("h1", { class: "clamped", title }, title)),
        this.status),
      this.meaning,
      this.about, this.waiting, this.controls, this.missed, this.warnings.root, this.grid);
    this.draw();
    const clock = setInterval(() => this.#age(), CLOCK);
    this.page.signal.addEventListener("abort", () => clearInterval(clock));
    follow(this.history.id, {
      refresh: () => this.#refresh(),
      heard: (kind, event) => this.#heard(kind, event),
      told: (how) => this.tell(how),
      signal: this.page.signal,
    });
  }

  tell(how) {
    const [text, meaning] = STATUS[how];
    if (this.status.dataset.how === how) return;
    this.status.dataset.how = how;
    this.status.textContent = text;
    this.meaning.textContent = meaning;
    if (how === "ended") this.#describe();
  }

  /** Times as they are by now; the rest stays, and with it what is selected in it. */
  #age() {
    for (const time of this.about.querySelectorAll("time")) time.textContent = relative(time.dateTime);
  }

  /** Keep count of members that came one by one, for a cycle not yet finished. */
  #heard(kind, event) {
    if (kind === "session") this.staged = new Set(event.members_staged ?? []);
    else if (kind === "member") this.staged.add(event.member);
    else if (kind === "cycle") this.staged.clear();
    else return;
    this.#describe();
  }

  async #refresh() {
    try {
      if (await this.history.refresh()) this.draw();
      return true;
    } catch (error) {
      if (this.page.signal.aborted) return false;
      if (error.status === 401) this.page.failed(error);
      if (error.status === 404 || error.status === 410) {
        this.tell("ended");
        return false;
      }
      throw error;
    }
  }

  async #earlier() {
    this.more.disabled = true;
    try {
      await this.history.earlier();
      this.missed.replaceChildren();
      this.draw();
    } catch (error) {
      if (this.page.signal.aborted) return;
      if (error.status === 401) this.page.failed(error);
      // What is known stays, and goes on being followed.
      else this.missed.replaceChildren(problemBox(error, { heading: "h2", retry: () => this.#earlier() }));
    } finally {
      this.more.disabled = false;
    }
  }

  /** Follow a cycle; null follows the latest. */
  select(k) {
    const { first, last } = this.history;
    if (!first) return;
    this.selected = k === null || k >= last.k ? null : Math.max(first.k, k);
    this.#mark();
  }

  hover(k) {
    const cycle = (k !== null && this.history.at(k)) || this.cycle;
    for (const panel of this.panels) panel.point(cycle);
  }

  get cycle() {
    return (this.selected !== null && this.history.at(this.selected)) || this.history.last;
  }

  draw() {
    const { history } = this;
    const none = history.cycles.length === 0;
    this.waiting.hidden = !none;
    for (const part of [this.controls, this.grid]) part.hidden = none;
    this.#describe();
    this.warnings.update(history.cycles);
    if (none) return;
    this.#measurements();
    const state = { measurement: this.measurement, allRanks: this.all.checked };
    for (const panel of this.panels) panel.update(history, state);
    Object.assign(this.slider, { min: history.first.k, max: history.last.k });
    this.more.hidden = history.first.k <= 1;
    this.#mark();
  }

  #measurements() {
    const described = this.history.described;
    if (this.measurement === null || !described.includes(this.measurement)) {
      this.measurement = described[0] ?? null;
    }
    const known = [...this.which.options].map((option) => Number(option.value));
    if (known.join() !== described.join()) {
      this.which.replaceChildren(...described.map((j) => h("option", { value: j }, this.history.measurement(j))));
      this.which.value = String(this.measurement);
    }
    this.whichRow.hidden = this.allRow.hidden = described.length < 2;
  }

  #mark() {
    const cycle = this.cycle;
    this.slider.value = cycle.k;
    this.place.textContent = `${count(cycle.k)} of ${count(this.history.last.k)}`;
    this.slider.setAttribute("aria-valuetext", `Cycle ${cycle.k}`);
    this.latest.hidden = this.selected === null;
    this.hover(null);
    this.#detail(cycle);
    this.heat.show(cycle.k);
  }

  #describe() {
    const view = this.history.view;
    this.about.replaceChildren(list([
      ["Cycle", count(view.cycle)],
      ["Members", count(view.members)],
      ["States", count(view.state_dim)],
      ["Measurements", count(view.measurement_dim)],
      ["Waiting for the next cycle", this.staged.size ? this.#staged(view.members) : null],
      ["Last change", h("time", { datetime: view.updated_at, title: moment(view.updated_at) }, relative(view.updated_at))],
      ["Expires", this.status.dataset.how === "ended" ? null : h("time", { datetime: view.expires_at, title: moment(view.expires_at) }, relative(view.expires_at))],
      ["Session", h("code", {}, view.id)],
    ]));
  }

  #staged(members) {
    const come = this.staged.size;
    return come <= members ? `${count(come)} of ${plural(members, "member")}` : plural(come, "member");
  }

  #detail(cycle) {
    const model = cycle.model;
    const entries = [
      ["Finished", moment(cycle.at)],
      ["Status", cycle.reason ? `${cycle.status}: ${cycle.reason}` : cycle.status],
      ["Sampler", cycle.score_evaluations ? `${cycle.sampler}, ${plural(cycle.score_evaluations, "score evaluation")}` : cycle.sampler],
      ["Model", model && modelName(model)],
      ["Scaling", model && model.scaling],
      ["Bandwidths", model && `h\u2093 ${number(model.state_bandwidth)}, h\u1d67 ${number(model.measurement_bandwidth)}`],
      ["Measurement kernel", model && model.measurement_kernel],
      ["Separate clouds", clouds(cycle.lobes)],
      ["Kernels shrunk", model && (model.shrink ? "yes" : "no")],
      ["Gaussian update", cycle.gaussian_preferred === null ? null : cycle.gaussian_preferred ? "would do as well" : "would do worse"],
      ["Effective members", `${number(cycle.effective_sample_size)} of ${cycle.used}`],
      ["Distance of y*", cycle.observation_distance === null ? null : `${number(cycle.observation_distance)} neighbour distances`],
      ["Time", "compute" in cycle.timings ? duration(cycle.timings.compute + cycle.timings.queue) : null],
      ["Seed", h("code", {}, String(cycle.seed))],
    ];
    this.detail.replaceChildren(h("h2", {}, `Cycle ${count(cycle.k)}`),
      list(entries.filter(([, value]) => value !== null && value !== undefined)));
  }
}
