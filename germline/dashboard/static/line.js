// A genome: the line of seeds that a network is built from again.
import { html, useState } from "./vendor/htm-preact.module.js";
import { useAnswer } from "./ask.js";
import { Rows } from "./parts.js";
import { sentence } from "./states.js";
import { counted, whole } from "./words.js";

/** Opened by who wants to see it; asked for only then. */
export function Line({ path, id }) {
  const [open, setOpen] = useState(false);
  const { value, error } = useAnswer(open ? `${path}/individuals/${id}/line` : null);
  return html`
    <details onToggle=${(event) => setOpen(event.target.open)}><summary>Its genome</summary>
      ${error ? html`<p class="soft">${sentence(error.message)}</p>` : !value ? html`<p class="soft">Asking for it…</p>` : html`
        <p class="soft">Founder seed <code>${value.founder}</code>, and ${counted(value.mutations, "mutation")}${value.mutations > value.newest.length ? `, of which the newest ${value.newest.length} are here` : ""}.</p>
        ${value.newest.length ? html`<${Rows} caption="Mutations, newest first" columns=${COLUMNS} rows=${value.newest} size=${10} />` : null}`}
    </details>`;
}

const COLUMNS = [
  ["Mutation", (row) => whole(row.mutation), true],
  ["Seed", (row) => html`<code>${row.seed}</code>`],
  ["Power", (row) => String(row.power), true],
  ["Rank", (row) => (row.rank ? whole(row.rank) : "dense"), true],
];
