// The page: which view the fragment asks for, colours, and the key where one is needed.

import { h } from "./dom.js";
import { login, logout } from "./api.js";
import { problemBox } from "./problem.js";
import { sessionsView } from "./sessions.js";
import { sessionView } from "./session.js";
import { tryView } from "./tryit.js";

const main = document.getElementById("main");
const VIEWS = [
  { pattern: /^#\/?$/, page: "sessions", view: sessionsView },
  { pattern: /^#\/sessions\/([A-Za-z0-9_-]{1,64})$/, page: "sessions", view: sessionView },
  { pattern: /^#\/try$/, page: "try", view: tryView },
];

let current = null;
let moved = false;

/** Show what the fragment names; a view may ask for a key on the way. */
function show() {
  if (location.hash === "#main") return;
  current?.abort();
  current = new AbortController();
  const found = VIEWS.map((entry) => ({ ...entry, match: entry.pattern.exec(location.hash || "#/") }))
    .find((entry) => entry.match);
  for (const link of document.querySelectorAll("nav a[data-page]")) {
    if (link.dataset.page === found?.page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren();
  const page = {
    root: main,
    signal: current.signal,
    failed: (error, retry = show) => fail(error, retry),
    titled: (text) => { document.title = `${text} · CCDM`; },
  };
  if (!found) {
    page.titled("Not found");
    main.append(h("section", { class: "card problem" },
      h("h1", {}, "Not found"), h("p", {}, "There is no such page."),
      h("p", {}, h("a", { href: "#/" }, "All sessions"))));
  } else {
    found.view(page, ...found.match.slice(1));
  }
  // Not at first: a page that has just been opened begins at its top.
  if (moved) main.focus({ preventScroll: true });
  if (moved) window.scrollTo(0, 0);
  moved = true;
}

function fail(error, retry) {
  if (error.name === "AbortError") return;
  current.abort();
  if (error.status === 401) askForKey(error);
  else main.replaceChildren(problemBox(error, { retry }));
}

function askForKey(error) {
  document.title = "API key · CCDM";
  const message = h("p", { class: "wrong", role: "alert", id: "key-error" });
  const field = h("input", {
    id: "key", type: "password", autocomplete: "current-password", required: true,
    spellcheck: "false", "aria-describedby": "key-help key-error",
  });
  const form = h("form", { class: "card narrow" },
    h("h1", {}, "API key"),
    h("p", { id: "key-help" }, "This service asks for a key. It is kept in a cookie that no page can read, until the browser is closed."),
    // For those who let their browser keep keys: it wants to know whose.
    h("input", { type: "text", autocomplete: "username", value: "api-key", hidden: true, "aria-hidden": "true" }),
    h("label", { for: "key" }, "Key"), field, message,
    h("button", { type: "submit", class: "primary" }, "Continue"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    message.textContent = "";
    try {
      await login(field.value);
      sessionStorage.setItem("ccdm-key-kept", "1");
      showLogout();
      show();
    } catch (problem) {
      message.textContent = problem.status === 401 ? "This key is not known." : problem.message;
      field.setAttribute("aria-invalid", "true");
      field.select();
    }
  });
  main.replaceChildren(form);
  if (!error.quiet) field.focus();
}

function showLogout() {
  const button = document.getElementById("logout");
  button.hidden = !sessionStorage.getItem("ccdm-key-kept");
}

document.getElementById("logout").addEventListener("click", async () => {
  try {
    await logout();
  } finally {
    sessionStorage.removeItem("ccdm-key-kept");
    showLogout();
    show();
  }
});

const theme = document.getElementById("theme");
theme.value = localStorage.getItem("ccdm-theme") ?? "auto";
const paint = () => { document.documentElement.dataset.theme = theme.value; };
theme.addEventListener("change", () => {
  localStorage.setItem("ccdm-theme", theme.value);
  paint();
  document.dispatchEvent(new Event("ccdm-theme"));
});
paint();
showLogout();
window.addEventListener("hashchange", show);
show();
