// What changes by itself: one stream a visible tab, and polls where streams do not come through.
import { useEffect, useRef, useState } from "./vendor/htm-preact.module.js";
import { ask } from "./ask.js";

const AGAIN_MS = 1000;
const POLL_MS = 5000;
const GLANCE_MS = 2000;
const SEATS = [1, 2, 3]; // of six connections that a browser opens to one host; pages need the others
const PATIENCE = 3; // failures of the stream before polls take over

const paused = { is: false, listeners: new Set() };

/** Whether the person stopped all that changes by itself. */
export const isPaused = () => paused.is;

/** Stop what changes by itself, or let it go on. */
export function pauseLive(whether) {
  paused.is = whether;
  for (const listener of paused.listeners) listener(whether);
}

/** True while live updates are stopped by the person. */
export function usePaused() {
  const [is, set] = useState(paused.is);
  useEffect(() => {
    paused.listeners.add(set);
    return () => paused.listeners.delete(set);
  }, []);
  return is;
}

/**
 * The newest value of a stream: {value, at, state, sentence}.
 *
 * state: loading, live, polling, lost (the master is away), away (the dashboard is), refused. A value stays when it is
 * lost: old facts with their time are better than none.
 */
export function useLive(stream, poll) {
  const [now, setNow] = useState({ value: null, at: null, state: "loading", sentence: "" });
  const stopped = usePaused();
  const last = useRef(stream);
  useEffect(() => {
    if (last.current !== stream) setNow({ value: null, at: null, state: "loading", sentence: "" });
    last.current = stream;
    if (stopped) return undefined;
    return follow(stream, poll, (change) => setNow((before) => ({ ...before, ...change })));
  }, [stream, poll, stopped]);
  return now;
}

/** Follow while the tab can be seen; returns how to stop. */
function follow(stream, poll, tell) {
  let source = null, timer = null, failures = 0, over = false, leave = null, turns = 0;

  const take = (value) => {
    if (value.lost) tell({ state: "lost", sentence: value.lost });
    else if (value.refused) tell({ state: "refused", sentence: value.refused, code: value.code });
    else tell({ value, at: new Date(), state: failures < PATIENCE ? "live" : "polling", sentence: "" });
  };
  const look = async () => {
    try {
      take(await ask(poll));
    } catch (error) {
      const state = { 0: "away", 503: "lost" }[error.status] ?? "refused";
      tell({ state, sentence: error.message, code: error.code });
    }
  };
  const begin = async () => {
    const turn = turns, taken = await seat();
    if (over || document.hidden || turn !== turns) return taken?.();
    leave = taken;
    if (taken) return open();
    await look();
    if (!over && turn === turns) timer = setTimeout(begin, GLANCE_MS);
    return undefined;
  };
  const open = () => {
    source = new EventSource(stream);
    source.onmessage = (event) => {
      failures = 0;
      take(JSON.parse(event.data));
    };
    source.onerror = failed;
  };
  // Who is away, the dashboard or only its streams? A plain question finds out, and has the facts meanwhile.
  const failed = async () => {
    close();
    failures += 1;
    await look();
    if (over || document.hidden) return;
    const again = failures < PATIENCE || failures % PATIENCE === 0 ? begin : failed;
    timer = setTimeout(again, failures < PATIENCE ? AGAIN_MS : POLL_MS);
  };
  const close = () => {
    clearTimeout(timer);
    source?.close();
    leave?.();
    source = leave = null;
    turns += 1;
  };
  const turn = () => {
    close();
    failures = 0;
    if (!document.hidden) begin();
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return () => {
    over = true;
    document.removeEventListener("visibilitychange", turn);
    close();
  };
}

/** A place for one stream of this browser: how to leave it, or null if all are taken. Tabs without one ask now and then. */
async function seat() {
  if (!navigator.locks) return () => {};
  for (const number of SEATS) {
    const leave = await new Promise((taken) => {
      navigator.locks.request(`germline-stream-${number}`, { ifAvailable: true },
        (lock) => (lock ? new Promise((free) => taken(free)) : taken(null)));
    });
    if (leave) return leave;
  }
  return null;
}
