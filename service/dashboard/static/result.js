// The analysis of the try-it page: forecast against analysis, facts, files to keep.

import { facts, h, table } from "./dom.js";
import { extent } from "./charts.js";
import { clouds, modelName, number } from "./format.js";
import { writeCsv, writeNpy } from "./npy.js";
import { Panel } from "./panel.js";
import { warningItem } from "./warnings.js";

const MOST_POINTS = 1500;
const MOST_ROWS = 50;
const BINS = 30;

export function showResult(root, answer, forecast) {
  const samples = answer.analysis_samples;
  const dx = samples[0].length;
  const names = forecast.names?.length === dx ? forecast.names : samples[0].map((_, j) => `x${j}`);
  const before = rowsOf(forecast, dx);
  const found = answer.diagnostics;
  const which = h("select", { id: "state-a" }, names.slice(0, 1000).map((name, j) => h("option", { value: j }, name)));
  const other = h("select", { id: "state-b" }, names.slice(0, 1000).map((name, j) => h("option", { value: j, selected: j === 1 }, name)));
  const panels = [new Panel({
    title: "One state", about: "Forecast and analysis, as shares of the samples.", height: 260,
    build: () => marginal(column(before, which), column(samples, which), names[which.value]),
  })];
  if (dx > 1) {
    panels.push(new Panel({
      title: "Two states", about: "Each dot is a member or a sample.", height: 260,
      build: () => scatter(pairs(before, which, other), pairs(samples, which, other), names[which.value], names[other.value]),
    }));
  }
  const draw = () => panels.forEach((panel) => panel.update());
  which.addEventListener("change", draw);
  other.addEventListener("change", draw);
  root.replaceChildren(...[
    h("div", { class: "heading" }, h("h2", {}, "Analysis"), h("p", { class: "row" },
      h("button", { type: "button", onclick: () => save("analysis.csv", writeCsv(samples, names), "text/csv") }, "Download CSV"),
      h("button", { type: "button", onclick: () => save("analysis.npy", writeNpy(samples.flat(), [samples.length, dx]), "application/octet-stream") }, "Download npy"))),
    found.warnings.length
      ? h("section", { class: "card warnings", "aria-label": "Warnings" }, h("h3", {}, "Warnings"), h("ul", {}, found.warnings.map((item) => warningItem(item))))
      : null,
    h("section", { class: "card detail", "aria-label": "Facts" }, about(found)),
    h("div", { class: "controls card", role: "group", "aria-label": "What is shown" },
      h("div", { class: "control" }, h("label", { for: "state-a" }, "State"), which),
      dx > 1 ? h("div", { class: "control" }, h("label", { for: "state-b" }, "against"), other) : null),
    h("div", { class: "cards" }, panels.map((panel) => panel.root)),
    h("section", { class: "card flush" }, summary(before, samples, names)),
  ].filter(Boolean));
  draw();
}

const rowsOf = ({ numbers, shape }, dx) =>
  Array.from({ length: shape[0] }, (_, i) => Array.from(numbers.slice(i * dx, (i + 1) * dx)));
const column = (rows, which) => rows.map((row) => row[which.value]).filter(Number.isFinite);
const pairs = (rows, a, b) => rows.map((row) => [row[a.value], row[b.value]]).filter((p) => p.every(Number.isFinite));

function about(found) {
  const model = found.model;
  return facts([
    ["Status", found.reason ? `${found.status}: ${found.reason}` : found.status],
    ["Effective members", `${number(found.effective_sample_size)} of ${found.members_used.length}`],
    ["Model", model && modelName(model)],
    ["Separate clouds", clouds(found.lobes)],
    ["Bandwidths", model && `h\u2093 ${number(real(model.state_bandwidth))}, h\u1d67 ${number(real(model.measurement_bandwidth))}`],
    ["Spread", `${number(found.prior_spread)} to ${number(found.posterior_spread)}`],
    ["Sampler", found.sampler],
    ["Distance of y*", found.observation_distance === null ? null : `${number(found.observation_distance)} neighbour distances`],
    ["Seed", h("code", {}, String(found.seed))],
  ].filter(([, value]) => value !== null && value !== undefined));
}

const real = (value) => (value === "inf" ? Infinity : value);

function marginal(before, after, name) {
  const range = extent([...before, ...after], { pad: 0.02 });
  const width = (range[1] - range[0]) / BINS;
  const share = (values) => {
    const counts = new Array(BINS).fill(0);
    for (const v of values) counts[Math.min(BINS - 1, Math.floor((v - range[0]) / width))] += 1;
    return counts.map((c) => c / values.length);
  };
  const [prior, posterior] = [share(before), share(after)];
  const middle = (bin) => range[0] + (bin + 0.5) * width;
  const steps = prior.flatMap((v, bin) => [[middle(bin) - width / 2, v], [middle(bin) + width / 2, v]]);
  return {
    timeless: true,
    spec: {
      x: range, xLabel: name, xTick: "real", yLabel: "Share of samples",
      y: extent([...prior, ...posterior], { zero: true }),
      layers: [
        { kind: "bars", ink: "main", half: 0.45 * width, points: posterior.map((v, bin) => [middle(bin), 0, v]) },
        { kind: "line", ink: "second", points: steps },
      ],
    },
    legend: [
      { kind: "line", ink: "second", label: `Forecast (${before.length})` },
      { kind: "bars", ink: "main", label: `Analysis (${after.length})` },
    ],
    summary: `${name}: forecast ${tell(before)}, analysis ${tell(after)}`,
    table: () => ({
      head: [name, "Forecast", "Analysis"],
      rows: prior.map((v, bin) => [number(middle(bin)), number(v), number(posterior[bin])]),
    }),
  };
}

function scatter(before, after, nameA, nameB) {
  const thin = (points) => points.slice(0, MOST_POINTS);
  const all = [...thin(before), ...thin(after)];
  return {
    timeless: true,
    spec: {
      x: extent(all.map((p) => p[0])), y: extent(all.map((p) => p[1])), xTick: "real", xLabel: nameA, yLabel: nameB,
      layers: [
        { kind: "dots", ink: "second faded", shape: "square", size: 2, points: thin(before) },
        { kind: "dots", ink: "main faded", size: 2.4, points: thin(after) },
      ],
    },
    legend: [
      { kind: "dots", ink: "second", shape: "square", label: "Forecast" },
      { kind: "dots", ink: "main", label: "Analysis" },
    ],
    note: all.length < before.length + after.length ? `The first ${MOST_POINTS} of each are shown.` : "",
    summary: `${nameB} against ${nameA}`,
    table: () => ({ head: ["Sample", nameA, nameB], rows: after.map((p, i) => [String(i), ...p.map(number)]) }),
  };
}

function moments(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const square = values.reduce((a, b) => a + (b - mean) ** 2, 0);
  return [mean, Math.sqrt(square / Math.max(1, values.length - 1))];
}

const tell = (values) => moments(values).map(number).join(" ± ");

function summary(before, after, names) {
  const shown = names.slice(0, MOST_ROWS);
  const of = (rows, j) => tell(rows.map((row) => row[j]).filter(Number.isFinite));
  const made = table("Mean and standard deviation of each state",
    ["State", "Forecast", "Analysis"],
    shown.map((name, j) => [name, of(before, j), of(after, j)]));
  made.classList.add("summary");
  return [h("h3", { class: "pad" }, "Mean ± standard deviation"), made, names.length > MOST_ROWS ? h("p", { class: "note pad" }, `The first ${MOST_ROWS} of ${names.length} states.`) : null];
}

function save(name, content, type) {
  const link = h("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
