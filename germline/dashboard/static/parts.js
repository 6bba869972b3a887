// Small pieces that all pages are made of.
import { html, useState } from "./vendor/htm-preact.module.js";
import { moment } from "./words.js";

const SIGNS = { running: "●", paused: "❚❚", complete: "✓", stopped: "■", damaged: "▲" };

/** Where an experiment stands: a shape and a word, never a colour alone. */
export const State = ({ state }) => html`
  <span class=${`state ${state}`}><span aria-hidden="true">${SIGNS[state] ?? "?"}</span> ${state}</span>`;

/** A number that matters, with what it is above and what to know of it below. */
export const Fact = ({ label, value, title, children }) => html`
  <div class="fact">
    <dt>${label}</dt>
    <dd class="fact-value" title=${title}>${value}</dd>
    ${children ? html`<dd class="fact-note">${children}</dd>` : null}
  </div>`;

/** A sentence about a state, and what to do. kind: info, wait, warn or bad. */
export const Notice = ({ kind = "info", title, children }) => html`
  <div class=${`notice ${kind}`} role=${kind === "bad" ? "alert" : "status"}>
    <span class="notice-sign" aria-hidden="true">${{ info: "i", wait: "…", warn: "!", bad: "!" }[kind]}</span>
    <div>${title ? html`<strong>${title}</strong> ` : null}${children}</div>
  </div>`;

/** A part of a page with a heading of its own. */
export const Section = ({ title, aside, children, wide }) => html`
  <section class=${wide ? "part wide" : "part"}>
    <header class="part-head"><h2>${title}</h2>${aside}</header>
    ${children}
  </section>`;

/** One of a few: as buttons in a row. */
export const Choice = ({ label, value, options, onChange }) => html`
  <div class="choice" role="group" aria-label=${label}>
    ${options.map(([name, text]) => html`
      <button type="button" aria-pressed=${String(name === value)} onClick=${() => onChange(name)}>${text}</button>`)}
  </div>`;

/** A moment; the title has it in UTC. */
export function When({ at }) {
  const { local, utc } = moment(at);
  return html`<time datetime=${new Date(at * 1000).toISOString()} title=${utc}>${local}</time>`;
}

/** A line for a terminal, with a button that copies it. */
export function Command({ line }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line);
      setSaid("Copied");
    } catch {
      setSaid("Select and copy it by hand: this browser does not let us");
    }
    setTimeout(() => setSaid(""), 2500);
  };
  return html`
    <div class="command">
      <code tabindex="0">${line}</code>
      <button type="button" class="quiet" onClick=${copy} aria-label=${`Copy: ${line}`}>${said || "Copy"}</button>
    </div>`;
}

/** A table of rows, 25 to a page. columns: [heading, of a row, numeric?]. */
export function Rows({ caption, columns, rows, size = 25 }) {
  const [page, setPage] = useState(0);
  const pages = Math.max(1, Math.ceil(rows.length / size)), at = Math.min(page, pages - 1);
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${caption}>
      <table>
        <caption>${caption}</caption>
        <thead><tr>${columns.map(([head, , number]) => html`<th scope="col" class=${number ? "number" : ""}>${head}</th>`)}</tr></thead>
        <tbody>${rows.slice(at * size, (at + 1) * size).map((row) => html`
          <tr>${columns.map(([, of, number]) => html`<td class=${number ? "number" : ""}>${of(row)}</td>`)}</tr>`)}</tbody>
      </table>
    </div>
    ${pages > 1 ? html`
      <div class="pager">
        <button type="button" class="quiet" disabled=${at === 0} onClick=${() => setPage(at - 1)}>Previous</button>
        <span>Page ${at + 1} of ${pages}</span>
        <button type="button" class="quiet" disabled=${at === pages - 1} onClick=${() => setPage(at + 1)}>Next</button>
      </div>` : null}`;
}

/** What stands where a page's facts will be. */
export const Loading = ({ what }) => html`<p class="loading" role="status">Asking for ${what}…</p>`;
