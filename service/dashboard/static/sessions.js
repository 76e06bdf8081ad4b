// All sessions of this key.

import { h } from "./dom.js";
import { call } from "./api.js";
import { count, moment, relative } from "./format.js";

const EVERY = 3000;
const PAGE = 200;
// How long after a touch of the list its order is left alone.
const IN_USE = 5000;
const NUMBERS = [["Cycle", "cycle"], ["Members", "members"], ["States", "state_dim"], ["Measurements", "measurement_dim"]];
const TIMES = [["Last change", "updated_at"], ["Expires", "expires_at"]];

/** What a session is called: its title, name or experiment, else its id. */
export function titleOf(session) {
  const notes = session.metadata ?? {};
  const named = [notes.title, notes.name, notes.experiment].find(
    (text) => typeof text === "string" && text.trim());
  return named ?? session.id;
}

export function sessionsView(page) {
  page.titled("Sessions");
  const body = h("div", { "aria-live": "off" }, h("p", { class: "faint" }, "Loading…"));
  const note = h("p", { class: "stale", role: "status" });
  const filter = h("input", { id: "filter", type: "search", placeholder: "Title or id", autocomplete: "off" });
  const tools = h("div", { class: "row tools-row", hidden: true },
    h("label", { for: "filter" }, "Filter"), filter);
  page.root.append(
    h("div", { class: "heading" }, h("h1", {}, "Sessions"), tools), note, body);
  const none = h("p", {}, "No session matches the filter.");
  const nobody = empty();
  const rows = new Rows();
  let sessions = null;
  const draw = () => {
    if (!sessions) return;
    tools.hidden = sessions.length < 2;
    const wanted = filter.value.trim().toLowerCase();
    const found = sessions.filter((item) =>
      `${titleOf(item)} ${item.id}`.toLowerCase().includes(wanted));
    rows.update(found);
    const shown = sessions.length === 0 ? nobody : found.length ? rows.root : none;
    // Taken out and put in again, even the same element would lose its focus.
    if (body.firstChild !== shown) body.replaceChildren(shown);
  };
  filter.addEventListener("input", draw);
  const load = async () => {
    try {
      sessions = await all(page.signal);
      note.textContent = "";
      draw();
    } catch (error) {
      if (page.signal.aborted) return;
      if (sessions === null || error.status === 401) return page.failed(error);
      // What was known stays on the screen, and the page says that it is old.
      note.textContent = `${error.message} Trying again.`;
    }
    const timer = setTimeout(load, EVERY);
    page.signal.addEventListener("abort", () => clearTimeout(timer));
  };
  load();
}

async function all(signal) {
  const found = [];
  let after = "";
  do {
    const page = await call(`v1/sessions?limit=${PAGE}${after}`, { signal });
    found.push(...page.sessions);
    after = page.next ? `&after=${encodeURIComponent(page.next)}` : null;
  } while (after && found.length < 2000);
  return found.sort((a, b) => b.updated_at.localeCompare(a.updated_at));
}

const HEAD = ["Session", ...NUMBERS.map(([label]) => label), ...TIMES.map(([label]) => label)];

/** The table, changed in place: who reads, points or types in it keeps the place. */
class Rows {
  constructor() {
    this.known = new Map();
    this.used = -Infinity;
    this.body = h("tbody");
    for (const kind of ["pointermove", "pointerdown", "focusin", "keydown"]) {
      this.body.addEventListener(kind, () => { this.used = Date.now(); });
    }
    this.root = h("div", { class: "card flush" }, h("table", { class: "sessions" },
      h("caption", { class: "hidden" }, "Sessions, latest change first"),
      h("thead", {}, h("tr", {}, HEAD.map((text, place) =>
        h("th", { scope: "col", class: place > 0 && place <= NUMBERS.length ? "numeric" : null }, text)))),
      this.body));
  }

  update(sessions) {
    const before = this.known;
    this.known = new Map(this.#ordered(sessions).map((item) => {
      const row = before.get(item.id) ?? madeRow(item.id);
      row.update(item);
      return [item.id, row];
    }));
    arrange(this.body, [...this.known.values()].map((row) => row.root));
  }

  /** As they come, but nothing changes places under a hand: new ones come first. */
  #ordered(sessions) {
    if (Date.now() - this.used > IN_USE) return sessions;
    const places = new Map([...this.known.keys()].map((id, place) => [id, place]));
    return [...sessions].sort((a, b) => (places.get(a.id) ?? -1) - (places.get(b.id) ?? -1));
  }
}

/** Make these the children. An element that moves loses its focus: others move around it. */
function arrange(parent, wanted) {
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  const focused = wanted.find((child) => child.contains(document.activeElement));
  let at = parent.firstChild;
  for (const child of wanted) {
    while (child === focused && at !== child) {
      const next = at.nextSibling;
      parent.append(at);
      at = next;
    }
    if (at === child) at = child.nextSibling;
    else parent.insertBefore(child, at);
  }
}

function madeRow(id) {
  const link = h("a", { href: `#/sessions/${id}` });
  const code = h("code", { class: "faint id" }, id);
  const numbers = NUMBERS.map(([label]) => h("td", { class: "numeric", "data-label": label }));
  const times = TIMES.map(() => h("time"));
  const root = h("tr", {}, h("th", { scope: "row" }, link, code), numbers,
    times.map((time, place) => h("td", { class: "when", "data-label": TIMES[place][0] }, time)));
  const update = (item) => {
    const title = titleOf(item);
    set(link, title, title);
    code.hidden = title === id;
    numbers.forEach((cell, place) => set(cell, count(item[NUMBERS[place][1]])));
    times.forEach((time, place) => {
      const at = item[TIMES[place][1]];
      set(time, relative(at), moment(at));
      time.dateTime = at;
    });
  };
  return { root, update };
}

/** Only what differs: a text that is written anew is no longer selected. */
function set(element, text, title = "") {
  if (element.textContent !== text) element.textContent = text;
  if (element.title !== title) element.title = title;
}

function empty() {
  return h("section", { class: "card empty" },
    h("h2", {}, "No sessions yet"),
    h("p", {}, "A session appears here as soon as a simulator creates one with ",
      h("code", {}, "POST /v1/sessions"), ", and draws itself while cycles come in."),
    h("p", { class: "row" },
      h("a", { class: "button primary", href: "#/try" }, "Try an analysis"),
      h("a", { class: "button", href: "docs" }, "Read the interface")));
}

