// What all pages of an experiment have on top: its name, where it stands, and the way to the other pages.
import { html, useEffect } from "./vendor/htm-preact.module.js";
import { State, When } from "./parts.js";

/** The pages of an experiment by the end of their addresses; places.js says what is there. */
const TABS = [["", "Overview"], ["/i/champion", "Replay"], ["/lineage", "Lineage"], ["/behaviour", "Behaviour"]];

/** The pages that show whom the address has chosen. */
const LINKED = ["/lineage", "/behaviour"];

/** look: as /api/stream has it; about: as /api/experiments/NAME; both may be null while they are asked for. */
export function Heading({ name, look, about, tab }) {
  const at = `/e/${encodeURIComponent(name)}`;
  const chosen = new URLSearchParams(location.search).get("individual");
  const kept = (path) => (chosen && LINKED.includes(path) ? `?individual=${encodeURIComponent(chosen)}` : "");
  useEffect(() => {
    document.title = `${name} · germline`;
  }, [name]);
  return html`
    <p class="crumbs"><a href="/">Experiments</a></p>
    <div class="heading"><h1>${name}</h1>${look ? html`<${State} state=${look.state} />` : null}</div>
    <p class="lead">${about && look ? html`${about.task}, ${about.policy}, ${about.algorithm}; since <${When} at=${look.created} />` : " "}</p>
    ${TABS.length > 1 ? html`<nav class="tabs" aria-label="Of this experiment">${TABS.map(([path, text]) => html`
      <a href=${at + path + kept(path)} aria-current=${path === tab ? "page" : undefined}>${text}</a>`)}</nav>` : null}`;
}
