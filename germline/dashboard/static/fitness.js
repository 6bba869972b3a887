// The curve of a run: quantile bands, the champion, and the axis that a person chose.
import { html } from "./vendor/htm-preact.module.js";
import { Chart } from "./chart.js";
import { capital, counted, duration, number, whole } from "./words.js";

/** The axes of a curve: the word of each, and how its values are written. */
export const axes = (played) => ({
  evaluations: { name: "Evaluations", text: (value) => counted(value, "evaluation") },
  frames: { name: capital(played), text: (value) => `${whole(value)} ${played}` },
  seconds: { name: "Running time", text: (value) => duration(value) },
});

const span = (low, high) => (lines, place) => {
  const of = (name) => lines.find((line) => line.name === name).values[place];
  return place < 0 ? "" : `${number(of(low))} to ${number(of(high))}`;
};

const BANDS = [
  { name: "all of them", low: "worst", high: "best", colour: "fan-wide", text: span("worst", "best") },
  { name: "the middle 80 %", low: "10 %", high: "90 %", colour: "fan-near", text: span("10 %", "90 %") },
];

export function Fitness({ curve, axis, played, range, onRange, marks, old, onPick }) {
  const { columns } = curve;
  const { name, text } = axes(played)[axis];
  const x = { name, text, values: columns[axis] };
  const champions = columns.champion.some((value) => value !== null);
  const lines = [
    { name: "worst", values: columns.worst, hidden: true },
    { name: "10 %", values: columns.low, hidden: true },
    { name: "median", values: columns.median, colour: "series-1" },
    { name: "90 %", values: columns.high, hidden: true },
    { name: "best", values: columns.best, hidden: true },
    ...(champions ? [{ name: "champion", values: columns.champion, colour: "series-2", step: true, width: 2.5 }] : []),
  ];
  return html`<${Chart} label=${`Fitness of ${curve.of} over ${name.toLowerCase()}`} x=${x} lines=${lines} bands=${BANDS} marks=${marks}
    range=${range} onRange=${onRange} onPick=${onPick} old=${old} sentence=${told(columns, text(x.values.at(-1)), curve.of)} />`;
}

function told(columns, where, of) {
  const last = (name) => columns[name].at(-1);
  const champion = last("champion") === null ? "no champion yet" : `champion ${number(last("champion"))}`;
  return `After ${where}: median ${number(last("median"))} of ${of}, best ${number(last("best"))}, ${champion}.`;
}
