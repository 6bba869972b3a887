// The fleet: which machine is slow, and who is in trouble?
import { html, useEffect } from "../vendor/htm-preact.module.js";
import { useLive } from "../live.js";
import { Command, Loading, Notice, Rows, Section, When } from "../parts.js";
import { Connection, isOld, sentence } from "../states.js";
import { brief, counted, duration, percent, whole } from "../words.js";

export default function Workers() {
  const live = useLive("/api/stream?workers", "/api/workers");
  useEffect(() => {
    document.title = "Workers · germline";
  }, []);
  const fleet = live.value;
  return html`
    <div class="heading"><h1>Workers</h1></div>
    <p class="lead">${fleet ? summary(fleet.workers) : " "}</p>
    <${Connection} live=${live} />
    ${!fleet ? (isOld(live) ? null : html`<${Loading} what="the workers" />`) : html`
      ${fleet.quarantined.map((each) => html`<${Notice} kind="bad" title=${`${each.id} is in quarantine.`}>${sentence(each.reason)} Since <${When} at=${each.since} />. <code>germline workers --release ${each.id}</code> takes it back.<//>`)}
      ${fleet.workers.filter((each) => each.trouble).map((each) => html`<${Notice} kind="warn" title=${each.id}>${sentence(each.trouble)}<//>`)}
      ${fleet.workers.length ? html`<${Fleet} workers=${fleet.workers} old=${isOld(live)} />` : html`<${Nobody} />`}`}`;
}

function summary(workers) {
  if (!workers.length) return "Nobody is connected.";
  const speed = workers.reduce((sum, each) => sum + each.frames_per_second, 0);
  const busy = workers.reduce((sum, each) => sum + each.busy, 0) / workers.length;
  return `${counted(workers.length, "worker")}, ${brief(speed)} frames or steps a second together, busy ${percent(busy)} of the time.`;
}

const Nobody = () => html`
  <section class="part wide welcome">
    <h2>No worker is connected</h2>
    <p>A worker plays what the master lends. Start one on any machine that reaches the master:</p>
    <${Command} line="germline worker --master HOST:PORT" />
  </section>`;

const STAGES = { fill: "building networks", infer: "networks", emulate: "playing", report: "adding up", update: "the centre" };

/** The two stages that take most. */
function stages(shares) {
  const most = Object.entries(shares).sort(([, one], [, other]) => other - one).slice(0, 2).filter(([, share]) => share >= 0.01);
  return most.length ? most.map(([name, share]) => `${STAGES[name]} ${percent(share)}`).join(", ") : html`<span class="soft">not told yet</span>`;
}

function Fleet({ workers, old }) {
  const columns = [
    ["Worker", (each) => html`<b>${each.id}</b>`],
    ["Device", (each) => each.device],
    ["Busy", (each) => html`<span class="bar"><meter min="0" max="1" value=${each.busy} aria-label=${`${each.id} is busy`}></meter>${percent(each.busy)}</span>`],
    ["Its time goes into", (each) => stages(each.stages)],
    ["Frames or steps /s", (each) => whole(each.frames_per_second), true],
    ["Evaluations", (each) => whole(each.evaluations), true],
    ["Held of slots", (each) => `${whole(each.leased)} of ${whole(each.slots)}`, true],
    ["Connected for", (each) => html`<span title=${new Date(each.connected * 1000).toISOString()}>${duration(Math.max(0, Date.now() / 1000 - each.connected))}</span>`, true],
  ];
  return html`<${Section} title="Connected now" wide><div class=${old ? "old" : ""}><${Rows} caption="Workers, longest connected first" columns=${columns} rows=${workers} size=${50} /></div><//>`;
}
