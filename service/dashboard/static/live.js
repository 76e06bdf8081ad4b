// News of a session: server-sent events, and asking again where those are not to be had.
// Neither a service that restarts nor a proxy that swallows events ends it.

import { address, session } from "./api.js";

const FIRST = 500;
const LONGEST = 8000;
// Without events; and with them, in case a connection died without telling.
const POLL = 3000;
const GLANCE = 30_000;
const KINDS = ["session", "member", "warning", "cycle", "gone"];

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/**
 * @param id of the session
 * @param refresh fetches what is new; resolves to false when the session has ended
 * @param heard is given each event: its kind and what it says
 * @param told is given "live", "polling" or "waiting" (the service does not answer)
 */
export function follow(id, { refresh, heard, told, signal }) {
  let source = null;
  let failures = 0;
  let reconnect = 0;
  let poll = 0;
  let running = null;
  let again = false;
  let ended = false;

  // One refresh at a time; what happens meanwhile asks for one more.
  const news = () => {
    if (ended) return;
    if (running) { again = true; return; }
    running = refresh().then((alive) => {
      if (alive === false) stop();
      else if (!isOpen()) told("polling");
    }, () => told("waiting")).finally(() => {
      running = null;
      if (again && !ended) { again = false; setTimeout(news, 150); }
    });
  };

  const isOpen = () => source?.readyState === EventSource.OPEN;

  const schedulePoll = () => {
    clearTimeout(poll);
    if (ended) return;
    poll = setTimeout(() => { news(); schedulePoll(); }, isOpen() ? GLANCE : POLL);
  };

  const connect = () => {
    if (ended) return;
    source = new EventSource(address(`${session(id)}/events`));
    source.addEventListener("open", () => {
      failures = 0;
      told("live");
      // What happened while nobody listened.
      news();
      schedulePoll();
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        heard(kind, parsed(event.data));
        // Members do not change a session before their cycle does.
        if (kind !== "member") news();
      });
    }
    source.addEventListener("error", () => {
      source.close();
      const wait = Math.min(LONGEST, FIRST * 2 ** failures);
      failures += 1;
      // At once, to learn whether the service is away or only its events are.
      news();
      schedulePoll();
      clearTimeout(reconnect);
      reconnect = setTimeout(connect, wait * (0.75 + Math.random() / 2));
    });
  };

  const stop = () => {
    ended = true;
    source?.close();
    clearTimeout(reconnect);
    clearTimeout(poll);
  };

  signal.addEventListener("abort", stop);
  connect();
  schedulePoll();
}
