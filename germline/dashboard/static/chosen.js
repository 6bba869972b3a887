// Whom a person has chosen: the same one on every page that has a place for it, because the address says who.
import { html, useEffect, useRef } from "./vendor/htm-preact.module.js";
import { ask, useAnswer } from "./ask.js";
import { useCurve } from "./curve.js";
import { Fitness } from "./fitness.js";
import { Loading, Notice, Section } from "./parts.js";
import { setQuery } from "./router.js";
import { sentence } from "./states.js";
import { counted, number, whole } from "./words.js";

const REST_MS = 250;

export const choose = (id) => setQuery({ individual: id });

/** Only what may be an id: 16 hexadecimal digits. */
export const chosenIn = (query) => (/^[0-9a-f]{16}$/.test(query.get("individual") ?? "") ? query.get("individual") : null);

/** What is known of whom the address names: {value, error}; nothing where it names nobody. */
export const useChosen = (path, id) => useAnswer(id && `${path}/lives/${id}`);

/** Who is chosen, in words, and the ways to see more of it. `here` is the page that this stands on. */
export function Chosen({ name, id, life, here }) {
  const at = `/e/${encodeURIComponent(name)}`, who = life.value?.id === id ? life.value : null;
  const links = [[`${at}/i/${id}`, "Watch it play"], [`${at}/lineage?individual=${id}`, "In the lineage"],
    [`${at}/behaviour?individual=${id}`, "In the map"]];
  const others = links.filter(([to]) => !to.startsWith(at + here));
  return html`
    <${Notice} kind=${life.error ? "warn" : "info"} title="Chosen:"><code>${id}</code>${life.error ? `. ${sentence(life.error.message)} ` : who ? `. ${told(who)} ` : ". "}
      ${life.error ? null : html`<span class="links">${others.map(([to, text]) => html`<a href=${to}>${text}</a> `)}
        ${who?.parent ? html`<button type="button" class="quiet" onClick=${() => choose(who.parent)}>Choose its parent</button> ` : null}</span>`}
      <button type="button" class="quiet" onClick=${() => choose(null)}>Choose nobody</button><//>`;
}

function told(who) {
  const parent = who.parent ? `a child of ${who.parent}` : "a founder";
  const children = who.children ? `${counted(who.children, "child").replace("childs", "children")}, the best with ${number(who.best_child)}` : "no children";
  return `Fitness ${number(who.fitness)} in evaluation ${whole(who.number)}; ${parent}; ${children}.`;
}

/** The curve of the run, with the evaluation of whom is chosen marked; a place on it chooses its best. */
export function WhenChosen({ name, path, about, life }) {
  const { value, error } = useCurve(name, null, about?.evaluations, false);
  const resting = useRef(null);
  useEffect(() => () => clearTimeout(resting.current), []);
  const pick = (place) => {
    const { first, evaluations } = value.columns;
    clearTimeout(resting.current);
    resting.current = setTimeout(async () => {
      const best = await ask(`${path}/evaluations?order=best&limit=1&first=${first[place]}&end=${evaluations[place]}`).catch(() => null);
      const id = best?.evaluations[0]?.id;
      if (id && !id.includes(".")) choose(id);
    }, REST_MS);
  };
  const marks = life.value ? [{ at: life.value.number + 1, text: life.value.id }] : [];
  return html`
    <${Section} title="When" wide>
      ${error && !value ? html`<${Notice} kind="warn">${sentence(error.message)}<//>`
        : !value?.points ? html`<${Loading} what="the curve" />`
        : html`<${Fitness} curve=${value} axis="evaluations" played="frames" range=${null} marks=${marks} onPick=${value.width ? pick : undefined} />
          ${value.width ? html`<p class="soft">Click on the curve, or move along it with the arrow keys, to choose the best of these evaluations; a line marks when whoever is chosen was evaluated.</p>` : null}`}
    <//>`;
}
