// A chart: lines and bands over one axis, for eyes, for keyboards, and as a table for everybody else.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/htm-preact.module.js";
import uPlot from "./vendor/uPlot.esm.js";
import { Rows } from "./parts.js";
import { brief, number, whole } from "./words.js";

const HEIGHT = 340;
const SAY_MS = 2000;

/** A colour of the theme by its name in base.css. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/**
 * Props:
 *   x: {name, unit, values}, ascending; text(value) writes one.
 *   lines: [{name, values, colour, dash, width, step, hidden, text}], colour a name of base.css.
 *   bands: [{name, low, high, colour}], low and high names of lines.
 *   marks: [{at, text, often}], events on the axis; those that come often have no hair.
 *   onPick(place): a person went to a place in x.values, by click or key.
 *   range: [from, to] of the axis, or null for all; onRange(range) when a person zooms.
 *   sentence: what the chart says, in one sentence made of its data.
 */
export function Chart({ label, x, lines, bands = [], marks = [], range = null, onRange, onPick, sentence, old = false, height = HEIGHT }) {
  const host = useRef(null), plot = useRef(null), newest = useRef({});
  const [at, setAt] = useState(null);
  const shape = JSON.stringify([x.name, lines.map((line) => [line.name, line.colour, line.dash, line.hidden]), bands, height]);
  newest.current = { x, lines, marks, range, onRange, onPick };

  useLayoutEffect(() => {
    plot.current = drawn(host.current, { x, lines, bands, height, newest, setAt });
    const fit = new ResizeObserver(() => plot.current.setSize({ width: host.current.clientWidth, height }));
    fit.observe(host.current);
    const redraw = () => plot.current.redraw(false);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    window.addEventListener("theme", redraw);
    scheme.addEventListener("change", redraw);
    return () => {
      fit.disconnect();
      window.removeEventListener("theme", redraw);
      scheme.removeEventListener("change", redraw);
      plot.current.destroy();
    };
  }, [shape]);

  useEffect(() => {
    plot.current.setData([x.values, ...lines.map(numbers)], false);
    const [low, high] = range ?? ends(x.values);
    plot.current.setScale("x", { min: low, max: high });
  }, [x.values, lines, range?.[0], range?.[1]]);

  useEffect(() => plot.current.redraw(false), [marks]);

  const place = at === null || at >= x.values.length ? x.values.length - 1 : at;
  const move = (to) => {
    const next = Math.max(0, Math.min(x.values.length - 1, to));
    setAt(next);
    onPick?.(next);
    plot.current.setCursor({ left: plot.current.valToPos(x.values[next], "x"), top: 10 }, false);
  };
  const zoom = (factor) => onRange?.(zoomed(range ?? ends(x.values), x.values[place], factor, ends(x.values)));
  const pressed = (event) => {
    const page = Math.max(1, Math.round(x.values.length / 20));
    const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, PageUp: place - page, PageDown: place + page, Home: 0, End: x.values.length - 1 };
    if (event.key in moves) move(moves[event.key]);
    else if (onRange && (event.key === "+" || event.key === "=")) zoom(0.5);
    else if (onRange && event.key === "-") zoom(2);
    else if (onRange && event.key === "0") onRange(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`
    <figure class=${old ? "chart old" : "chart"}>
      <div class="chart-head">
        <${Legend} x=${x} lines=${lines} bands=${bands} place=${place} isNow=${at === null && !range} />
        ${onRange ? html`<div class="zoom" role="group" aria-label="Zoom">
          <button type="button" class="quiet" aria-label="Zoom in" onClick=${() => zoom(0.5)}>+</button>
          <button type="button" class="quiet" aria-label="Zoom out" onClick=${() => zoom(2)} disabled=${!range}>−</button>
          <button type="button" class="quiet" onClick=${() => onRange(null)} disabled=${!range}>All</button>
        </div>` : null}
      </div>
      <div class="plot" style=${{ minHeight: `${height}px` }} ref=${host} role="img" tabindex="0" aria-label=${`${label}. ${sentence}`} onKeyDown=${pressed} onClick=${() => at !== null && onPick?.(at)} onBlur=${() => setAt(null)}></div>
      <${Said} text=${at === null ? "" : values(x, lines, place)} />
      <details class="as-table"><summary>Table of ${whole(x.values.length)} points</summary>
        <${ChartTable} label=${label} x=${x} lines=${lines} /></details>
    </figure>`;
}

/** What the lines are, with their values where the cursor is, or now. */
function Legend({ x, lines, bands, place, isNow }) {
  const shown = lines.filter((line) => !line.hidden);
  return html`<ul class="legend">
    <li class="legend-at">${x.values.length ? (isNow ? "Now, " : "") + x.text(x.values[place]) : ""}</li>
    ${shown.map((line) => html`<li><span class=${`swatch line ${line.colour} ${line.dash ? "dashed" : ""}`} aria-hidden="true"></span>${line.name}
      <b>${written(line, known(line, place))}</b></li>`)}
    ${bands.map((band) => html`<li><span class=${`swatch band ${band.colour}`} aria-hidden="true"></span>${band.name}
      <b>${band.text ? band.text(lines, place) : ""}</b></li>`)}
  </ul>`;
}

/** Values for who listens, at most every two seconds. */
function Said({ text }) {
  const [said, setSaid] = useState("");
  const last = useRef(0);
  useEffect(() => {
    const wait = Math.max(0, last.current + SAY_MS - Date.now());
    const timer = setTimeout(() => {
      last.current = Date.now();
      setSaid(text);
    }, wait);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="unseen" aria-live="polite">${said}</p>`;
}

function ChartTable({ label, x, lines }) {
  const rows = useMemo(() => x.values.map((_, place) => place).reverse(), [x.values]);
  const columns = [[x.name, (place) => x.text(x.values[place]), true]];
  for (const line of lines) columns.push([line.name, (place) => written(line, place), true]);
  return html`<${Rows} caption=${`${label}, newest first`} columns=${columns} rows=${rows} />`;
}

/** What is drawn of a line: one that only the table has may hold anything. */
const numbers = (line) => (line.text && line.hidden ? line.values.map(() => null) : line.values);
const written = (line, place) => (line.text ?? number)(line.values[place]);
/** The last place that a line has a value at, up to this one: lines of several runs do not share all places. */
function known(line, place) {
  let at = place;
  while (at > 0 && line.values[at] === null) at -= 1;
  return at;
}
const values = (x, lines, place) => [x.text(x.values[place]), ...lines.filter((line) => !line.hidden).map((line) => `${line.name} ${written(line, place)}`)].join(", ");
const ends = (values) => (values.length ? (values.length > 1 ? [values[0], values.at(-1)] : [values[0] - 1, values[0] + 1]) : [0, 1]);

function zoomed([low, high], around, factor, [first, last]) {
  const middle = around >= low && around <= high ? around : (low + high) / 2;
  const next = [Math.max(first, middle - (middle - low) * factor), Math.min(last, middle + (high - middle) * factor)];
  if (next[0] <= first && next[1] >= last) return null;
  return next[1] - next[0] > 0 ? next.map(Math.round) : [low, high];
}

function drawn(host, { x, lines, bands, height, newest, setAt }) {
  const place = Object.fromEntries(lines.map((line, index) => [line.name, index + 1]));
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: () => colour("soft"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, font };
  return new uPlot({
    width: host.clientWidth || 600, height,
    legend: { show: false },
    cursor: { points: { size: 7 }, drag: { x: true, y: false, setScale: false, dist: 6 }, y: false },
    scales: { x: { time: false }, y: { range: (_, low, high) => padded(low, high) } },
    axes: [
      { ...axis, space: 70, size: 34, values: (_, at) => at.map(brief) },
      { ...axis, size: (_, at) => (at ? Math.max(40, 14 + 7 * Math.max(...at.map((each) => each.length))) : 50), values: (_, at) => at.map((each) => compact(each)) },
    ],
    series: [{}, ...lines.map((line) => drawnLine(line))],
    bands: bands.map((band) => ({ series: [place[band.high], place[band.low]], fill: () => colour(band.colour) })),
    hooks: {
      draw: [(u) => drawMarks(u, newest.current.marks)],
      setCursor: [(u) => setAt(u.cursor.idx ?? null)],
      setSelect: [(u) => {
        if (u.select.width < 6) return;
        const chosen = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")].map(Math.round);
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        if (chosen[1] > chosen[0]) newest.current.onRange?.(chosen);
      }],
    },
  }, [x.values, ...lines.map(numbers)], host);
}

function drawnLine(line) {
  const paths = line.step ? uPlot.paths.stepped({ align: 1 }) : undefined;
  return {
    label: line.name, stroke: line.hidden ? "transparent" : () => colour(line.colour), width: line.hidden ? 0 : line.width ?? 2,
    dash: line.dash, paths, points: { show: false }, spanGaps: true,
  };
}

const compact = (value) => (Math.abs(value) >= 1e4 ? brief(value) : String(Number(value.toPrecision(6)))).replace("-", "−");

function padded(low, high) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** Events as small triangles on the axis, with a hair above them. */
function drawMarks(u, marks) {
  const { ctx } = u, { top, height, left, width } = u.bbox, size = 5 * devicePixelRatio;
  ctx.save();
  for (const mark of marks) {
    const at = u.valToPos(mark.at, "x", true);
    if (at < left || at > left + width) continue;
    ctx.strokeStyle = ctx.fillStyle = colour("soft");
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.globalAlpha = 0.5;
    ctx.beginPath();
    ctx.moveTo(at, mark.often ? top + height : top);
    ctx.lineTo(at, top + height);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.moveTo(at - size, top + height);
    ctx.lineTo(at + size, top + height);
    ctx.lineTo(at, top + height - 1.6 * size);
    ctx.fill();
  }
  ctx.restore();
}
