// What each picture shows, from the history of a session.

import { extent, robust } from "./charts.js";
import { clouds, duration, modelName, number, percent } from "./format.js";
import { binsFor, histogram, ranksOf, reading } from "./ranks.js";

const CYCLE = "Cycle";

const across = (history) => [history.first.k - 0.6, history.last.k + 0.6];
const series = (history, read) => history.cycles.map((cycle) => {
  const value = read(cycle);
  return Number.isFinite(value) ? [cycle.k, value] : null;
});
const withUnit = (text, unit) => (unit ? `${text} [${unit}]` : text);
const values = (points, place = 1) => points.filter(Boolean).map((p) => p[place]);

/** The observation inside the simulated ensemble. */
export function fan(history, { measurement }) {
  const about = (cycle) => cycle.predicted.get(measurement);
  const at = (cycle, level) => about(cycle)?.quantiles[level];
  const known = history.cycles.filter(about);
  if (!known.length) return null;
  const band = (low, high) => history.cycles.map((c) => (about(c) ? [c.k, at(c, low), at(c, high)] : null));
  const isOut = (c) => about(c).observation < at(c, 0) || about(c).observation > at(c, 4);
  const dots = (want) => known.filter((c) => isOut(c) === want).map((c) => [c.k, about(c).observation]);
  const name = withUnit(history.measurement(measurement), history.unitOf("measurements", measurement));
  const size = 3;
  const out = dots(true);
  const domain = extent(robust(known.map((c) => about(c).observation),
    ...extent(known.flatMap((c) => [at(c, 0), at(c, 4)]), { pad: 0 })));
  const beyond = known.filter((c) => about(c).observation < domain[0] || about(c).observation > domain[1]).length;
  const range = (c, a, b) => (about(c) ? `${number(at(c, a))} to ${number(at(c, b))}` : "not observed");
  return {
    spec: {
      x: across(history), xLabel: CYCLE, yLabel: name,
      y: domain,
      layers: [
        { kind: "band", ink: "light", points: band(0, 4) },
        { kind: "band", ink: "mid", points: band(1, 3) },
        { kind: "line", ink: "main", points: history.cycles.map((c) => (about(c) ? [c.k, at(c, 2)] : null)) },
        { kind: "dots", ink: "seen", points: dots(false), size },
        { kind: "dots", ink: "alarm", shape: "diamond", points: out, size },
      ],
    },
    legend: [
      { kind: "dots", ink: "seen", label: "Observation", value: (c) => (about(c) ? number(about(c).observation) : "missing") },
      { kind: "dots", ink: "alarm", shape: "diamond", label: "Observation outside 5–95 %" },
      { kind: "line", ink: "main", label: "Median", value: (c) => number(at(c, 2)) },
      { kind: "band", ink: "mid", label: "25–75 %", value: (c) => range(c, 1, 3) },
      { kind: "band", ink: "light", label: "5–95 %", value: (c) => range(c, 0, 4) },
    ],
    note: `${out.length} of ${known.length} observations outside 5–95 %; about ${Math.round(known.length / 10)} are to be expected.${edge(beyond)}`,
    summary: `${name}: ${out.length} of ${known.length} observations outside the 5 to 95 percent range`,
    table: () => ({
      head: [CYCLE, "Observation", "5 %", "25 %", "Median", "75 %", "95 %"],
      rows: known.map((c) => [String(c.k), number(about(c).observation), ...about(c).quantiles.map(number)]),
    }),
  };
}

const edge = (beyond) => (beyond ? ` Triangles at the edge: ${beyond} beyond the axis.` : "");

/** Spread before and after. */
export function spread(history) {
  const units = history.view.metadata?.units?.states;
  const before = series(history, (c) => c.prior_spread);
  const after = series(history, (c) => c.posterior_spread);
  const last = history.last;
  return {
    spec: {
      x: across(history), xLabel: CYCLE, 
      // One unit for all, or the mean mixes several and has none worth a name.
      yLabel: withUnit("Spread", typeof units === "string" ? units : null),
      y: extent([...values(before), ...values(after)], { zero: true }),
      layers: [
        { kind: "line", ink: "second", points: before },
        { kind: "line", ink: "main", points: after },
      ],
    },
    legend: [
      { kind: "line", ink: "second", label: "Forecast", value: (c) => number(c.prior_spread) },
      { kind: "line", ink: "main", label: "Analysis", value: (c) => number(c.posterior_spread) },
    ],
    summary: `Last cycle: forecast ${number(last.prior_spread)}, analysis ${number(last.posterior_spread)}`,
    table: () => ({
      head: [CYCLE, "Forecast", "Analysis"],
      rows: history.cycles.map((c) => [String(c.k), number(c.prior_spread), number(c.posterior_spread)]),
    }),
  };
}

const meanSquare = (cycle) => {
  const all = [...cycle.predicted.values()].map((about) => about.innovation ** 2);
  return all.length ? Math.sqrt(all.reduce((a, b) => a + b, 0) / all.length) : NaN;
};

