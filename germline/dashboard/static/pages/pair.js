// A parent and its child side by side: what one mutation changed, in the genome, in scores and in what they do.
import { html, useEffect, useRef } from "../vendor/htm-preact.module.js";
import { useAnswer } from "../ask.js";
import { choices, isUnderWay, named, usePlayed, waitingFor } from "../episodes.js";
import { Heading } from "../heading.js";
import { Loading, Notice, Rows, Section } from "../parts.js";
import { setQuery } from "../router.js";
import { sentence } from "../states.js";
import { DASH, number, whole } from "../words.js";

const PAIR = ["parent", "child"];

export default function Pair({ name, query }) {
  const path = `/api/experiments/${encodeURIComponent(name)}`, child = query.get("child") ?? "champion";
  const of = (id) => `${path}/individuals/${encodeURIComponent(id)}`;
  const about = useAnswer(path).value, line = useAnswer(`${of(child)}/line`);
  const parent = line.value?.parent ?? null;
  const known = { child: useAnswer(`${of(child)}/episodes`), parent: useAnswer(parent && `${of(parent)}/episodes`) };
  const error = line.error ?? known.child.error ?? known.parent.error;
  const isThere = about && known.child.value && known.parent.value;
  return html`
    <${Heading} name=${name} look=${about} about=${about} tab="/pair" />
    ${error ? html`<${Notice} kind="warn" title="They cannot be shown.">${sentence(error.message)}<//>`
      : line.value && !parent ? html`<${Notice} title="It has no parent.">It is a founder, drawn from seed <code>${line.value.founder}</code> alone.<//>`
      : !isThere ? html`<${Loading} what="both of them" />`
      : html`
        <${Changed} name=${name} line=${line.value} ids=${{ child: line.value.id, parent }} known=${known} />
        ${known.child.value.plays ? html`<${Films} key=${`${parent} ${child}`} of=${{ child: of(child), parent: of(parent) }} known=${known} query=${query} />`
          : html`<${Notice} title="There is nothing to watch.">Its task plays no episodes: it is a function of the weights.<//>`}`}`;
}

function Changed({ name, line, ids, known }) {
  const [last] = line.newest, score = (who) => known[who].value.individual?.score ?? DASH;
  const rows = [
    ["Who", ...PAIR.map((who) => html`<a href=${`/e/${encodeURIComponent(name)}/i/${ids[who]}`}><code>${ids[who]}</code></a>`)],
    ["Score", ...PAIR.map(score)],
    ["Fitness", ...PAIR.map((who) => number(known[who].value.individual?.fitness))],
    ["Mutations", whole(line.mutations - 1), whole(line.mutations)],
  ];
  const columns = [["", (row) => row[0]], ["Parent", (row) => row[1]], ["Child", (row) => row[2]]].map(([head, of]) => [head || "What", of]);
  return html`
    <p class="lead">One mutation made the child: noise of seed <code>${last.seed}</code>, ${last.rank ? `of rank ${last.rank}, ` : ""}times ${String(last.power)}, added to all of its parent's weights.</p>
    <${Section} title="Their scores" wide><${Rows} caption="Parent and child" columns=${columns} rows=${rows} />
      ${known.child.value.starts.length ? html`<${Starts} known=${known} />` : null}<//>`;
}

function Starts({ known }) {
  const returns = PAIR.map((who) => new Map(known[who].value.starts.map((each) => [each.seed, each.return])));
  const rows = known.child.value.starts.filter(({ seed }) => returns.some((each) => (each.get(seed) ?? null) !== null));
  if (!rows.length) return html`<p class="soft">The run keeps no returns of theirs by start.</p>`;
  const gain = (seed) => (returns.every((each) => (each.get(seed) ?? null) !== null) ? number(returns[1].get(seed) - returns[0].get(seed)) : DASH);
  const columns = [["Start", (row) => whole(row.start), true], ["Parent", (row) => number(returns[0].get(row.seed)), true], ["Child", (row) => number(returns[1].get(row.seed)), true], ["Gain", (row) => gain(row.seed), true]];
  return html`<${Rows} caption="Returns by start, as the run has them" columns=${columns} rows=${rows} size=${10} />`;
}

