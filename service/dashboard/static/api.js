// The public API, as any client sees it. Addresses are relative, so that the service
// may live under a path of somebody else's server.

const BASE = new URL(".", document.baseURI);
const PATIENCE = 60_000;

/** What the service said when it did not do what was asked. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service answered ${status}.`);
    this.status = status;
    this.title = body.title ?? "The service refused";
    this.kind = (body.type ?? "").split("/").pop();
    this.errors = body.errors ?? [];
    this.body = body;
  }
}

/** The service could not be reached. */
export class Unreachable extends Error {
  constructor() {
    super("The service does not answer. It may be restarting, or the network is away.");
    this.status = 0;
    this.title = "No answer";
    this.errors = [];
  }
}

export const address = (path) => new URL(path, BASE).href;

export const session = (id) => `v1/sessions/${encodeURIComponent(id)}`;

/** JSON of an answer; throws a Problem or Unreachable. */
export async function call(path, { method = "GET", body, headers = {}, signal } = {}) {
  const quitting = AbortSignal.timeout(method === "GET" ? PATIENCE : 10 * PATIENCE);
  let answer;
  try {
    answer = await fetch(address(path), {
      method, body, cache: "no-store", credentials: "same-origin",
      headers: { Accept: "application/json", ...headers },
      signal: signal ? AbortSignal.any([signal, quitting]) : quitting,
    });
    if (answer.ok) return answer.status === 204 ? null : await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable();
  }
  throw new Problem(answer.status, await answer.json().catch(() => ({})));
}

export const login = (key) => call("login", {
  method: "POST",
  body: JSON.stringify({ key }),
  headers: { "Content-Type": "application/json" },
});

export const logout = () => call("login", { method: "DELETE" });
