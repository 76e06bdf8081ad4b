// Numbers and times as people read them.

const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat("en");

/** Four digits; very large and small ones with an exponent. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) {
    const [digits, power] = value.toExponential(2).split("e");
    return `${digits.replace("-", "−")} × 10${superscript(Number(power))}`;
  }
  return plain.format(value).replace("-", "−");
}

export const count = (value) => (value === null ? "–" : whole.format(value));

const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const superscript = (power) =>
  (power < 0 ? "⁻" : "") + [...String(Math.abs(power))].map((d) => POWERS[d]).join("");

export const percent = (share) => `${plain.format(100 * share)} %`;

/** Shares of the samples in clouds that were apart; null where there was one. */
export const clouds = (shares) =>
  (shares?.length > 1 ? `${shares.length}, with ${shares.map((s) => percent(Number(s.toPrecision(3)))).join(" and ")} of the samples` : null);

/** What a cycle was analysed with: its kernels by their name, else its regression. */
export function modelName(model) {
  if (!model) return "unchanged";
  if (model.measurement_kernel === "joint") return "joint kernels";
  const alike = [Infinity, "inf"].includes(model.measurement_bandwidth);
  if (model.preconditioner === "none") return alike ? "no regression" : "kernels alone";
  const name = model.preconditioner === "kernel" ? "kernel regression" : model.preconditioner;
  return alike ? name : `${name}, kernels`;
}

export function duration(seconds) {
  if (seconds < 1e-3) return `${number(seconds * 1e6)} µs`;
  if (seconds < 1) return `${number(seconds * 1e3)} ms`;
  if (seconds < 120) return `${number(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** How long ago, or in how long. */
export function relative(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  const text = duration(Math.round(Math.abs(seconds)));
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

export const moment = (time) =>
  new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
