// A small problem with two answers: only the distance from the origin is measured, so a
// reading of 1.5 is explained on either side. The same numbers each time.

function random(seed) {
  // mulberry32, public domain.
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function sample(members = 300) {
  const uniform = random(20);
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const states = [];
  const simulated = [];
  for (let i = 0; i < members; i += 1) {
    const place = 1.4 * normal();
    const speed = 0.8 * place + 0.5 * normal();
    states.push(place, speed);
    simulated.push(Math.abs(place) + 0.15 * normal());
  }
  return {
    forecast_states: { shape: [members, 2], numbers: states, names: ["place", "speed"] },
    simulated_measurements: { shape: [members, 1], numbers: simulated, names: ["distance"] },
    observation: { shape: [1], numbers: [1.5], names: null },
  };
}
