// Axes, lines, bands and bars as SVG, in real pixels so that type keeps its size.

import { s } from "./dom.js";
import { number } from "./format.js";

/** About n round numbers in [low, high]. */
export function ticks(low, high, n) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, n);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((m) => m * power >= rough) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * span; i += 1) {
    found.push(i === 0 ? 0 : Number((i * step).toPrecision(12)));
  }
  return found;
}

/** Whole numbers, for cycles. */
export const wholeTicks = (low, high, n) =>
  ticks(low, high, n).filter(Number.isInteger);

export function logTicks(low, high, n) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const digits = last - first <= 1 ? [1, 2, 3, 5, 7] : last - first <= 3 ? [1, 2, 5] : [1];
  const found = [];
  for (let power = first; power <= last; power += 1) {
    for (const digit of digits) found.push(Number((digit * 10 ** power).toPrecision(6)));
  }
  const inside = found.filter((v) => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9));
  const stride = Math.ceil(inside.length / Math.max(2, n * 1.5));
  return inside.length >= 2 ? inside.filter((_, i) => i % stride === 0) : ticks(low, high, 3);
}

/** A little room around values; null where there are none. */
export function extent(values, { zero = false, log = false, pad = 0.06 } = {}) {
  const known = values.filter((v) => Number.isFinite(v) && (!log || v > 0));
  if (!known.length) return null;
  let low = known.reduce((a, b) => Math.min(a, b));
  let high = known.reduce((a, b) => Math.max(a, b));
  if (log) {
    const room = Math.max(1.25, (high / low) ** pad);
    return [low / room, high * room];
  }
  if (zero) low = Math.min(0, low);
  if (low === high) {
    const room = Math.abs(low) * 0.1 || 1;
    return zero && low === 0 ? [0, room] : [low - room, high + room];
  }
  const room = pad * (high - low);
  return [zero && low === 0 ? 0 : low - room, high + room];
}

/** A domain that single wild values cannot stretch beyond all use. */
export function robust(values, least, most) {
  const known = values.filter(Number.isFinite).sort((a, b) => a - b);
  const at = (share) => known[Math.round(share * (known.length - 1))];
  const room = 0.5 * (at(0.98) - at(0.02));
  return [
    Math.min(least, Math.max(known[0], at(0.02) - room)),
    Math.max(most, Math.min(known.at(-1), at(0.98) + room)),
  ];
}

/** From data to pixels. */
export function scale([low, high], [from, to], log = false) {
  const f = log ? Math.log : (v) => v;
  const a = f(low);
  const ratio = (to - from) / (f(high) - a || 1);
  return (value) => from + (f(value) - a) * ratio;
}

/** The same within its domain; `beyond` names the edge that a value was moved to. */
function clipped(f, [low, high]) {
  const [least, most] = low < high ? [low, high] : [high, low];
  const y = (value) => f(Math.max(least, Math.min(most, value)));
  y.beyond = (value) => (value > most ? "up" : value < least ? "down" : null);
  return y;
}

const px = (value) => value.toFixed(2);

/** Runs without gaps; a point alone becomes a short stretch, so that it is seen. */
function runs(points) {
  const found = [];
  let run = [];
  for (const point of points) {
    if (point) run.push(point);
    else if (run.length) { found.push(run); run = []; }
  }
  if (run.length) found.push(run);
  return found.map((one) => (one.length > 1 ? one
    : [[one[0][0] - 0.35, ...one[0].slice(1)], [one[0][0] + 0.35, ...one[0].slice(1)]]));
}

const LAYERS = {
  line: (layer, x, y) => runs(layer.points).map((run) => s("path", {
    class: `line ${layer.ink}`,
    d: run.map((p, i) => `${i ? "L" : "M"}${px(x(p[0]))} ${px(y(p[1]))}`).join(""),
  })),
  band: (layer, x, y) => runs(layer.points).map((run) => s("path", {
    class: `band ${layer.ink}`,
    d: `M${run.map((p) => `${px(x(p[0]))} ${px(y(p[2]))}`).join("L")}` +
      `L${[...run].reverse().map((p) => `${px(x(p[0]))} ${px(y(p[1]))}`).join("L")}Z`,
  })),
  dots: (layer, x, y, box) => layer.points.filter(Boolean).map((p) =>
    mark(y.beyond(p[1]) ?? layer.shape, x(p[0]), y(p[1]), Math.min(layer.size ?? 3, box.room), `dot ${layer.ink}`)),
  bars: (layer, x, y) => layer.points.filter(Boolean).map((p) => {
    const half = layer.half ?? 0.4;
    const [top, bottom] = [y(p[1]), y(p[2])].sort((a, b) => a - b);
    return s("rect", {
      class: `bar ${layer.ink}`, x: px(x(p[0] - half)), y: px(top),
      width: px(Math.max(0.6, x(p[0] + half) - x(p[0] - half))), height: px(Math.max(0, bottom - top)),
    });
  }),
  level: (layer, x, y, box) => s("line", {
    class: `level ${layer.ink}`, x1: box.left, x2: box.right,
    y1: px(y(layer.at)), y2: px(y(layer.at)),
  }),
};

