// All sessions of this key.

import { h } from "./dom.js";
import { call } from "./api.js";
import { count, moment, relative } from "./format.js";

const EVERY = 3000;
const PAGE = 200;

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
  const note = h("p", { class: "faint", role: "status" });
  const filter = h("input", { id: "filter", type: "search", placeholder: "Title or id", autocomplete: "off" });
  const tools = h("div", { class: "row tools-row", hidden: true },
    h("label", { for: "filter" }, "Filter"), filter);
  page.root.append(
    h("div", { class: "heading" }, h("h1", {}, "Sessions"), tools), note, body);
  let sessions = null;
  const draw = () => {
    if (!sessions) return;
    tools.hidden = sessions.length < 2;
    const wanted = filter.value.trim().toLowerCase();
    const found = sessions.filter((item) =>
      `${titleOf(item)} ${item.id}`.toLowerCase().includes(wanted));
    body.replaceChildren(sessions.length === 0 ? empty()
      : found.length ? listed(found) : h("p", {}, "No session matches the filter."));
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

function listed(sessions) {
  const head = ["Session", "Cycle", "Members", "States", "Measurements", "Last change", "Expires"];
  return h("div", { class: "card flush" }, h("table", { class: "sessions" },
    h("caption", { class: "hidden" }, "Sessions, latest change first"),
    h("thead", {}, h("tr", {}, head.map((text, place) =>
      h("th", { scope: "col", class: place > 0 && place < 5 ? "numeric" : null }, text)))),
    h("tbody", {}, sessions.map(row))));
}

function row(item) {
  const title = titleOf(item);
  const cell = (label, text) => h("td", { class: "numeric", "data-label": label }, text);
  return h("tr", {},
    h("th", { scope: "row" },
      h("a", { href: `#/sessions/${item.id}` }, title),
      title === item.id ? null : h("code", { class: "faint id" }, item.id)),
    cell("Cycle", count(item.cycle)),
    cell("Members", count(item.members)),
    cell("States", count(item.state_dim)),
    cell("Measurements", count(item.measurement_dim)),
    h("td", { "data-label": "Last change" }, time(item.updated_at)),
    h("td", { "data-label": "Expires" }, time(item.expires_at)));
}

const time = (text) => h("time", { datetime: text, title: moment(text) }, relative(text));

function empty() {
  return h("section", { class: "card empty" },
    h("h2", {}, "No sessions yet"),
    h("p", {}, "A session appears here as soon as a simulator creates one with ",
      h("code", {}, "POST /v1/sessions"), ", and draws itself while cycles come in."),
    h("p", { class: "row" },
      h("a", { class: "button primary", href: "#/try" }, "Try an analysis"),
      h("a", { class: "button", href: "docs" }, "Read the interface")));
}

