// What happened to an experiment, as its journal has it: on the axis of the curve, and in words.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";
import { ask, later } from "./ask.js";
import { When } from "./parts.js";
import { sentence } from "./states.js";
import { counted, duration } from "./words.js";

const EVERY_MS = 10000;
const FEW = 12;
const OFTEN = ["champion", "set aside"]; // marked without a hair: there may be many

/** {events, error}, oldest first. Only what is new is asked for, when something changed and now and then. */
export function useEvents(name, look, stopped) {
  const [known, setKnown] = useState({ events: [], error: null });
  const held = useRef([]);
  const path = `/api/experiments/${encodeURIComponent(name)}/events`;
  useEffect(() => {
    if (stopped) return undefined;
    const abort = new AbortController();
    let callOff = () => {};
    const again = async () => {
      let error = null;
      try {
        const { events } = await ask(`${path}?after=${held.current.at(-1)?.number ?? 0}`, { signal: abort.signal });
        held.current = [...held.current, ...events];
      } catch (problem) {
        error = problem;
      }
      if (abort.signal.aborted) return;
      setKnown((before) => (before.events === held.current && !error && !before.error ? before : { events: held.current, error }));
      if (look.state === "running") callOff = later(again, EVERY_MS);
    };
    again();
    return () => {
      abort.abort();
      callOff();
    };
  }, [path, look.state, look.trouble, look.failed, look.champion?.id, stopped]);
  return known;
}

/** For a chart: where each was, of how much weight. */
export const marksOf = (events, axis) => events.map(({ [axis]: at, text, kind }) => ({ at, text, often: OFTEN.includes(kind) }));

export function Happened({ events, error }) {
  const [all, setAll] = useState(false);
  if (error) return html`<p class="soft">What happened cannot be told: ${sentence(error.message)}</p>`;
  if (!events.length) return null;
  const shown = events.toReversed().slice(0, all ? events.length : FEW);
  return html`
    <h3>What happened</h3>
    <ol class="events">${shown.map((event) => html`<li key=${event.number}>
      <span class="soft">${counted(event.evaluations, "evaluation")}, ${event.at ? html`<${When} at=${event.at} />` : `${duration(event.seconds)} of work`}</span> ${sentence(event.text)}</li>`)}</ol>
    ${events.length > FEW ? html`<button type="button" class="quiet" onClick=${() => setAll(!all)}>${all ? "Show fewer" : `Show all ${events.length}`}</button>` : null}`;
}
