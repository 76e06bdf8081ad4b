// One analysis from files, in the browser: choose, run, look, download.

import { h } from "./dom.js";
import { call } from "./api.js";
import { number } from "./format.js";
import { readFile, writeNpy } from "./npy.js";
import { problemBox } from "./problem.js";
import { showResult } from "./result.js";
import { sample } from "./sample.js";

const FILES = [
  ["forecast_states", "Forecast states", "N × dx: one row per member."],
  ["simulated_measurements", "Simulated measurements", "N × dy: what the instrument would read in each member."],
  ["observation", "Observation", "dy numbers: what it did read. Empty or NaN: nothing came in."],
];

const OPTIONS = [
  { name: "measurement_error", label: "Measurement error", type: "number",
    help: "Standard deviation. Give it only if the simulated measurements are exact." },
  { name: "n_samples", label: "Samples", type: "number", step: 1, min: 1, help: "As many as members when empty." },
  { name: "seed", label: "Seed", type: "number", step: 1, min: 0, help: "The same seed gives the same samples." },
  { name: "preconditioner", label: "Regression", choices: ["auto", "none", "linear", "shrunk", "kernel"] },
  { name: "sampler", label: "Sampler", choices: ["ode", "exact", "sde", "rk45"] },
  { name: "failed_members", label: "Members with NaN", choices: ["error", "drop", "refill"] },
];

export function tryView(page) {
  page.titled("Try it");
  const arrays = {};
  const status = h("p", { class: "note", role: "status" });
  const result = h("div", { id: "result", tabindex: "-1" });
  const run = h("button", { type: "submit", class: "primary", disabled: true }, "Run analysis");
  const ready = () => {
    run.disabled = FILES.some(([name]) => !arrays[name]);
    const clash = run.disabled ? "" : disagreement(arrays);
    status.textContent = run.disabled ? wanting(arrays) : clash;
    status.classList.toggle("wrong", Boolean(clash));
    if (clash) run.disabled = true;
  };
  const fields = FILES.map(([name, label, help]) => fileField(name, label, help, (array) => {
    arrays[name] = array;
    ready();
  }));
  const useSample = h("button", { type: "button", onclick: () => {
    const made = sample();
    FILES.forEach(([name], i) => fields[i].set(made[name], "Sample: "));
  } }, "Use sample data");
  const options = optionFields();
  const form = h("form", { class: "try", novalidate: true },
    h("section", { class: "card" }, h("h2", {}, "Arrays"),
      h("p", { class: "about" }, "npy or CSV, one row per member. A first line of names is allowed in CSV. ", useSample),
      h("div", { class: "files" }, fields.map((field) => field.root))),
    h("section", { class: "card" }, h("h2", {}, "Options"), options.root),
    h("p", { class: "row" }, run, status));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    run.disabled = true;
    status.textContent = "Running…";
    try {
      const chosen = options.read();
      const began = performance.now();
      const answer = await call("v1/analyses", {
        method: "POST", body: formData(arrays, chosen), signal: page.signal,
      });
      status.textContent = `Done in ${number((performance.now() - began) / 1000)} s.`;
      showResult(result, answer, arrays.forecast_states);
      result.focus({ preventScroll: true });
      result.scrollIntoView({ block: "start" });
    } catch (error) {
      status.textContent = "";
      if (page.signal.aborted) return;
      if (error.status === 401) page.failed(error);
      else result.replaceChildren(problemBox(error, { heading: "h2" }));
    }
    run.disabled = false;
  });
  page.root.append(h("div", { class: "heading" }, h("h1", {}, "Try an analysis")),
    h("p", { class: "lead" }, "Three arrays in, samples of the states given the observation out. Nothing is kept by the service."),
    form, result);
}

function fileField(name, label, help, changed) {
  const input = h("input", {
    type: "file", id: name, accept: ".npy,.csv,.txt", "aria-describedby": `${name}-help ${name}-said`,
  });
  const said = h("p", { class: "said", id: `${name}-said`, role: "status" });
  const set = (array, from = "") => {
    said.textContent = from + summary(array);
    said.classList.remove("wrong");
    input.removeAttribute("aria-invalid");
    changed(array);
  };
  // Else a file that was mended and chosen again would not be read again.
  input.addEventListener("click", () => { input.value = ""; });
  input.addEventListener("change", async () => {
    if (!input.files.length) return;
    try {
      set(await readFile(input.files[0]));
    } catch (error) {
      said.textContent = error.message;
      said.classList.add("wrong");
      input.setAttribute("aria-invalid", "true");
      changed(null);
    }
  });
  const root = h("div", { class: "file" }, h("label", { for: name }, label), input,
    h("p", { class: "help", id: `${name}-help` }, help), said);
  return { root, set: (array, from) => { input.value = ""; set(array, from); } };
}

