// Whom a person has chosen: the same one on every page that has a place for it, because the address says who.
import { html, useEffect, useState } from "./vendor/htm-preact.module.js";
import { useAnswer } from "./ask.js";
import { Line } from "./line.js";
import { Loading, Notice } from "./parts.js";
import { setQuery } from "./router.js";
import { sentence } from "./states.js";
import { counted, number, whole } from "./words.js";

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
        ${who?.parent ? html`<a href=${`${at}/pair?child=${id}`}>Beside its parent</a> <button type="button" class="quiet" onClick=${() => choose(who.parent)}>Choose its parent</button> ` : null}</span>`}
      <button type="button" class="quiet" onClick=${() => choose(null)}>Choose nobody</button>
      ${life.error ? null : html`<${Line} key=${id} path=${`/api/experiments/${encodeURIComponent(name)}`} id=${id} />`}<//>`;
}

function told(who) {
  const parent = who.parent ? `a child of ${who.parent}` : "a founder";
  const children = who.children ? `${counted(who.children, "child").replace("childs", "children")}, the best with ${number(who.best_child)}` : "no children";
  return `Fitness ${number(who.fitness)} in evaluation ${whole(who.number)}; ${parent}; ${children}.`;
}

/** The curve of the run with whom is chosen on it; what draws it comes when the rest of the page is there. */
export function WhenChosen(props) {
  const [part, setPart] = useState(null);
  useEffect(() => {
    import("./chosen-curve.js").then(setPart, () => setPart({ default: () => null }));
  }, []);
  return part ? html`<${part.default} ...${props} />` : html`<${Loading} what="the curve" />`;
}
