// Who was in the cells of a brush: page by page, best first.
import { html, useState } from "./vendor/htm-preact.module.js";
import { useAnswer } from "./ask.js";
import { choose } from "./chosen.js";
import { Loading, Notice, Rows, Section } from "./parts.js";
import { setQuery } from "./router.js";
import { sentence } from "./states.js";
import { duration, number, whole } from "./words.js";

const LEVELS = 65535, SHOWN_NUMBERS = 4, PAGE = 25;

export function Who({ path, name, map, brush, part, chosen }) {
  const [before, setBefore] = useState([""]); // what each page so far was asked with
  const bounds = `left=${brush.left}&right=${brush.right}&bottom=${brush.bottom}&top=${brush.top}`;
  const times = `${part.end === null ? "" : `&end=${part.end}`}${part.first === null ? "" : `&first=${part.first}`}`;
  const after = before.at(-1) && `&after=${encodeURIComponent(before.at(-1))}`;
  const { value, error, asking } = useAnswer(`${path}/evaluations?order=best&limit=${PAGE}&axes=${map.axes.join(",")}&${bounds}${times}${after}`);
  const one = brush.left === brush.right && brush.bottom === brush.top;
  const where = one ? `cell ${brush.left}, ${brush.bottom}` : `columns ${brush.left} to ${brush.right}, rows ${brush.bottom} to ${brush.top}`;
  const first = (before.length - 1) * PAGE;
  return html`
    <${Section} title=${`Who was in ${where}`} wide aside=${html`<button type="button" class="quiet" onClick=${() => setQuery({ cells: null, on: null })}>Choose no cell</button>`}>
      ${error ? html`<${Notice} kind="warn">${sentence(error.message)}<//>` : !value ? html`<${Loading} what="who was there" />`
        : !value.evaluations.length ? html`<p class="empty">Nobody was there.</p>`
        : html`<${Rows} caption=${`Number ${whole(first + 1)} to ${whole(first + value.evaluations.length)} of them, best first`} columns=${columnsOf(name, map, chosen)} rows=${value.evaluations} />
          <div class="pager">
            <button type="button" class="quiet" disabled=${before.length === 1 || asking} onClick=${() => setBefore(before.slice(0, -1))}>Fitter ones</button>
            <button type="button" class="quiet" disabled=${!value.next || asking} onClick=${() => setBefore([...before, value.next])}>More of them</button>
          </div>`}
    <//>`;
}

function columnsOf(name, map, chosen) {
  const isMember = (row) => row.id.includes(".");
  return [
    ["Who", (row) => (isMember(row) ? html`<code>${row.id}</code>`
      : html`<button type="button" class="quiet" aria-pressed=${String(row.id === chosen)} onClick=${() => choose(row.id)}><code>${row.id}</code></button>`)],
    ["Fitness", (row) => number(row.fitness), true],
    ["Evaluation", (row) => whole(row.number), true],
    ["Told after", (row) => duration(row.running_s), true],
    ...map.measures.slice(0, SHOWN_NUMBERS).map(([called, low, high], at) => [called, (row) => number(low + ((high - low) * row.behaviour[at]) / LEVELS, high - low < 10 ? 3 : 1), true]),
    ["Replay", (row) => (isMember(row) ? "a member of an epoch" : html`<a href=${`/e/${encodeURIComponent(name)}/i/${row.id}`}>Watch it play</a>`)],
  ];
}
