// Health: what holds it up, and what a person should look at.
import { html, useEffect } from "../vendor/htm-preact.module.js";
import { useLive } from "../live.js";
import { Loading, Section } from "../parts.js";
import { Connection, isOld } from "../states.js";

const SIGNS = { good: ["✓", "good"], look: ["!", "worth a look"], bad: ["▲", "needs somebody"] };

export default function Health() {
  const live = useLive("/api/stream?health", "/api/health");
  useEffect(() => {
    document.title = "Health · germline";
  }, []);
  const seen = live.value;
  return html`
    <div class="heading"><h1>Health</h1></div>
    <p class="lead">${seen ? summary(seen.checks) : " "}</p>
    <${Connection} live=${live} />
    ${!seen ? (isOld(live) ? null : html`<${Loading} what="the fleet's health" />`) : html`
      <div class=${isOld(live) ? "old" : ""}>
        <section class="part wide bottleneck"><h2>What everything waits for</h2><p>${seen.bottleneck}</p></section>
        <${Section} title="Checks" wide>
          <ul class="checks">${seen.checks.map((check) => html`<${Check} key=${check.name} ...${check} />`)}</ul>
        <//>
        ${seen.numbers ? html`<${Section} title="What the master counts" wide>
          <dl class="pairs">${seen.numbers.map((row) => html`<dt>${row.name}</dt><dd>${row.text}</dd>`)}</dl><//>`
          : html`<p class="soft hint-below">${seen.note}</p>`}
      </div>`}`;
}

const Check = ({ name, state, text }) => html`
  <li class=${`check ${state}`}><span class="check-sign" aria-hidden="true">${SIGNS[state][0]}</span>
    <b>${name}</b><span><span class="unseen">${SIGNS[state][1]}: </span>${text}</span></li>`;

function summary(checks) {
  const open = checks.filter((check) => check.state !== "good");
  return open.length ? `${open.length} of ${checks.length} checks want to be looked at: ${open.map((check) => check.name).join(", ")}.` : "All is well.";
}
