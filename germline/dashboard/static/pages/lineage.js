// Where does it come from, has it collapsed? The champion's line, the tree of the living, and who took over when.
import { html } from "../vendor/htm-preact.module.js";
import { useAnswer } from "../ask.js";
import { choose, Chosen, chosenIn, useChosen, WhenChosen } from "../chosen.js";
import { Heading } from "../heading.js";
import { Command, Loading, Notice, Rows, Section } from "../parts.js";
import { sentence } from "../states.js";
import { counted, number, percent, whole } from "../words.js";

const WIDE = 900, HIGH = 260, EDGE = 6, GAINS = 20;
// Told apart by people who see few colours, on light and on dark.
const COLOURS = ["#8a8a8a", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5FA8"];

export default function Lineage({ name, query }) {
  const path = `/api/experiments/${encodeURIComponent(name)}`;
  const about = useAnswer(path).value;
  const { value, error } = useAnswer(`${path}/lineage`);
  const chosen = chosenIn(query), life = useChosen(path, chosen);
  const known = life.value?.id === chosen ? life.value : null;
  return html`
    <${Heading} name=${name} look=${about} about=${about} tab="/lineage" />
    ${error && !value ? html`<${Notice} kind="info" title="There is no lineage to show.">${sentence(error.message)}<//>` : null}
    ${!value ? (error ? null : html`<${Loading} what="the lineage" />`) : html`
      <p class="lead">${summary(value)}</p>
      ${chosen ? html`<${Chosen} name=${name} id=${chosen} life=${life} here="/lineage" />` : null}
      ${known && known.shown !== chosen ? html`<p class="soft">${known.shown ? html`It is in none of these pictures; its youngest ancestor that is, <code>${known.shown}</code>, is marked.` : "Nobody of its line is in these pictures."}</p>` : null}
      <${Trunk} found=${value} chosen=${known?.shown ?? chosen} name=${name} />
      <${Crown} found=${value} chosen=${known?.shown ?? chosen} />
      <${Sweeps} found=${value} name=${name} />
      <${WhenChosen} name=${name} path=${path} about=${about} life=${life} />
      <${Files} name=${name} path=${path} />`}`;
}

function summary({ trunk, trunk_length, common, living }) {
  const line = `The champion's line has ${counted(trunk_length - 1, "mutation")}.`;
  if (common === null) return `${line} The ${counted(living, "living member")} do not all descend from one of it.`;
  return `${line} All ${whole(living)} living members descend from evaluation ${whole(trunk.born[common])}.`;
}

/** For other programs. */
const Files = ({ name, path }) => html`
  <${Section} title="For other programs" wide>
    <p class="links"><a href=${`${path}/lineage.nwk`} download=${`${name}.nwk`}>Newick</a> <a href=${`${path}/lineage.csv`} download=${`${name}.csv`}>CSV</a></p>
    <p class="soft">The champion's line and the tree of the living, as above; the CSV is a phylogeny table of artificial life. Everybody who was ever evaluated:</p>
    <${Command} line=${`germline export-archive ${name} --format newick --output ${name}.nwk`} />
  <//>`;

/** A scale from values to a length. */
function scale(values, from, to) {
  const low = Math.min(...values), high = Math.max(...values);
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

function Trunk({ found, chosen, name }) {
  const { trunk } = found;
  const x = scale(trunk.depth, EDGE, WIDE - EDGE), y = scale(trunk.fitness, HIGH - EDGE, EDGE);
  const steps = trunk.depth.map((depth, at) => `${at ? `H${x(depth).toFixed(1)}V` : `M${x(depth).toFixed(1)} `}${y(trunk.fitness[at]).toFixed(1)}`).join("");
  const largest = trunk.gain.map((gain, at) => [gain, at]).sort((a, b) => b[0] - a[0]).slice(0, GAINS).filter(([gain]) => gain > 0).map(([, at]) => at);
  const last = trunk.id.length - 1, own = trunk.id.indexOf(chosen);
  const label = `Fitness along the champion's line: ${number(trunk.fitness[0])} at its founder, ${number(trunk.fitness[last])} after ${counted(trunk.depth[last], "mutation")}`;
  const columns = [
    ["Who", (at) => html`<button type="button" class="quiet" aria-pressed=${String(trunk.id[at] === chosen)} onClick=${() => choose(trunk.id[at])}><code>${trunk.id[at]}</code></button>`],
    ["Gain", (at) => number(trunk.gain[at]), true],
    ["Fitness", (at) => number(trunk.fitness[at]), true],
    ["Mutation", (at) => whole(trunk.depth[at]), true],
    ["Evaluation", (at) => whole(trunk.born[at]), true],
    ["Living descendants", (at) => whole(trunk.living[at]), true],
    ["Replay", (at) => html`<a href=${`/e/${encodeURIComponent(name)}/i/${trunk.id[at]}`}>Watch</a>`],
  ];
  return html`
    <${Section} title="The champion's line" wide>
      <svg class="drawing" viewBox=${`0 0 ${WIDE} ${HIGH}`} role="img" aria-label=${label}>
        <path d=${steps} fill="none" stroke="currentColor" stroke-width="1.5" />
        ${largest.map((at) => html`<circle cx=${x(trunk.depth[at])} cy=${y(trunk.fitness[at])} r="4" fill=${COLOURS[2]} />`)}
        ${own < 0 ? null : html`<circle class="marked" cx=${x(trunk.depth[own])} cy=${y(trunk.fitness[own])} r="7" fill="none" stroke=${COLOURS[1]} stroke-width="3"><title>${chosen}</title></circle>`}
      </svg>
      <${Rows} caption="The mutations that gained most" columns=${columns} rows=${largest} size=${10} />
    <//>`;
}

function Crown({ found, chosen }) {
  const { crown } = found;
  const rows = ordered(crown), high = Math.max(120, Math.min(600, crown.id.length));
  const x = scale(crown.born, EDGE, WIDE - EDGE), y = scale(rows, EDGE, high - EDGE);
  const branches = crown.id.map((_, at) => (crown.parent[at] < 0 ? "" : `M${x(crown.born[at]).toFixed(1)} ${y(rows[at]).toFixed(1)}H${x(crown.born[crown.parent[at]]).toFixed(1)}V${y(rows[crown.parent[at]]).toFixed(1)}`)).join("");
  const best = scale(crown.fitness, 0.25, 1), own = crown.id.indexOf(chosen);
  const columns = [
    ["Who", (at) => html`<button type="button" class="quiet" aria-pressed=${String(crown.id[at] === chosen)} onClick=${() => choose(crown.id[at])}><code>${crown.id[at]}</code></button>${crown.id[at] === found.champion ? " champion" : ""}`],
    ["Fitness", (at) => number(crown.fitness[at]), true],
    ["Mutations", (at) => whole(crown.depth[at]), true],
    ["Evaluation", (at) => whole(crown.born[at]), true],
    ["Living descendants", (at) => whole(crown.living[at]), true],
  ];
  const byFitness = crown.id.map((_, at) => at).sort((a, b) => crown.fitness[b] - crown.fitness[a]);
  return html`
    <${Section} title="The living, and where their lines part" wide>
      <svg class="drawing" viewBox=${`0 0 ${WIDE} ${high}`} role="img" aria-label=${`A tree of ${crown.id.length} individuals, from evaluation ${whole(Math.min(...crown.born))} to ${whole(Math.max(...crown.born))}`}>
        <path d=${branches} fill="none" stroke="currentColor" stroke-opacity="0.45" />
        ${crown.id.map((id, at) => (id === found.champion
          ? html`<circle cx=${x(crown.born[at])} cy=${y(rows[at])} r="6" fill=${COLOURS[2]}><title>The champion</title></circle>`
          : crown.parent.includes(at) ? null : html`<circle cx=${x(crown.born[at])} cy=${y(rows[at])} r="2.5" fill=${COLOURS[1]} fill-opacity=${best(crown.fitness[at]).toFixed(2)} />`))}
        ${own < 0 ? null : html`<circle class="marked" cx=${x(crown.born[own])} cy=${y(rows[own])} r="8" fill="none" stroke=${COLOURS[1]} stroke-width="3"><title>${chosen}</title></circle>`}
      </svg>
      <${Rows} caption="Who is in the tree, best first" columns=${columns} rows=${byFitness} size=${10} />
    <//>`;
}

/** The height of each node: leaves one below the other, and whoever has children in their middle. */
function ordered(crown) {
  const children = crown.id.map(() => []), roots = [];
  crown.parent.forEach((parent, at) => (parent < 0 ? roots : children[parent]).push(at));
  const rows = new Array(crown.id.length).fill(0);
  let next = 0;
  const stack = roots.reverse().map((at) => [at, false]);
  while (stack.length) {
    const [at, seen] = stack.pop();
    if (!children[at].length) rows[at] = next++;
    else if (seen) rows[at] = (rows[children[at][0]] + rows[children[at].at(-1)]) / 2;
    else stack.push([at, true], ...children[at].map((child) => [child, false]).reverse());
  }
  return rows;
}

function Sweeps({ found, name }) {
  const { moments, shares, sweeps } = found, kinds = sweeps.length + 1;
  const x = scale(moments, EDGE, WIDE - EDGE), height = HIGH - 2 * EDGE;
  const areas = Array.from({ length: kinds }, (_, kind) => {
    const bound = (at, upTo) => EDGE + height * shares.slice(at * kinds, at * kinds + upTo).reduce((sum, share) => sum + share, 0);
    const top = moments.map((moment, at) => `${x(moment).toFixed(1)} ${bound(at, kind).toFixed(1)}`);
    const bottom = moments.map((moment, at) => `${x(moment).toFixed(1)} ${bound(at, kind + 1).toFixed(1)}`).reverse();
    return `M${[...top, ...bottom].join("L")}Z`;
  });
  const last = shares.slice(-kinds);
  const columns = [
    ["Sweep", (kind) => html`<svg class="swatch" width="14" height="14" aria-hidden="true"><rect width="14" height="14" fill=${COLOURS[kind]} /></svg> ${kind ? html`<a href=${`/e/${encodeURIComponent(name)}/i/${sweeps[kind - 1]}`}><code>${sweeps[kind - 1]}</code></a>` : "nobody of these"}`],
    ["Share at the end", (kind) => percent(last[kind]), true],
  ];
  return html`
    <${Section} title="Whose descendants took over" wide>
      <svg class="drawing" viewBox=${`0 0 ${WIDE} ${HIGH}`} role="img" aria-label=${`Shares of evaluations over time that descend from ${counted(sweeps.length, "sweep")}`}>
        ${areas.map((d, kind) => html`<path d=${d} fill=${COLOURS[kind]} />`)}
      </svg>
      <${Rows} caption="Individuals whose descendants became half of all evaluations" columns=${columns} rows=${Array.from({ length: kinds }, (_, kind) => kind)} />
    <//>`;
}
