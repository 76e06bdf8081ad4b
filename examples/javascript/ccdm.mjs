// CCDM from JavaScript: Node 18 or later, no packages. Copy this file.
//
// Arrays are Float64Array, members as rows: member i's state is x.subarray(i*dx, (i+1)*dx).

/** An npy file: a header of 128 bytes, then the numbers. Shape as Python writes it. */
function npy(values, shape) {
  const dict = `{'descr': '<f8', 'fortran_order': False, 'shape': (${shape}), }`
  const header = '\x93NUMPY\x01\x00\x76\x00' + dict.padEnd(117) + '\n'
  const bytes = Uint8Array.from(header, (character) => character.charCodeAt(0))
  return new Blob([bytes, values], { type: 'application/x-npy' })
}

export class Session {
  /** Begin a session; settings are the body of POST /v1/sessions. */
  static async create(url, settings, apiKey) {
    const session = new Session()
    session.root = url.replace(/\/$/, '')
    session.headers = apiKey ? { 'X-API-Key': apiKey } : {}
    session.number = 0
    const reply = await session.#send('POST', '/v1/sessions', JSON.stringify(settings), {
      'Content-Type': 'application/json',
    })
    session.path = reply.headers.get('Location')
    if (!session.path) throw new Error('no session in the answer: no header Location')
    return session
  }

  /** Samples of a finished cycle, N * dx; cycle 0 is the initial ensemble. */
  async analysis(cycle) {
    return this.#doubles('GET', `${this.path}/cycles/${cycle}/analysis`)
  }

  /** Assimilate the next cycle: states N * dx, simulated N * dy, observation dy with NaN
   *  where nothing came in. A lost reply is asked for again and comes back the same. */
  async cycle(states, dx, simulated, dy, observation) {
    const form = new FormData()
    const members = states.length / dx
    form.append('forecast_states', npy(states, `${members}, ${dx}`))
    form.append('simulated_measurements', npy(simulated, `${members}, ${dy}`))
    form.append('observation', npy(observation, `${dy},`))
    const samples = await this.#doubles('PUT', `${this.path}/cycles/${this.number + 1}`, form)
    this.number += 1
    return samples
  }

  /** Have the service forget the session, which it keeps otherwise. */
  async delete() {
    await this.#send('DELETE', this.path)
  }

  async #doubles(method, path, body) {
    const reply = await this.#send(method, path, body, { Accept: 'application/octet-stream' })
    return new Float64Array(await reply.arrayBuffer())
  }

  async #send(method, path, body, headers) {
    for (let attempt = 1; ; attempt++) {
      try {
        const options = { method, body, headers: { ...this.headers, ...headers } }
        const reply = await fetch(this.root + path, options)
        if (reply.ok) return reply
        if (reply.status !== 503 || attempt === 10) {
          throw new Error(`${method} ${path}: ${await reply.text()}`)
        }
      } catch (error) {
        // A TypeError is fetch's word for: no connection. The service may come back.
        if (!(error instanceof TypeError) || attempt === 10) throw error
      }
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}
