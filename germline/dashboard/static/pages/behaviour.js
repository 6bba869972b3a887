// Do they do different things? Every evaluation in a map of two behaviours; a cell says who was there.
import { html, useEffect, useRef, useState } from "../vendor/htm-preact.module.js";
import { useAnswer } from "../ask.js";
import { Heading } from "../heading.js";
import { Choice, Loading, Notice, Rows, Section } from "../parts.js";
import { setQuery } from "../router.js";
import { sentence } from "../states.js";
import { counted, duration, number, whole } from "../words.js";

const CELLS = 128, SIZE = 4, STEPS = 50;
// Viridis, from dark to light: fitness grows with it for everybody's eyes.
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

export default function Behaviour({ name, query }) {
  const path = `/api/experiments/${encodeURIComponent(name)}`;
  const about = useAnswer(path).value;
  const by = query.get("by") === "principal" ? "by=principal" : `x=${place(query, "x", 0)}&y=${place(query, "y", 1)}`;
  const end = Number(query.get("end")) || null;
  const { value, error } = useAnswer(`${path}/behaviour?${by}${end ? `&end=${end}` : ""}`);
  return html`
    <${Heading} name=${name} look=${about} about=${about} tab="/behaviour" />
    ${error ? html`<${Notice} kind="info" title="There is no behaviour to show.">${sentence(error.message)}<//>` : null}
    ${!value ? (error ? null : html`<${Loading} what="what was done" />`)
      : !value.numbers ? html`<${Notice} kind="info" title="It says nothing of what was done.">A spec with a table <code>[behaviour]</code> has every evaluation say so.<//>`
      : !value.evaluations && !end ? html`<${Notice} kind="wait" title="Nobody has done anything yet.">The first evaluation appears here.<//>`
      : html`<${Inspector} path=${path} name=${name} map=${value} query=${query} total=${about?.evaluations ?? 0} end=${end} />`}`;
}

const place = (query, axis, otherwise) => {
  const given = Number(query.get(axis) ?? otherwise);
  return Number.isInteger(given) && given >= 0 && given < 8 ? given : otherwise;
};

function Inspector({ path, name, map, query, total, end }) {
  const principal = query.get("by") === "principal", chosen = cellOf(query.get("cell"));
  const numbers = Array.from({ length: map.numbers }, (_, at) => at);
  const pick = (axis) => html`
    <label>${axis} <select value=${place(query, axis, axis === "x" ? 0 : 1)} onChange=${(event) => setQuery({ [axis]: event.target.value, cell: null })}>
      ${numbers.map((at) => html`<option value=${at}>number ${at + 1}</option>`)}</select></label>`;
  return html`
    <p class="lead">${counted(map.evaluations, "evaluation")} in ${counted(map.cell.length, "cell")}; the brighter, the fitter the best of a cell.</p>
    <${Section} title="The map" wide aside=${html`<${Choice} label="Axes" value=${principal ? "principal" : "numbers"} options=${[["numbers", "Two numbers"], ["principal", "Where they differ most"]]} onChange=${(to) => setQuery({ by: to === "principal" ? to : null, cell: null })} />`}>
      ${principal ? null : html`<p class="picks">${pick("x")} ${pick("y")}</p>`}
      <${Canvas} map=${map} chosen=${chosen} />
      <${Slider} total=${total} end=${end} />
      <${Cells} map=${map} chosen=${chosen} />
    <//>
    ${chosen === null ? null : html`<${Who} path=${path} name=${name} map=${map} cell=${chosen} end=${end} />`}`;
}

const cellOf = (text) => (/^\d{1,5}$/.test(text ?? "") && Number(text) < CELLS * CELLS ? Number(text) : null);

function colour(share) {
  const at = Math.min(RAMP.length - 2, Math.floor(share * (RAMP.length - 1))), rest = share * (RAMP.length - 1) - at;
  return RAMP[at].map((low, part) => Math.round(low + (RAMP[at + 1][part] - low) * rest));
}

function Canvas({ map, chosen }) {
  const canvas = useRef(null);
  useEffect(() => {
    const pen = canvas.current.getContext("2d");
    pen.clearRect(0, 0, CELLS * SIZE, CELLS * SIZE);
    const ranks = [...map.best].sort((a, b) => a - b), low = ranks[0], high = ranks.at(-1);
    map.cell.forEach((cell, at) => {
      pen.fillStyle = `rgb(${colour((map.best[at] - low) / (high - low || 1)).join(",")})`;
      pen.fillRect((cell % CELLS) * SIZE, (CELLS - 1 - Math.floor(cell / CELLS)) * SIZE, SIZE, SIZE);
    });
    if (chosen !== null) {
      pen.strokeStyle = "#D55E00";
      pen.lineWidth = 2;
      pen.strokeRect((chosen % CELLS) * SIZE - 3, (CELLS - 1 - Math.floor(chosen / CELLS)) * SIZE - 3, SIZE + 6, SIZE + 6);
    }
  }, [map, chosen]);
  const click = (event) => {
    const box = canvas.current.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * CELLS), y = CELLS - 1 - Math.floor(((event.clientY - box.top) / box.height) * CELLS);
    setQuery({ cell: nearest(map, x, y) });
  };
  return html`<canvas ref=${canvas} class="drawing" width=${CELLS * SIZE} height=${CELLS * SIZE} role="img" onClick=${click}
    aria-label=${`A map of ${map.cell.length} cells; the fittest evaluation has ${number(Math.max(...map.best))}. The table below has the same.`}></canvas>`;
}

/** The filled cell that lies next to a place. */
function nearest(map, x, y) {
  let found = null, least = Infinity;
  for (const cell of map.cell) {
    const far = (cell % CELLS - x) ** 2 + (Math.floor(cell / CELLS) - y) ** 2;
    if (far < least) [found, least] = [cell, far];
  }
  return found;
}

/** Up to which evaluation the map goes; one request for each place where it comes to rest. */
function Slider({ total, end }) {
  const [at, setAt] = useState(end ?? total);
  useEffect(() => setAt(end ?? total), [end, total]);
  const step = Math.max(1, Math.ceil(total / STEPS));
  return html`
    <label class="slider">Up to evaluation <input type="range" min=${step} max=${Math.max(total, step)} step=${step} value=${at} aria-valuetext=${whole(at)}
      onInput=${(event) => setAt(Number(event.target.value))} onChange=${(event) => setQuery({ end: Number(event.target.value) >= total - step ? null : event.target.value })} /> ${whole(at)}</label>`;
}

function Cells({ map, chosen }) {
  const rows = map.cell.map((_, at) => at).sort((a, b) => map.best[b] - map.best[a]).slice(0, 250);
  const columns = [
    ["Cell", (at) => html`<button type="button" class="quiet" aria-pressed=${String(map.cell[at] === chosen)} onClick=${() => setQuery({ cell: map.cell[at] })}>${map.cell[at] % CELLS}, ${Math.floor(map.cell[at] / CELLS)}</button>`],
    ["Best fitness", (at) => number(map.best[at]), true],
    ["Evaluations", (at) => whole(map.size[at]), true],
  ];
  return html`<${Rows} caption="Cells with the fittest evaluations, column and row from 0" columns=${columns} rows=${rows} size=${10} />`;
}

function Who({ path, name, map, cell, end }) {
  const x = cell % CELLS, y = Math.floor(cell / CELLS);
  const { value, error } = useAnswer(`${path}/evaluations?order=best&axes=${map.axes.join(",")}&left=${x}&right=${x}&bottom=${y}&top=${y}${end ? `&end=${end}` : ""}`);
  const link = (id, text) => html`<a href=${`/e/${encodeURIComponent(name)}/i/${id}`}>${text}</a>`;
  const columns = [
    ["Who", (row) => html`<code>${row.id}</code>`],
    ["Fitness", (row) => number(row.fitness), true],
    ["Evaluation", (row) => whole(row.number), true],
    ["Told after", (row) => duration(row.running_s), true],
    ["Replay", (row) => (row.id.includes(".") ? "a member of an epoch" : link(row.id, "Watch it play"))],
  ];
  return html`
    <${Section} title=${`Who was in cell ${x}, ${y}`} wide>
      ${error ? html`<${Notice} kind="warn">${sentence(error.message)}<//>` : !value ? html`<${Loading} what="who was there" />`
        : html`<${Rows} caption="The fittest 25, best first" columns=${columns} rows=${value.evaluations} />`}
    <//>`;
}
