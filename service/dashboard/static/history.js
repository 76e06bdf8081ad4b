// What is known of a session: its view, and brief facts about its latest cycles.

import { call, session } from "./api.js";

// Each described measurement adds about ten numbers to a cycle.
const WINDOW = 500;
const NUMBERS = 20_000;
const PAGE = 100;

const real = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);

/** Facts about one cycle, as the pictures need them. */
export function facts(view) {
  const found = view.diagnostics;
  const model = found.model && {
    ...found.model,
    state_bandwidth: real(found.model.state_bandwidth),
    measurement_bandwidth: real(found.model.measurement_bandwidth),
  };
  const members = new Map();
  const said = found.predicted;
  said?.index.forEach((index, place) => members.set(index, {
    observation: said.observation[place],
    mean: said.mean[place],
    std: said.std[place],
    rank: said.rank[place],
    quantiles: said.quantiles[place],
    innovation: (said.observation[place] - said.mean[place]) / said.std[place],
  }));
  return {
    ...found, model, predicted: members, k: view.cycle, at: view.created_at,
    timings: view.timings ?? {}, options: view.options,
    // Ranks are 0 to this.
    used: usedMembers(found),
  };
}

function usedMembers(found) {
  if (found.members_used) return found.members_used.length;
  const failed = found.warnings.find((item) => item.code === "members-failed");
  const left = failed && Number.parseInt(failed.message, 10);
  return found.n_members - (left || 0);
}

export class History {
  constructor(id, signal) {
    this.id = id;
    this.signal = signal;
    this.view = null;
    this.cycles = [];
  }

  get last() { return this.cycles.at(-1) ?? null; }
  get first() { return this.cycles[0] ?? null; }

  at(k) { return this.cycles[k - (this.first?.k ?? 0)] ?? null; }

  /** Cycles that fit into one picture without an unreasonable download. */
  get window() {
    const described = Math.max(1, Math.min(100, this.view.measurement_dim));
    return Math.max(PAGE, Math.min(WINDOW, Math.floor(NUMBERS / described)));
  }

  /** Fetch what is new; true when something is. */
  async refresh() {
    const before = this.view;
    this.view = await call(session(this.id), { signal: this.signal });
    let known = this.last?.k ?? Math.max(0, this.view.cycle - this.window);
    if (this.view.cycle - known > this.window) {
      // Away for long: rather a whole window anew than a gap.
      this.cycles = [];
      known = this.view.cycle - this.window;
    }
    const fresh = await this.#read(known, this.view.cycle);
    this.cycles.push(...fresh);
    return fresh.length > 0 || before?.version !== this.view.version;
  }

  /** One window further back. */
  async earlier() {
    const end = (this.first?.k ?? 1) - 1;
    if (end > 0) this.cycles.unshift(...await this.#read(Math.max(0, end - this.window), end));
  }

  async #read(after, until) {
    const found = [];
    while (after < until) {
      const limit = Math.min(PAGE, until - after);
      const page = await call(
        `${session(this.id)}/cycles?brief=true&after=${after}&limit=${limit}`,
        { signal: this.signal });
      if (!page.cycles.length) break;
      found.push(...page.cycles.map(facts));
      after = found.at(-1).k;
    }
    return found;
  }

  /** Name of measurement j, with its unit. */
  measurement(j) { return this.#named("measurements", j, "y"); }

  state(i) { return this.#named("states", i, "x"); }

  unitOf(kind, place) {
    const units = this.view?.metadata?.units?.[kind];
    const unit = Array.isArray(units) ? units[place] : units;
    return typeof unit === "string" && unit ? unit : null;
  }

  #named(kind, place, letter) {
    return this.view?.names?.[kind]?.[place] ?? `${letter}[${place}]`;
  }

  /** Measurements that were described in some cycle, in order. */
  get described() {
    const seen = new Set();
    for (const cycle of this.cycles) for (const j of cycle.predicted.keys()) seen.add(j);
    return [...seen].sort((a, b) => a - b);
  }
}
