// The curve of a run, kept up to date: while a run goes on, only what is new is asked for.
import { useEffect, useRef, useState } from "./vendor/htm-preact.module.js";
import { ask, later } from "./ask.js";

const EVERY_MS = 2000;
const WHOLE_EVERY_MS = 5000; // of a curve that comes whole each time
const FIRST_MS = 500; // of one that has just begun
const FEW = 40;
const LATE = 3; // looks for what the archive takes in a moment after it counts
const NOTHING = { key: null, value: null, error: null, asked: 0, late: 0 };

/** {value, error}: `value` as /curve tells it. zoom: {axis, from, to} or null for all; grown: evaluations by now. */
export function useCurve(name, zoom, grown, stopped) {
  const path = `/api/experiments/${encodeURIComponent(name)}/curve`;
  const key = path + (zoom ? `?axis=${zoom.axis}&from=${zoom.from}&to=${zoom.to}` : "");
  const [known, setKnown] = useState(NOTHING);
  const newest = useRef(NOTHING), count = useRef(grown);
  count.current = grown;

  const look = async (abort) => {
    const before = newest.current.key === key ? newest.current : NOTHING, asked = count.current;
    const next = { key, value: before.value, error: null, asked, late: asked === before.asked ? before.late + 1 : 0 };
    try {
      next.value = joined(before.value, await ask(key + behind(before.value, zoom), { signal: abort.signal }));
    } catch (error) {
      next.error = error;
    }
    if (abort.signal.aborted) return;
    newest.current = next;
    setKnown(next);
  };
  useEffect(() => {
    const abort = new AbortController();
    look(abort);
    return () => abort.abort();
  }, [key]);
  const isDue = known.key === key && !stopped && !isFull(known.value, zoom)
    && (grown !== known.asked || (known.late < LATE && grown !== reached(known.value)));
  useEffect(() => {
    if (!isDue) return undefined;
    const { value } = known, abort = new AbortController();
    const callOff = later(() => look(abort), !value || value.points < FEW ? FIRST_MS : value.width ? EVERY_MS : WHOLE_EVERY_MS);
    return () => {
      callOff();
      abort.abort();
    };
  }, [known, isDue]);
  // While another range is asked for, the chart stays, and so does the keyboard's place on it.
  return known.key?.startsWith(path) ? known : NOTHING;
}

/** How many evaluations a curve has reached. */
export const reached = (value) => value?.columns.evaluations.at(-1) ?? 0;

/** Where a part of a run is filled, nothing more comes. */
const isFull = (value, zoom) => zoom && value?.points && value.columns[zoom.axis].at(-1) >= zoom.to;

/** The last bin is still open: from there on, all is asked for again. */
const behind = (value, zoom) => (value?.width && value.points && !zoom ? `?behind=${value.columns.first.at(-1)}&width=${value.width}` : "");

function joined(before, told) {
  if (told.behind === null || !before) return told;
  const kept = before.columns.first.indexOf(told.behind);
  const columns = {};
  for (const [name, values] of Object.entries(told.columns)) columns[name] = before.columns[name].slice(0, kept).concat(values);
  return { ...told, columns };
}

/** The same curve, ended where the run stands: the open bin reaches up to there, with whoever is champion by now. */
export function upToNow(value, look) {
  const { columns } = value;
  if (!value.points || look.evaluations < reached(value)) return value;
  const ends = { evaluations: look.evaluations, frames: look.frames, seconds: look.running_s, champion: look.champion?.mean ?? null };
  const next = { ...columns };
  for (const [name, end] of Object.entries(ends)) {
    if (name !== "champion" && end < columns[name].at(-1)) return value;
    next[name] = [...columns[name].slice(0, -1), end];
  }
  return { ...value, columns: next };
}
