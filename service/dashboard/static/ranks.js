// The rank histogram (Hamill 2001) and how far chance alone takes it from flat.

/** Ranks of cycles, for one measurement or all: [[rank, members], ...]. */
export function ranksOf(cycles, measurement = null) {
  const found = [];
  for (const cycle of cycles) {
    for (const [index, about] of cycle.predicted) {
      if (measurement === null || index === measurement) found.push([about.rank, cycle.used]);
    }
  }
  return found;
}

/** As many bins as leave about eight ranks in each, 4 to 20, and no more than ranks. */
export function binsFor(ranks) {
  const least = Math.min(...ranks.map(([, members]) => members + 1));
  return Math.max(1, Math.min(20, least, Math.max(4, Math.floor(ranks.length / 8))));
}

/**
 * Counts per bin and what to expect.
 *
 * Rank r of N members belongs to bin floor(r B / (N + 1)). Where N + 1 is no multiple of
 * B the bins hold different numbers of ranks, and what is expected follows them.
 */
export function histogram(ranks, bins) {
  const counts = new Array(bins).fill(0);
  const expected = new Array(bins).fill(0);
  const shares = new Map();
  for (const [rank, members] of ranks) {
    counts[Math.min(bins - 1, Math.floor((rank * bins) / (members + 1)))] += 1;
    if (!shares.has(members)) shares.set(members, share(members, bins));
    shares.get(members).forEach((value, bin) => { expected[bin] += value; });
  }
  const band = expected.map((mean) => {
    const p = ranks.length ? mean / ranks.length : 0;
    return [binomialQuantile(ranks.length, p, 0.025), binomialQuantile(ranks.length, p, 0.975)];
  });
  return { counts, expected, band };
}

function share(members, bins) {
  const found = new Array(bins).fill(0);
  for (let rank = 0; rank <= members; rank += 1) {
    found[Math.floor((rank * bins) / (members + 1))] += 1 / (members + 1);
  }
  return found;
}

/** Smallest k with P(X <= k) >= q for X binomial (n, p). */
export function binomialQuantile(n, p, q) {
  if (p <= 0 || n === 0) return 0;
  if (p >= 1) return n;
  const odds = Math.log(p / (1 - p));
  let log = n * Math.log1p(-p);
  let sum = 0;
  for (let k = 0; k <= n; k += 1) {
    sum += Math.exp(log);
    // Rounding must not push the answer past a value that was reached exactly.
    if (sum >= q - 1e-12) return k;
    log += Math.log((n - k) / (k + 1)) + odds;
  }
  return n;
}

/** What the shape says, in words. */
export function reading({ counts, expected, band }) {
  const total = counts.reduce((a, b) => a + b, 0);
  const outside = counts.filter((c, i) => c < band[i][0] || c > band[i][1]).length;
  const few = total < 5 * counts.length;
  const bins = `${outside} of ${counts.length} bins outside the band`;
  if (few) return `Few ranks so far (${total}); ${bins}.`;
  if (outside <= Math.max(1, 0.1 * counts.length)) return `Flat within chance: ${bins}.`;
  const edge = counts[0] + counts.at(-1) - expected[0] - expected.at(-1);
  const tilt = counts.reduce((sum, c, i) => sum + (c - expected[i]) * (i - (counts.length - 1) / 2), 0);
  const scale = Math.sqrt(total);
  if (Math.abs(tilt) / counts.length > scale / 3 && Math.abs(tilt) / counts.length > Math.abs(edge) / 2) {
    return `Sloped: ${bins}. The ensemble predicts too ${tilt > 0 ? "low" : "high"} a value.`;
  }
  const share = (expected[0] + expected.at(-1)) / total;
  // Bins within may lie outside the band without the edges saying anything.
  if (Math.abs(edge) < 2 * Math.sqrt(total * share * (1 - share))) return `Uneven, in no clear shape: ${bins}.`;
  if (edge > 0) return `U-shaped: ${bins}. The ensemble is narrower than its errors.`;
  return `Domed: ${bins}. The ensemble is wider than its errors, or noise counts twice.`;
}