/** Innovation in units of the predicted spread. */
export function innovation(history, { measurement }) {
  const one = (c) => c.predicted.get(measurement)?.innovation;
  const points = series(history, one);
  if (!points.some(Boolean)) return null;
  const several = history.described.length > 1;
  const whole = several ? series(history, meanSquare) : [];
  const sizes = [...values(points), ...values(whole)].map(Math.abs);
  const reach = robust(sizes, 0, 2.6)[1] * 1.08;
  const beyond = values(points).filter((v) => Math.abs(v) > reach).length;
  const far = points.filter((p) => p && Math.abs(p[1]) > 2);
  const seen = points.filter(Boolean).length;
  const name = history.measurement(measurement);
  return {
    spec: {
      x: across(history), xLabel: CYCLE, yLabel: "Innovation / predicted deviation", y: [-reach, reach],
      layers: [
        { kind: "band", ink: "calm", points: across(history).map((k) => [k, -2, 2]) },
        { kind: "level", ink: "zero", at: 0 },
        ...(several ? [{ kind: "line", ink: "second", points: whole }] : []),
        { kind: "dots", ink: "seen", points: points.map((p) => (p && Math.abs(p[1]) <= 2 ? p : null)), size: 2.6 },
        { kind: "dots", ink: "alarm", shape: "diamond", points: far, size: 2.6 },
      ],
    },
    legend: [
      { kind: "dots", ink: "seen", label: name, value: (c) => number(one(c)) },
      { kind: "dots", ink: "alarm", shape: "diamond", label: "Beyond ±2" },
      ...(several ? [{ kind: "line", ink: "second", label: "Root mean square, all measurements", value: (c) => number(meanSquare(c)) }] : []),
      { kind: "band", ink: "calm", label: "±2" },
    ],
    note: `${far.length} of ${seen} beyond ±2; about ${Math.round(seen * 0.05)} are to be expected of a calibrated ensemble.${edge(beyond)}`,
    summary: `${name}: ${far.length} of ${seen} beyond two predicted deviations`,
    table: () => ({
      head: [CYCLE, name, ...(several ? ["Root mean square"] : [])],
      rows: history.cycles.map((c) => [String(c.k), number(one(c)), ...(several ? [number(meanSquare(c))] : [])]),
    }),
  };
}

/** Rank histogram with its expected band. */
export function ranks(history, { measurement, allRanks }) {
  const found = ranksOf(history.cycles, allRanks ? null : measurement);
  if (!found.length) return null;
  const bins = binsFor(found);
  const made = histogram(found, bins);
  const text = reading(made);
  const ratio = (value, bin) => value / made.expected[bin];
  const edges = made.band.flatMap(([low, high], bin) => [bin - 0.5, bin + 0.5]
    .map((at) => [at, ratio(low, bin), ratio(high, bin)]));
  return {
    timeless: true,
    spec: {
      x: [-0.5, bins - 0.5], xLabel: "Members below the observation", yLabel: "Count / expected count",
      xTicks: bins > 1 ? [0, (bins - 1) / 2, bins - 1] : [0],
      xName: (at) => (at === 0 ? "none" : at === bins - 1 ? "all" : "half"),
      y: extent([...made.counts.map(ratio), ...values(edges, 2), 1.2], { zero: true }),
      layers: [
        { kind: "band", ink: "expected", points: edges },
        { kind: "bars", ink: "main", points: made.counts.map((c, bin) => [bin, 0, ratio(c, bin)]), half: 0.3 },
        { kind: "level", ink: "expectation", at: 1 },
      ],
    },
    legend: [
      { kind: "bars", ink: "main", label: `Ranks (${found.length})` },
      { kind: "level", ink: "expectation", label: "Expected" },
      { kind: "band", ink: "expected", label: "95 % of calibrated, independent ranks" },
    ],
    note: text,
    summary: text,
    table: () => ({
      head: ["Bin", "Count", "Expected", "Band from", "Band to"],
      rows: made.counts.map((c, bin) => [String(bin + 1), number(c), number(made.expected[bin]), ...made.band[bin].map(number)]),
    }),
  };
}

/** Effective sample size of the weights. */
export function weights(history) {
  const share = (c) => c.effective_sample_size / c.used;
  const points = series(history, share);
  if (!points.some(Boolean)) return null;
  const last = history.last;
  const tell = (c) => `${number(c.effective_sample_size)} of ${c.used} (${percent(share(c))})`;
  return {
    spec: {
      x: across(history), xLabel: CYCLE, yLabel: "Share of members", y: [0, 1.04],
      layers: [
        { kind: "band", ink: "light", points: points.map((p) => p && [p[0], 0, p[1]]) },
        { kind: "line", ink: "main", points },
      ],
    },
    legend: [{ kind: "line", ink: "main", label: "Effective members", value: tell }],
    summary: `Last cycle: ${tell(last)}`,
    table: () => ({
      head: [CYCLE, "Effective members", "Members"],
      rows: history.cycles.map((c) => [String(c.k), number(c.effective_sample_size), String(c.used)]),
    }),
  };
}

