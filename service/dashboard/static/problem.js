// What went wrong, in the service's own words: what came, what was wanted, what to do.

import { h } from "./dom.js";

export function problemBox(error, { retry, heading = "h1" } = {}) {
  const id = error.body?.request_id;
  // One place alone is often told already, word for word.
  const places = (error.errors ?? []).filter((item) => !error.message.includes(item.message));
  const advice = error.remedy ?? error.body?.remedy;
  // What is gone does not come back by asking.
  const gone = [404, 410].includes(error.status);
  return h("section", { class: "card problem", role: "alert" },
    h(heading, {}, error.title ?? "Something went wrong"),
    h("p", {}, error.message),
    places.length
      ? h("ul", {}, places.map((item) => h("li", {},
        item.pointer ? h("code", {}, item.pointer) : null, item.pointer ? ": " : "", item.message)))
      : null,
    advice && !error.message.includes(advice) ? h("p", {}, h("strong", {}, "What to do: "), advice) : null,
    h("p", { class: "row" },
      gone ? h("a", { href: "#/" }, "All sessions") : null,
      retry && !gone ? h("button", { type: "button", class: "primary", onclick: () => retry() }, "Try again") : null,
      error.kind ? h("a", { href: `problems/${error.kind}` }, "About this problem") : null),
    id ? h("p", { class: "faint" }, "Request ", h("code", {}, id)) : null);
}