function summary(array) {
  const missing = array.numbers.reduce((sum, v) => sum + (Number.isNaN(v) ? 1 : 0), 0);
  const sizes = array.shape.join(" × ");
  return `${sizes} ${array.numbers.length === 1 ? "number" : "numbers"}${missing ? `, ${missing} missing` : ""}${array.names ? `: ${array.names.slice(0, 6).join(", ")}` : ""}`;
}

/** Which files are still to be chosen, once one is. */
function wanting(arrays) {
  const missing = FILES.filter(([name]) => !arrays[name]).map(([, label]) => label);
  return missing.length === FILES.length ? "" : `Still to be chosen: ${missing.join(", ")}.`;
}

/** What does not fit between the arrays, as far as it shows before sending. */
export function disagreement({ forecast_states: x, simulated_measurements: y, observation: o }) {
  if (x.shape[0] !== y.shape[0]) {
    return `There are ${x.shape[0]} states and ${y.shape[0]} simulated measurements: one row of each per member is wanted. `
      + (x.shape[1] === y.shape[0]
        ? "Members are columns here: send one member a row, the transpose."
        : "Send one simulated measurement for every member; NaN for one that crashed.");
  }
  const measured = y.shape[1] ?? 1;
  if (o.numbers.length !== measured) {
    return `The observation has ${o.numbers.length} numbers, the simulated measurements have ${measured} columns. `
      + "Send one number for each column; NaN for what was not observed.";
  }
  return "";
}

function optionFields() {
  const inputs = new Map();
  const field = (option) => {
    const id = `option-${option.name}`;
    const input = option.choices
      ? h("select", { id }, option.choices.map((value) => h("option", { value }, value)))
      : h("input", { id, type: option.type, step: option.step ?? "any", min: option.min ?? 0,
        "aria-describedby": option.help ? `${id}-help` : null });
    inputs.set(option, input);
    return h("div", { class: "option" }, h("label", { for: id }, option.label), input,
      option.help ? h("p", { class: "help", id: `${id}-help` }, option.help) : null);
  };
  const fields = OPTIONS.map(field);
  const more = h("textarea", { id: "option-more", rows: 3, spellcheck: "false", placeholder: '{"inflation": 1.05}' });
  const root = h("div", {}, h("div", { class: "options" }, fields),
    h("details", {}, h("summary", {}, "More options"),
      h("label", { for: "option-more" }, "As JSON, with the names of the interface"), more));
  const read = () => {
    const chosen = parsed(more.value);
    let seed = null;
    for (const [option, input] of inputs) {
      if (input.value === "" || input.value === option.choices?.[0]) continue;
      const value = option.choices ? input.value : Number(input.value);
      if (option.name === "seed") seed = value;
      else chosen[option.name] = value;
    }
    return { options: chosen, seed };
  };
  return { root, read };
}

function parsed(text) {
  if (!text.trim()) return {};
  try {
    return JSON.parse(text);
  } catch {
    throw Object.assign(new Error("More options: this is not JSON. Wanted an object such as {\"inflation\": 1.05}: names and texts in double quotation marks."),
      { title: "Options cannot be read" });
  }
}

function formData(arrays, { options, seed }) {
  const body = new FormData();
  for (const [name] of FILES) {
    const { numbers, shape } = arrays[name];
    const rows = name !== "observation" && shape.length === 1 ? [shape[0], 1] : shape;
    const flat = name === "observation" ? [numbers.length] : rows;
    body.append(name, new Blob([writeNpy(numbers, flat)], { type: "application/x-npy" }), `${name}.npy`);
  }
  // Drawn here, below 2^53: a seed of the service's own would not survive JavaScript.
  const params = { options, seed: seed ?? Math.floor(Math.random() * Number.MAX_SAFE_INTEGER) };
  body.append("params", new Blob([JSON.stringify(params)], { type: "application/json" }), "params.json");
  return body;
}

