// Which part of a run a map shows: a slider over evaluations, and a button that walks it.
import { html, useEffect, useState } from "./vendor/htm-preact.module.js";
import { later } from "./ask.js";
import { Choice } from "./parts.js";
import { setQuery } from "./router.js";
import { whole } from "./words.js";

const STEPS = 50, SHARE = 10;
const REST_MS = 350;

/** The part of a run that an address asks for: {end, first}, each null for no bound. */
export function partOf(query, total) {
  const given = Number(query.get("end"));
  const end = Number.isInteger(given) && given > 0 ? given : null;
  const first = query.get("part") === "newest" ? Math.max(0, (end ?? total) - Math.ceil(total / SHARE)) : null;
  return { end, first };
}

/** One request for each place where it comes to rest; `ready`: what it asked for is shown. */
export function Time({ total, end, query, ready }) {
  const [at, setAt] = useState(end ?? total), [walks, setWalks] = useState(false);
  useEffect(() => setAt(end ?? total), [end, total]);
  const step = Math.max(1, Math.ceil(total / STEPS));
  const go = (to) => setQuery({ end: to >= total ? null : to });
  useEffect(() => {
    if (!walks || !ready) return undefined;
    if (end === null) {
      setWalks(false);
      return undefined;
    }
    return later(() => go(end + step), REST_MS);
  }, [walks, ready, end]);
  const walk = () => {
    if (!walks && end === null) go(step);
    setWalks(!walks);
  };
  return html`
    <div class="slider">
      <button type="button" aria-pressed=${String(walks)} onClick=${walk}>${walks ? "❚❚ Stop" : "▶ Walk through time"}</button>
      <label>Up to evaluation <input type="range" min=${step} max=${Math.max(total, step)} step=${step} value=${at} aria-valuetext=${whole(at)}
        onInput=${(event) => setAt(Number(event.target.value))} onChange=${(event) => { setWalks(false); go(Number(event.target.value) > total - step ? total : Number(event.target.value)); }} /> <span>${whole(at)}</span></label>
      <${Choice} label="Part" value=${query.get("part") === "newest" ? "newest" : "all"} options=${[["all", "All up to there"], ["newest", `Its last ${whole(Math.ceil(total / SHARE))}`]]}
        onChange=${(to) => setQuery({ part: to === "newest" ? to : null })} />
    </div>`;
}
