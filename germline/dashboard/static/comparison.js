// Two to four curves on one chart.
import { html, useEffect, useState } from "./vendor/htm-preact.module.js";
import { ask, later } from "./ask.js";
import { Chart } from "./chart.js";
import { axes } from "./fitness.js";
import { Choice, Section } from "./parts.js";
import { setQuery } from "./router.js";
import { number } from "./words.js";

const COLOURS = ["series-1", "series-2", "series-3", "series-4"];
const DASHES = [undefined, [8, 4], [2, 3], [10, 3, 2, 3]];
const EVERY_MS = 8000;

export function Comparison({ names, all, query }) {
  const axis = ["frames", "seconds"].includes(query.get("axis")) ? query.get("axis") : "evaluations";
  const what = query.get("of") === "median" ? "median" : "champion";
  const curves = useCurves(names);
  const played = new Set(names.map((name) => all.find((each) => each.name === name)?.played));
  const known = axes(played.size === 1 ? [...played][0] : "frames or steps");
  const merged = merge(names, curves, axis, what);
  const aside = html`
    <${Choice} label="What is compared" value=${what} options=${[["champion", "Champion"], ["median", "Median"]]} onChange=${(to) => setQuery({ of: to === "champion" ? null : to })} />
    <${Choice} label="Axis" value=${axis} options=${Object.entries(known).map(([name, { name: text }]) => [name, name === "seconds" ? "Time" : text])} onChange=${(to) => setQuery({ axis: to === "evaluations" ? null : to })} />`;
  return html`
    <${Section} title="Compared" aside=${aside} wide>
      ${merged.x.length ? html`<${Chart} label=${`The ${what} of ${names.join(", ")}`} x=${{ ...known[axis], values: merged.x }} lines=${merged.lines}
        sentence=${names.map((name, place) => `${name}: ${number(merged.lines[place].values.findLast((value) => value !== null) ?? null)}`).join("; ")} />`
        : html`<p class="empty">${what === "champion" ? "None of them has a champion yet; compare their medians." : "None of them has a curve yet."}</p>`}
    <//>`;
}

function useCurves(names) {
  const [curves, setCurves] = useState({});
  const key = names.join(",");
  useEffect(() => {
    let over = false, callOff = () => {};
    const look = async () => {
      const found = await Promise.all(names.map((name) => ask(`/api/experiments/${encodeURIComponent(name)}/curve`).catch(() => null)));
      if (over) return;
      setCurves(Object.fromEntries(names.map((name, place) => [name, found[place]])));
      callOff = later(look, EVERY_MS);
    };
    look();
    return () => {
      over = true;
      callOff();
    };
  }, [key]);
  return curves;
}

/** All curves over the union of their places; where one has no point, there is a gap that is drawn across. */
function merge(names, curves, axis, what) {
  const found = names.map((name) => curves[name]?.columns);
  const places = new Map();
  found.forEach((columns, which) => columns?.[axis].forEach((at, place) => {
    if (columns[what][place] === null) return;
    if (!places.has(at)) places.set(at, {});
    places.get(at)[which] = columns[what][place];
  }));
  const x = [...places.keys()].sort((one, other) => one - other);
  const lines = names.map((name, which) => ({
    name, colour: COLOURS[which], dash: DASHES[which], width: 2.5, step: what === "champion",
    values: x.map((at) => places.get(at)[which] ?? null),
  }));
  return { x, lines };
}
