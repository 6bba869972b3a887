// MAP-Elites: of each cell the fittest, as a heat map; a cell says whose it is.
import { html, useEffect, useRef } from "./vendor/htm-preact.module.js";
import { useAnswer } from "./ask.js";
import { choose } from "./chosen.js";
import { Ramp, span, viridis } from "./colours.js";
import { Line } from "./line.js";
import { Loading, Notice, Rows, Section } from "./parts.js";
import { setQuery } from "./router.js";
import { sentence } from "./states.js";
import { counted, number, percent, whole } from "./words.js";

const WIDE = 512;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export default function Elites({ name, path, query, evaluations }) {
  const x = placeIn(query, "ex", 0), y = placeIn(query, "ey", 1);
  const { value, error, again } = useAnswer(`${path}/elites?x=${x}&y=${y}`);
  useEffect(() => {
    if (value) again();
  }, [evaluations]);
  const tile = value && /^\d{1,5}$/.test(query.get("tile") ?? "") && Number(query.get("tile")) < value.columns * value.rows ? Number(query.get("tile")) : null;
  return html`
    <${Section} title="Elites" wide>
      ${error && !value ? html`<${Notice} kind="warn">${sentence(error.message)}<//>` : !value ? html`<${Loading} what="the elites" />`
        : !value.elites ? html`<p class="empty">No cell has an elite yet; the first evaluation fills one.</p>`
        : html`<${Shown} name=${name} path=${path} map=${value} tile=${tile} axes=${[x, y]} />`}
    <//>`;
}

const placeIn = (query, axis, otherwise) => (/^[0-7]$/.test(query.get(axis) ?? "") ? Number(query.get(axis)) : otherwise);

function Shown({ name, path, map, tile, axes }) {
  const scores = map.fitness.filter((each) => each !== null), [low, high] = span(scores);
  const pick = (axis, at) => html`
    <label>${axis === "ex" ? "Elites across" : "Elites upwards"} <select value=${axes[at]} onChange=${(event) => setQuery({ [axis]: event.target.value, tile: null })}>
      ${map.measures.map(([called], of) => html`<option value=${of}>${called}</option>`)}</select></label>`;
  const folded = map.measures.length > 2 ? " Each place shows the fittest of all that lie there." : "";
  return html`
    <p class="soft">${counted(map.elites, "cell")} of ${whole(map.cells)} ${map.elites === 1 ? "has" : "have"} an elite (${percent(map.elites / map.cells)}).${folded}</p>
    ${map.measures.length > 2 ? html`<p class="picks">${pick("ex", 0)} ${pick("ey", 1)}</p>` : null}
    <div class="maps">
      <${HeatMap} map=${map} tile=${tile} axes=${axes} low=${low} high=${high} />
      <div class="map">${tile === null ? html`<p class="soft">Click on a cell, or move with the arrow keys, and here is whose it is.</p>` : html`<${Whose} key=${tile} name=${name} path=${path} map=${map} tile=${tile} axes=${axes} />`}</div>
    </div>
    <${Ramp} what="Fitness" low=${number(low)} high=${number(high)} />
    <${Best} name=${name} map=${map} tile=${tile} />`;
}

