// Do they do different things? Every evaluation in a map of two behaviours; a brush says who was there.
import { html, useMemo } from "../vendor/htm-preact.module.js";
import { useAnswer } from "../ask.js";
import { BehaviourMap, brushOf, CELLS, cellBrush, inBrush, placeOf, written } from "../behaviour-map.js";
import { Who } from "../behaviour-who.js";
import { partOf, Time } from "../behaviour-time.js";
import { Chosen, chosenIn, useChosen, WhenChosen } from "../chosen.js";
import { Ramp, span } from "../colours.js";
import Elites from "../elites.js";
import { Heading } from "../heading.js";
import { Choice, Loading, Notice, Rows, Section } from "../parts.js";
import { setQuery } from "../router.js";
import { sentence } from "../states.js";
import { counted, number, whole } from "../words.js";

const KINDS = [["numbers", "Two numbers"], ["principal", "Where they differ most"], ["both", "Both"]];

export default function Behaviour({ name, query }) {
  const path = `/api/experiments/${encodeURIComponent(name)}`;
  const about = useAnswer(path).value;
  const kind = KINDS.some(([each]) => each === query.get("by")) ? query.get("by") : "numbers";
  const part = partOf(query, about?.evaluations ?? 0), aged = query.get("colour") === "age";
  const numbers = useMap(path, kind === "principal" ? null : `x=${place(query, "x", 0)}&y=${place(query, "y", 1)}`, part, aged);
  const principal = useMap(path, kind === "numbers" ? null : "by=principal", part, aged);
  const maps = [["numbers", numbers], ["principal", principal]].filter(([each]) => kind === "both" || each === kind);
  const error = maps.map(([, each]) => each.error).find(Boolean), [, { value }] = maps[0];
  const isAsked = !maps.every(([, each]) => each.value);
  return html`
    <${Heading} name=${name} look=${about} about=${about} tab="/behaviour" />
    ${about?.algorithm === "map elites" ? html`<${Elites} name=${name} path=${path} query=${query} evaluations=${about.evaluations} />` : null}
    ${error ? html`<${Notice} kind="info" title="There is no behaviour to show.">${sentence(error.message)}<//>` : null}
    ${isAsked ? (error ? null : html`<${Loading} what="what was done" />`)
      : !value.numbers ? html`<${Notice} kind="info" title="It says nothing of what was done.">A spec with a table <code>[behaviour]</code> has every evaluation say so.<//>`
      : !value.evaluations && part.end === null ? html`<${Notice} kind="wait" title="Nobody has done anything yet.">The first evaluation appears here.<//>`
      : html`<${Inspector} path=${path} name=${name} about=${about} kind=${kind} maps=${maps} query=${query} part=${part} aged=${aged} />`}`;
}

const place = (query, axis, otherwise) => {
  const given = Number(query.get(axis) ?? otherwise);
  return Number.isInteger(given) && given >= 0 && given < 8 ? given : otherwise;
};

/** A map of a part of a run, on the axes of the whole run, so that nothing swims while time goes by. */
function useMap(path, axes, { end, first }, aged) {
  const more = aged ? "&ages" : "";
  const all = useAnswer(axes && `${path}/behaviour?${axes}${more}`);
  const isPart = axes && (end !== null || first !== null);
  const kept = axes === "by=principal" ? all.value && `axes=${all.value.axes.join(",")}` : axes;
  const wanted = isPart && kept ? `${path}/behaviour?${kept}${end === null ? "" : `&end=${end}`}${first === null ? "" : `&first=${first}`}${more}` : null;
  const some = useAnswer(wanted);
  if (!axes) return { value: null, error: null, ready: true };
  if (!isPart) return { value: all.value, error: all.error, ready: !all.asking };
  return { value: some.value ?? all.value, error: some.error ?? all.error, ready: some.path === wanted && !some.asking };
}

function Inspector({ path, name, about, kind, maps, query, part, aged }) {
  const chosen = chosenIn(query), life = useChosen(path, chosen);
  const on = maps.some(([each]) => each === query.get("on")) ? query.get("on") : maps[0][0];
  const map = maps.find(([each]) => each === on)[1].value, brush = brushOf(query.get("cells"));
  const colours = useMemo(() => new Map(maps.map(([each, { value }]) => [each, (aged && value.newest) || value.best])), [...maps.map(([, each]) => each.value), aged]);
  const [low, high] = span(colours.get(maps[0][0]));
  const pick = (axis) => html`
    <label>${axis === "x" ? "Across" : "Upwards"} <select value=${place(query, axis, axis === "x" ? 0 : 1)} onChange=${(event) => setQuery({ [axis]: event.target.value, cells: null })}>
      ${map.measures.map(([called], at) => html`<option value=${at}>${called}</option>`)}</select></label>`;
  return html`
    <p class="lead">${counted(map.evaluations, "evaluation")} in ${counted(map.cell.length, "cell")}; the brighter, the ${aged ? "younger the newest" : "fitter the best"} of a cell.</p>
    ${chosen ? html`<${Chosen} name=${name} id=${chosen} life=${life} here="/behaviour" />` : null}
    <${Section} title="The map" wide aside=${html`<${Choice} label="Axes" value=${kind} options=${KINDS} onChange=${(to) => setQuery({ by: to === "numbers" ? null : to, cells: null, on: null })} />`}>
      <p class="picks">${kind === "principal" ? null : html`${pick("x")} ${pick("y")}`}
        <${Choice} label="Colour" value=${aged ? "age" : "fitness"} options=${[["fitness", "Fitness"], ["age", "Age"]]} onChange=${(to) => setQuery({ colour: to === "age" ? to : null })} /></p>
      <div class="maps">${maps.map(([each, { value }]) => html`
        <${BehaviourMap} key=${each} map=${value} values=${colours.get(each)} brush=${each === on ? brush : null} marked=${life.value?.id === chosen && chosen ? placeOf(value.axes, life.value.behaviour) : null}
          title=${each === "numbers" ? "A map of two numbers" : "A map of where they differ most"} onBrush=${(to) => setQuery({ cells: to && written(to), on: each === maps[0][0] ? null : each })} />`)}</div>
      <${Ramp} what=${aged ? "Newest evaluation" : "Best fitness"} low=${aged ? whole(low) : number(low)} high=${aged ? whole(high) : number(high)} />
      <${Time} total=${about?.evaluations ?? 0} end=${part.end} query=${query} ready=${maps.every(([, each]) => each.ready)} />
      <p class="soft">Click on a cell, or draw a rectangle over several, and the list below has who was there.</p>
      <${Cells} map=${map} brush=${brush} on=${on === maps[0][0] ? null : on} />
    <//>
    ${brush === null ? null : html`<${Who} key=${`${on} ${written(brush)} ${part.end} ${part.first}`} path=${path} name=${name} map=${map} brush=${brush} part=${part} chosen=${chosen} />`}
    <${WhenChosen} name=${name} path=${path} about=${about} life=${life} />`;
}

function Cells({ map, brush, on }) {
  const rows = useMemo(() => map.cell.map((_, at) => at).sort((a, b) => map.best[b] - map.best[a]).slice(0, 250), [map]);
  const chosen = (at) => brush !== null && inBrush(brush, map.cell[at]);
  const columns = [
    ["Cell", (at) => html`<button type="button" class="quiet" aria-pressed=${String(chosen(at))} onClick=${() => setQuery({ cells: written(cellBrush(map.cell[at])), on })}>${map.cell[at] % CELLS}, ${Math.floor(map.cell[at] / CELLS)}</button>`],
    ["Best fitness", (at) => number(map.best[at]), true],
    ["Evaluations", (at) => whole(map.size[at]), true],
    ...(map.newest ? [["Newest", (at) => whole(map.newest[at]), true]] : []),
  ];
  return html`<${Rows} caption="Cells with the fittest evaluations, column and row from 0" columns=${columns} rows=${rows} size=${10} />`;
}
