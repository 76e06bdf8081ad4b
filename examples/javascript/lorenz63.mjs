// A simulator of its own: Lorenz-63 in JavaScript, all three variables observed with
// errors of standard deviation 2 every 0.1 time units. The service sees states, simulated
// measurements and observations; the model stays here.
import { Session } from './ccdm.mjs'

const [DX, CYCLES, SPIN_UP, ERROR, BOUND] = [3, 220, 20, 2.0, 1.0]

function forecast(s) {
  for (let step = 0; step < 10; step++) {
    const [x, y, z] = s
    s[0] += 0.01 * 10 * (y - x)
    s[1] += 0.01 * (x * (28 - z) - y)
    s[2] += 0.01 * (x * y - (8 / 3) * z)
  }
}

// Marsaglia's xorshift, since Math.random takes no seed; then Box and Muller.
let bits = 2463534242
function uniform() {
  bits ^= bits << 13
  bits ^= bits >>> 17
  bits ^= bits << 5
  return ((bits >>> 0) + 0.5) / 2 ** 32
}
const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())

// The measurement of a member is its state: exact, so measurement_error says how precise
// the instrument is. The service draws the initial ensemble.
const settings = {
  state_dim: 3, measurement_dim: 3, seed: 1,
  initial_mean: [0, 0, 25], initial_std: 5, members: 100,
  options: { measurement_error: ERROR },
}
const session = await Session.create(process.argv[2], settings, process.env.CCDM_API_KEY)
const truth = Float64Array.of(1, 2, 24)
let x = await session.analysis(0)
let total = 0
for (let k = 1; k <= CYCLES; k++) {
  forecast(truth)
  const observation = truth.map((value) => value + ERROR * normal())
  for (let i = 0; i < x.length; i += DX) forecast(x.subarray(i, i + DX))
  x = await session.cycle(x, DX, x, DX, observation)
  const mean = [0, 0, 0]
  x.forEach((value, i) => { mean[i % DX] += (value * DX) / x.length })
  const square = mean.reduce((sum, m, j) => sum + (m - truth[j]) ** 2 / DX, 0)
  if (k > SPIN_UP) total += Math.sqrt(square) / (CYCLES - SPIN_UP)
}
await session.delete()
console.log(`score: RMSE ${total.toFixed(3)}, wanted below ${BOUND}; ` +
            `the observations' own is ${ERROR}`)
process.exitCode = total < BOUND ? 0 : 1