/** What was chosen, cycle by cycle, with a lane for each. */
export function models(history) {
  const of = (c) => modelName(c.model);
  const lanes = [...new Set(history.cycles.map(of))].sort();
  const last = history.last;
  return {
    height: 74 + 26 * lanes.length,
    spec: {
      x: across(history), xLabel: CYCLE, y: [lanes.length - 0.5, -0.5],
      lanes,
      layers: lanes.map((kind, lane) => ({
        kind: "bars", ink: "main", half: 0.5,
        points: history.cycles.filter((c) => of(c) === kind).map((c) => [c.k, lane - 0.26, lane + 0.26]),
      })),
    },
    legend: [{
      kind: "bars", ink: "main", label: "Model of the cycle",
      value: (c) => (c.model ? `${of(c)}, ${c.model.scaling}` : c.reason ?? "unchanged"),
    }],
    summary: `Last cycle: ${of(last)}`,
    table: () => ({
      head: [CYCLE, "Model", "Regression", "Measurement kernel", "Scaling", "Drawn by", "Score", "Gaussian score", "Separate clouds"],
      rows: history.cycles.map((c) => [String(c.k), of(c), c.model?.preconditioner ?? "–",
        c.model?.measurement_kernel ?? "–", c.model?.scaling ?? "–", c.sampler,
        number(c.model?.score), number(c.model?.gaussian_score), clouds(c.lobes) ?? "–"]),
    }),
  };
}

/** Bandwidths on a logarithmic axis, infinite ones along its upper edge. */
export function bandwidths(history) {
  const of = (name) => (c) => c.model?.[`${name}_bandwidth`];
  const [hx, hy] = [of("state"), of("measurement")];
  const all = history.cycles.flatMap((c) => [hx(c), hy(c)]);
  const range = extent(all, { log: true });
  const infinite = history.cycles.filter((c) => hy(c) === Infinity);
  if (!range && !infinite.length) return null;
  const [low, high] = range ?? [0.1, 1];
  const top = infinite.length ? high * (high / low) ** 0.12 : high;
  const edge = infinite.length ? high * (high / low) ** 0.06 : high;
  return {
    spec: {
      x: across(history), xLabel: CYCLE, yLabel: "Bandwidth [scaled units]", yScale: "log", y: [low, top],
      layers: [
        { kind: "line", ink: "second", points: series(history, hx) },
        { kind: "line", ink: "main", points: series(history, hy) },
        { kind: "dots", ink: "seen", shape: "square", size: 1.6, points: infinite.map((c) => [c.k, edge]) },
      ],
    },
    legend: [
      { kind: "line", ink: "second", label: "States, h\u2093", value: (c) => number(hx(c)) },
      { kind: "line", ink: "main", label: "Measurements, h\u1d67", value: (c) => number(hy(c)) },
      ...(infinite.length ? [{ kind: "dots", ink: "seen", shape: "square", label: "h\u1d67 = ∞ (all members weigh alike)" }] : []),
    ],
    note: infinite.length ? `The measurement bandwidth was infinite in ${infinite.length} of ${history.cycles.length} cycles.` : "",
    summary: `Last cycle: states ${number(hx(history.last))}, measurements ${number(hy(history.last))}`,
    table: () => ({
      head: [CYCLE, "States", "Measurements", "Start of the flow", "Units"],
      rows: history.cycles.map((c) => [String(c.k), number(hx(c)), number(hy(c)),
        number(c.model?.max_bandwidth), c.model?.measurement_kernel ?? "–"]),
    }),
  };
}

/** How long the service took. */
export function timings(history) {
  const ms = (c, name) => 1000 * (c.timings[name] ?? NaN);
  const whole = (c) => ms(c, "queue") + ms(c, "compute");
  const known = history.cycles.filter((c) => Number.isFinite(whole(c)));
  if (!known.length) return null;
  const middle = known.map(whole).sort((a, b) => a - b)[known.length >> 1];
  const tell = (name) => (c) => (name in c.timings ? duration(c.timings[name]) : "not noted");
  return {
    spec: {
      x: across(history), xLabel: CYCLE, yLabel: "Time [ms]", y: extent(known.map(whole), { zero: true }),
      layers: [
        { kind: "bars", ink: "main", half: 0.45, points: known.map((c) => [c.k, 0, ms(c, "compute")]) },
        { kind: "bars", ink: "warm", half: 0.45, points: known.map((c) => [c.k, ms(c, "compute"), whole(c)]) },
      ],
    },
    legend: [
      { kind: "bars", ink: "main", label: "Computing", value: tell("compute") },
      { kind: "bars", ink: "warm", label: "Waiting for a worker", value: tell("queue") },
    ],
    note: `Median ${duration(middle / 1000)} a cycle.`,
    summary: `Median ${duration(middle / 1000)} a cycle`,
    table: () => ({
      head: [CYCLE, "Computing", "Waiting"],
      rows: known.map((c) => [String(c.k), tell("compute")(c), tell("queue")(c)]),
    }),
  };
}