function Films({ of, known, query }) {
  const episodes = choices(known.child.value);
  const chosen = episodes.find((each) => each.key === query.get("episode")) ?? episodes[0];
  const played = { parent: usePlayed(of.parent), child: usePlayed(of.child) };
  useEffect(() => PAIR.forEach((who) => played[who].forget()), [chosen.key]);
  const busy = PAIR.some((who) => isUnderWay(played[who].replay)), both = PAIR.every((who) => played[who].replay?.state === "done");
  const why = PAIR.map((who) => played[who].error?.message ?? (played[who].replay?.state === "failed" ? played[who].replay.why : null)).find(Boolean);
  const want = () => PAIR.forEach((who) => played[who].want(chosen.job));
  const waits = PAIR.filter((who) => isUnderWay(played[who].replay)).map((who) => `The ${who}: ${waitingFor(played[who].replay)}`).join(" ");
  return html`
    <div class="toolbar">
      <label class="order">Episode <select value=${chosen.key} onChange=${(event) => setQuery({ episode: event.target.value })}>
        ${episodes.map((each) => html`<option value=${each.key} selected=${each.key === chosen.key}>${each.text.split(",")[0]}</option>`)}</select></label>
      <button type="button" class="loud" disabled=${busy} onClick=${want}>Let both play it</button>
    </div>
    <p role="status" class="soft">${waits}</p>
    ${why ? html`<${Notice} kind="bad" title="It could not be played.">${sentence(why)}<//>` : null}
    ${both ? html`<${Together} key=${PAIR.map((who) => played[who].replay.key).join()} played=${played} />` : null}`;
}

function Together({ played }) {
  const films = { parent: useRef(null), child: useRef(null) };
  const told = { parent: useAnswer(`/api/replays/${played.parent.replay.key}/steps`).value, child: useAnswer(`/api/replays/${played.child.replay.key}/steps`).value };
  const each = (act) => PAIR.forEach((who) => act(films[who].current));
  const parts = told.parent && told.child ? partingOf(told.parent.action, told.child.action) : undefined;
  const go = (step) => each((film) => {
    film.pause();
    film.currentTime = (step + 0.5) / (told.child.pictures_per_second || 15);
  });
  const start = () => each((film) => {
    film.currentTime = 0;
    film.play();
  });
  return html`
    <${Section} title="Both, of the same episode" wide>
      <div class="buttons"><button type="button" class="loud" onClick=${start}>Start both together</button>
        <button type="button" onClick=${() => each((film) => film.pause())}>Stop both</button>
        ${Number.isInteger(parts) ? html`<button type="button" onClick=${() => go(parts)}>Go to where they part</button>` : null}</div>
      <p class="soft">${parts === undefined ? "" : parts === null ? "They act alike in every step." : `They act alike for ${whole(parts)} steps, then ${doing(told.parent, parts, "the parent")} and ${doing(told.child, parts, "the child")}.`}</p>
      <div class="maps">${PAIR.map((who) => html`
        <figure class="map pair"><video ref=${films[who]} src=${`/api/replays/${played[who].replay.key}/film.mp4`} controls muted playsinline preload="auto" aria-label=${`The ${who}, one episode`}></video>
          <figcaption>The ${who}: a return of <b>${number(played[who].replay.return)}</b> in ${whole(played[who].replay.pictures - 1)} steps.</figcaption></figure>`)}</div>
    <//>`;
}

/** The first step, from 0, in which they act differently; null if they never do. */
function partingOf(one, other) {
  const length = Math.max(one.length, other.length);
  for (let step = 0; step < length; step += 1) if (JSON.stringify(one[step]) !== JSON.stringify(other[step])) return step;
  return null;
}

const doing = (told, step, who) => (step < told.action.length ? `${who} does ${named(told, told.action[step])}` : `${who}'s episode is over`);
