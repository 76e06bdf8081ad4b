// Colour scales that people with any colour vision can read.

// Blue to orange through the page's own neutral; its luminance rises away from zero in
// the dark and falls in the light.
const ENDS = {
  light: { low: [5, 73, 130], middle: [244, 244, 242], high: [166, 68, 0] },
  dark: { low: [98, 182, 240], middle: [38, 42, 48], high: [255, 166, 77] },
};
// Cividis (Nunez, Anderton and Renslow 2018), eleven of its colours.
const CIVIDIS = [
  [0, 34, 78], [8, 51, 112], [53, 69, 108], [79, 87, 108], [102, 105, 112],
  [125, 124, 120], [148, 142, 119], [174, 163, 113], [200, 184, 102], [229, 207, 82], [254, 232, 56],
];

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const mix = (a, b, t) => `rgb(${a.map((from, i) => Math.round(from + (b[i] - from) * t)).join(" ")})`;

/** Of -1 to 1. */
export function diverging(value, dark = false) {
  const { low, middle, high } = dark ? ENDS.dark : ENDS.light;
  const t = clamp(value, -1, 1);
  return mix(middle, t < 0 ? low : high, Math.abs(t) ** 0.85);
}

/** Of 0 to 1. */
export function sequential(value) {
  const place = clamp(value, 0, 1) * (CIVIDIS.length - 1);
  const below = Math.min(Math.floor(place), CIVIDIS.length - 2);
  return mix(CIVIDIS[below], CIVIDIS[below + 1], place - below);
}
