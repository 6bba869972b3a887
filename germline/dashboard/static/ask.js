// Asks our own server, and turns whatever goes wrong into a sentence.
import { useCallback, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** What came back instead of an answer. */
export class Refused extends Error {
  constructor(sentence, status, code) {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

/** JSON from a path. Throws Refused with a sentence. */
export async function ask(path, { post, signal } = {}) {
  let answer;
  try {
    answer = await fetch(path, post === undefined ? { signal } : {
      method: "POST", signal, body: JSON.stringify(post), headers: { "content-type": "application/json" },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The dashboard does not answer. Is it still running?", 0, "AWAY");
  }
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // A sentence follows all the same.
  }
  if (answer.ok) return told;
  if (answer.status === 401) window.dispatchEvent(new Event("closed-door"));
  throw new Refused(told.error || `The dashboard answered ${answer.status}.`, answer.status, told.code);
}

/** One answer, asked for again when the path changes or `again` is called: {value, error, asking, again}. */
export function useAnswer(path) {
  const [known, setKnown] = useState({ path: null, value: null, error: null, asking: true });
  const running = useRef(null);
  const again = useCallback(async () => {
    running.current?.abort();
    if (!path) return;
    const abort = (running.current = new AbortController());
    try {
      const value = await ask(path, { signal: abort.signal });
      if (!abort.signal.aborted) setKnown({ path, value, error: null, asking: false });
    } catch (error) {
      if (!abort.signal.aborted) setKnown((last) => ({ path, value: last.path === path ? last.value : null, error, asking: false }));
    }
  }, [path]);
  useEffect(() => {
    again();
    return () => running.current?.abort();
  }, [again]);
  return { ...known, again };
}

/** Do something after a while or, where the tab is hidden then, once it is seen again. Returns how to call it off. */
export function later(what, wait) {
  const timer = setTimeout(() => (document.hidden ? document.addEventListener("visibilitychange", seen) : what()), wait);
  function seen() {
    if (document.hidden) return;
    off();
    what();
  }
  function off() {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  }
  return off;
}
