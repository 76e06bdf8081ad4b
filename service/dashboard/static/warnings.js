// What the engine warned of: what was seen, what to do, and in which cycles.

import { h } from "./dom.js";
import { plural } from "./format.js";

const LINKS = 6;

/** Warnings of cycles by code, the most recent kind first. */
export function grouped(cycles) {
  const found = new Map();
  for (const cycle of cycles) {
    for (const warning of cycle.warnings) {
      const entry = found.get(warning.code) ?? { ...warning, cycles: [] };
      Object.assign(entry, { message: warning.message, advice: warning.advice });
      entry.cycles.push(cycle.k);
      found.set(warning.code, entry);
    }
  }
  return [...found.values()].sort((a, b) => b.cycles.at(-1) - a.cycles.at(-1));
}

export function warningItem(warning, tail = null) {
  return h("li", {},
    h("p", {}, h("code", { class: "tag" }, warning.code), " ", warning.message),
    h("p", { class: "advice" }, h("strong", {}, "What to do: "), warning.advice), tail);
}

export function warningsCard(select) {
  const body = h("div", {});
  const root = h("section", { class: "card warnings", "aria-label": "Warnings" }, h("h2", {}, "Warnings"), body);
  let drawn = "";
  const update = (cycles) => {
    root.hidden = cycles.length === 0;
    const found = grouped(cycles);
    // Redrawing would take the focus away from a button in here.
    const mark = JSON.stringify(found);
    if (mark === drawn) return;
    drawn = mark;
    root.classList.toggle("quiet-card", !found.length);
    body.replaceChildren(found.length ? h("ul", {}, found.map((item) => warningItem(item, where(item, select))))
      : h("p", { class: "faint" }, "None in these cycles."));
  };
  return { root, update };
}

function where(item, select) {
  const last = item.cycles.slice(-LINKS);
  return h("p", { class: "faint" }, `In ${plural(item.cycles.length, "cycle")}, latest: `,
    last.map((k) => h("button", { type: "button", class: "link", "aria-label": `Show cycle ${k}`, onclick: () => select(k) }, String(k))));
}
