// A map of what was done: 128 x 128 cells, for eyes, pointers and keyboards. Several cells are chosen by a brush.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";
import { span, viridis } from "./colours.js";
import { counted, number } from "./words.js";

export const CELLS = 128;
const SIZE = 4, WIDE = CELLS * SIZE;
const LEVELS = 65535;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const SHOWN_WEIGHTS = 3;

/** A rectangle of cells, both ends among them, as an address has it: "left,bottom,right,top"; or null. */
export function brushOf(text) {
  const given = /^\d{1,3}(,\d{1,3}){3}$/.test(text ?? "") ? text.split(",").map(Number) : null;
  if (!given || given.some((each) => each >= CELLS)) return null;
  const [left, bottom, right, top] = given;
  return left <= right && bottom <= top ? { left, bottom, right, top } : null;
}

export const written = ({ left, bottom, right, top }) => [left, bottom, right, top].join(",");

export const inBrush = (brush, cell) => {
  const x = cell % CELLS, y = Math.floor(cell / CELLS);
  return x >= brush.left && x <= brush.right && y >= brush.bottom && y <= brush.top;
};

/** Where a behaviour, of numbers up to 65,535, lies on a map, in cells. */
export function placeOf(axes, behaviour) {
  const along = (axis) => {
    const sum = behaviour.reduce((total, each, at) => total + (axes[axis * 8 + at] * each) / LEVELS, 0);
    return Math.max(0, Math.min(CELLS - 1, ((sum - axes[16 + axis]) / (axes[18 + axis] - axes[16 + axis])) * CELLS));
  };
  return [along(0), along(1)];
}

/** What lies along an axis of a map, in words: a number from its lowest to its highest, or a mixture of several. */
export function axisText(map, axis) {
  const weights = map.axes.slice(axis * 8, axis * 8 + map.numbers);
  const of = weights.indexOf(1);
  if (of >= 0 && weights.every((weight, at) => weight === (at === of ? 1 : 0))) {
    const [name, low, high] = map.measures[of];
    return `${name}, ${number(low)} to ${number(high)}`;
  }
  const largest = weights.map((weight, at) => [weight, map.measures[at][0]]).sort((a, b) => Math.abs(b[0]) - Math.abs(a[0])).slice(0, SHOWN_WEIGHTS);
  return largest.map(([weight, name]) => `${weight < 0 ? "−" : "+"}${number(Math.abs(weight), 2)} ${name}`).join(" ");
}

export function BehaviourMap({ map, values, brush, onBrush, marked, title }) {
  const canvas = useRef(null), begun = useRef(null);
  const [drawing, setDrawing] = useState(null);
  const shown = drawing ?? brush;
  useEffect(() => draw(canvas.current.getContext("2d"), map, values, shown, marked), [map, values, shown && written(shown), marked?.join()]);

  const cellAt = (event) => {
    const box = canvas.current.getBoundingClientRect();
    const inside = (share) => Math.max(0, Math.min(CELLS - 1, Math.floor(share * CELLS)));
    return [inside((event.clientX - box.left) / box.width), CELLS - 1 - inside((event.clientY - box.top) / box.height)];
  };
  const down = (event) => {
    begun.current = cellAt(event);
    canvas.current.setPointerCapture?.(event.pointerId);
  };
  const moved = (event) => begun.current && setDrawing(between(begun.current, cellAt(event)));
  const up = (event) => {
    if (!begun.current) return;
    const drawn = between(begun.current, cellAt(event));
    begun.current = null;
    setDrawing(null);
    onBrush(drawn.left === drawn.right && drawn.bottom === drawn.top ? nearest(map, drawn.left, drawn.bottom) : drawn);
  };
  const pressed = (event) => {
    const move = MOVES[event.key];
    if (event.key === "Escape") onBrush(null);
    else if (move) onBrush(stepped(brush, move, event.shiftKey));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const label = `${title}: ${counted(map.cell.length, "cell")}; the fittest evaluation has ${number(span(map.best)[1])}. Arrow keys move what is chosen, with Shift they make it larger. The table below has the same.`;
  return html`
    <figure class="map">
      <canvas ref=${canvas} class="drawing" width=${WIDE} height=${WIDE} role="img" tabindex="0" aria-label=${label}
        onPointerDown=${down} onPointerMove=${moved} onPointerUp=${up} onPointerCancel=${() => { begun.current = null; setDrawing(null); }} onKeyDown=${pressed}></canvas>
      <figcaption>Across: ${axisText(map, 0)}.<br />Upwards: ${axisText(map, 1)}.</figcaption>
    </figure>`;
}

const between = ([x, y], [u, v]) => ({ left: Math.min(x, u), right: Math.max(x, u), bottom: Math.min(y, v), top: Math.max(y, v) });

/** The filled cell that lies next to a place. */
function nearest(map, x, y) {
  let found = null, least = Infinity;
  for (const cell of map.cell) {
    const far = (cell % CELLS - x) ** 2 + (Math.floor(cell / CELLS) - y) ** 2;
    if (far < least) [found, least] = [cell, far];
  }
  return found === null ? null : cellBrush(found);
}

export const cellBrush = (cell) => between([cell % CELLS, Math.floor(cell / CELLS)], [cell % CELLS, Math.floor(cell / CELLS)]);

/** What is chosen, moved by a cell or, if it grows, with its far corner moved; the middle cell to begin with. */
function stepped(brush, [dx, dy], grows) {
  if (!brush) return between([CELLS / 2, CELLS / 2], [CELLS / 2, CELLS / 2]);
  const kept = (at) => Math.max(0, Math.min(CELLS - 1, at));
  const right = kept(brush.right + dx), top = kept(brush.top + dy);
  if (grows) return { ...brush, right: Math.max(brush.left, right), top: Math.max(brush.bottom, top) };
  return { left: Math.min(kept(brush.left + dx), right), right, bottom: Math.min(kept(brush.bottom + dy), top), top };
}

function draw(pen, map, values, brush, marked) {
  pen.clearRect(0, 0, WIDE, WIDE);
  const [low, high] = span(values);
  map.cell.forEach((cell, at) => {
    pen.fillStyle = viridis((values[at] - low) / (high - low || 1));
    pen.fillRect((cell % CELLS) * SIZE, (CELLS - 1 - Math.floor(cell / CELLS)) * SIZE, SIZE, SIZE);
  });
  if (brush) {
    const x = brush.left * SIZE, y = (CELLS - 1 - brush.top) * SIZE;
    pen.lineWidth = 2;
    pen.strokeStyle = "#D55E00";
    pen.strokeRect(x - 2, y - 2, (brush.right - brush.left + 1) * SIZE + 4, (brush.top - brush.bottom + 1) * SIZE + 4);
  }
  if (marked) ringed(pen, (marked[0] / CELLS) * WIDE, WIDE - (marked[1] / CELLS) * WIDE);
}

/** A ring that stands out on every colour. */
function ringed(pen, x, y) {
  for (const [colour, width] of [["#ffffff", 5], ["#000000", 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(x, y, 8, 0, 2 * Math.PI);
    pen.stroke();
  }
}