function HeatMap({ map, tile, axes, low, high }) {
  const canvas = useRef(null), { columns, rows } = map, tall = rows === 1 ? 48 : WIDE;
  useEffect(() => {
    const pen = canvas.current.getContext("2d");
    pen.clearRect(0, 0, WIDE, tall);
    map.fitness.forEach((each, at) => {
      if (each === null) return;
      pen.fillStyle = viridis((each - low) / (high - low || 1));
      pen.fillRect(...boxOf(map, at, tall));
    });
    if (tile === null) return;
    const [left, top, width, height] = boxOf(map, tile, tall);
    for (const [colour, line] of [["#ffffff", 5], ["#000000", 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = line;
      pen.strokeRect(left - 1, top - 1, width + 2, height + 2);
    }
  }, [map, tile, low, high]);
  const go = (x, y) => setQuery({ tile: Math.max(0, Math.min(rows - 1, y)) * columns + Math.max(0, Math.min(columns - 1, x)) });
  const click = (event) => {
    const box = canvas.current.getBoundingClientRect();
    go(Math.floor(((event.clientX - box.left) / box.width) * columns), rows - 1 - Math.floor(((event.clientY - box.top) / box.height) * rows));
  };
  const pressed = (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    const at = tile ?? Math.floor(rows / 2) * columns + Math.floor(columns / 2);
    go((at % columns) + (tile === null ? 0 : move[0]), Math.floor(at / columns) + (tile === null ? 0 : move[1]));
  };
  const along = (at) => `${map.measures[at][0]}, ${number(map.measures[at][1])} to ${number(map.measures[at][2])}`;
  return html`
    <figure class="map">
      <canvas ref=${canvas} class="drawing elites" width=${WIDE} height=${tall} role="img" tabindex="0" onClick=${click} onKeyDown=${pressed}
        aria-label=${`A heat map of elites: ${counted(map.elites, "cell")} filled, fitness ${number(low)} to ${number(high)}. The table below has the best.`}></canvas>
      <figcaption>Across: ${along(axes[0])}.${map.measures.length > 1 ? html`<br />Upwards: ${along(axes[1])}.` : null}</figcaption>
    </figure>`;
}

function boxOf({ columns, rows }, at, tall) {
  const edge = (place, of, length) => Math.round((place * length) / of), x = at % columns, y = rows - 1 - Math.floor(at / columns);
  const left = edge(x, columns, WIDE), top = edge(y, rows, tall);
  return [left, top, edge(x + 1, columns, WIDE) - left, edge(y + 1, rows, tall) - top];
}

function Whose({ name, path, map, tile, axes }) {
  const { value, error } = useAnswer(`${path}/elites?x=${axes[0]}&y=${axes[1]}&tile=${tile}`);
  if (error) return html`<${Notice} kind="warn">${sentence(error.message)}<//>`;
  if (!value) return html`<${Loading} what="whose it is" />`;
  const { elite } = value, at = `column ${tile % map.columns}, row ${Math.floor(tile / map.columns)}`;
  if (!elite) return html`<p role="status">Nobody is at ${at} yet.</p>`;
  return html`
    <p role="status">The elite at ${at}${map.columns * map.rows === map.cells ? "" : ` (cell ${whole(elite.cell)})`}:</p>
    <dl class="pairs">
      <dt>Who</dt><dd><code>${elite.id}</code></dd>
      <dt>Fitness</dt><dd>${number(elite.fitness)}</dd>
      <dt>Mutations</dt><dd>${whole(elite.mutations)}</dd>
      ${elite.behaviour.map((each, of) => html`<dt>${map.measures[of][0]}</dt><dd>${number(each, 3)}</dd>`)}
    </dl>
    <p class="buttons"><a href=${`/e/${encodeURIComponent(name)}/i/${elite.id}`}>Watch it play</a>
      <button type="button" class="quiet" onClick=${() => choose(elite.id)}>Choose it everywhere</button></p>
    <${Line} path=${path} id=${elite.id} />`;
}

function Best({ name, map, tile }) {
  const columns = [
    ["Cell", (row) => (row.tile === null ? whole(row.cell)
      : html`<button type="button" class="quiet" aria-pressed=${String(row.tile === tile)} onClick=${() => setQuery({ tile: row.tile })}>${whole(row.cell)}</button>`), true],
    ["Who", (row) => html`<code>${row.id}</code>`],
    ["Fitness", (row) => number(row.fitness), true],
    ["Mutations", (row) => whole(row.mutations), true],
    ["Replay", (row) => html`<a href=${`/e/${encodeURIComponent(name)}/i/${row.id}`}>Watch</a>`],
  ];
  return html`<${Rows} caption="The fittest elites" columns=${columns} rows=${map.best} size=${10} />`;
}