/** Shapes tell apart what colours may not. */
export function mark(shape, x, y, r, ink) {
  if (shape === "diamond") {
    const d = r * 1.5;
    return s("path", { class: ink, d: `M${px(x)} ${px(y - d)}l${d} ${d}l${-d} ${d}l${-d} ${-d}Z` });
  }
  if (shape === "up" || shape === "down") {
    const d = r * (shape === "up" ? 1.8 : -1.8);
    return s("path", { class: ink, d: `M${px(x)} ${px(y)}l${px(Math.abs(d))} ${px(d)}h${px(-2 * Math.abs(d))}Z` });
  }
  if (shape === "square") {
    return s("rect", { class: ink, x: px(x - r), y: px(y - r), width: 2 * r, height: 2 * r });
  }
  return s("circle", { class: ink, cx: px(x), cy: px(y), r });
}

const WIDE = 7.2;

/** A name as far as there is room; the picture's label tells it in full. */
function shortened(text, width) {
  const room = Math.max(8, Math.floor(width / WIDE));
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}

/**
 * One picture.
 *
 * @param spec x and y domains, labels, layers, lanes or log axis; `cursor` a cycle
 * @param size width and height in pixels
 * @returns the svg, and functions between cycles and pixels
 */
export function draw(spec, { width, height }) {
  const log = spec.yScale === "log";
  const yTicks = spec.lanes ? spec.lanes.map((_, i) => i)
    : (log ? logTicks : ticks)(...spec.y, Math.max(3, Math.floor(height / 36)));
  const names = yTicks.map((v) => (spec.lanes ? spec.lanes[v] : number(v)));
  const box = {
    left: Math.max(34, 12 + WIDE * Math.max(...names.map((t) => t.length))),
    right: width - 10, top: spec.yLabel ? 24 : 10, bottom: height - 36,
  };
  const x = scale(spec.x, [box.left, box.right]);
  // Cycles close together get smaller dots.
  box.room = spec.xTick === "real" ? Infinity : Math.max(1.5, 0.45 * (x(1) - x(0)));
  const y = clipped(scale(spec.y, [box.bottom, box.top], log), spec.y);
  const xTicks = spec.xTicks ?? (spec.xTick === "real" ? ticks : wholeTicks)(...spec.x, Math.floor((box.right - box.left) / 55));
  const svg = s("svg", {
    class: "chart", width, height, viewBox: `0 0 ${width} ${height}`,
    role: "img", "aria-label": spec.label,
  },
  s("g", { class: "axes", "aria-hidden": "true" },
    yTicks.map((v, i) => [
      s("line", { class: "gridline", x1: box.left, x2: box.right, y1: px(y(v)), y2: px(y(v)) }),
      s("text", { x: box.left - 7, y: px(y(v)), dy: "0.34em", "text-anchor": "end" }, names[i]),
    ]),
    xTicks.map((v) => [
      s("line", { class: "tick", x1: px(x(v)), x2: px(x(v)), y1: box.bottom, y2: box.bottom + 4 }),
      s("text", { x: px(x(v)), y: box.bottom + 17, "text-anchor": "middle" },
        spec.xName ? spec.xName(v) : number(v)),
    ]),
    s("line", { class: "base", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    s("text", { class: "name", x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, spec.xLabel),
    spec.yLabel ? s("text", { class: "name", x: 2, y: 12 }, shortened(spec.yLabel, width)) : null),
  s("g", {}, spec.layers.map((layer) => LAYERS[layer.kind](layer, x, y, box))));
  const cursor = s("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
  svg.append(cursor);
  const point = (at) => {
    const inside = at !== null && at >= spec.x[0] && at <= spec.x[1];
    cursor.setAttribute("visibility", inside ? "visible" : "hidden");
    if (inside) for (const end of ["x1", "x2"]) cursor.setAttribute(end, px(x(at)));
  };
  const cycleAt = (offset) => {
    const share = (offset - box.left) / (box.right - box.left);
    return Math.round(spec.x[0] + share * (spec.x[1] - spec.x[0]));
  };
  return { svg, point, cycleAt };
}
