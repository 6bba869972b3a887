// All experiments: which one is best, and which one needs me?
import { html, useEffect, useState } from "../vendor/htm-preact.module.js";
import { useAnswer } from "../ask.js";
import { Comparison } from "../comparison.js";
import { useLive } from "../live.js";
import { Command, Loading, State } from "../parts.js";
import { setQuery } from "../router.js";
import { Connection, isOld } from "../states.js";
import { brief, counted, duration, number, percent, whole } from "../words.js";

const MOST_COMPARED = 4;
const ORDERS = {
  newest: ["Newest", (one, other) => other.created - one.created],
  name: ["Name", (one, other) => one.name.localeCompare(other.name)],
  score: ["Champion", (one, other) => (score(other) ?? -Infinity) - (score(one) ?? -Infinity)],
  speed: ["Speed", (one, other) => other.frames_per_second - one.frames_per_second],
};
const score = (each) => each.champion?.mean ?? null;

export default function Experiments({ query }) {
  const live = useLive("/api/stream?experiments", "/api/experiments");
  useEffect(() => {
    document.title = "Experiments · germline";
  }, []);
  const all = live.value?.experiments;
  const wanted = (query.get("search") ?? "").toLowerCase();
  const order = ORDERS[query.get("order")] ? query.get("order") : "newest";
  const compared = (query.get("compare") ?? "").split(",").filter((name) => all?.some((each) => each.name === name));
  const shown = (all ?? []).filter((each) => `${each.name} ${each.task} ${each.state}`.toLowerCase().includes(wanted));
  const turn = (name) => {
    const next = compared.includes(name) ? compared.filter((each) => each !== name) : [...compared, name].slice(-MOST_COMPARED);
    setQuery({ compare: next.join(",") });
  };
  return html`
    <div class="heading"><h1>Experiments</h1></div>
    <p class="lead">${all ? summary(all) : " "}</p>
    <${Connection} live=${live} />
    ${!all ? (isOld(live) ? null : html`<${Loading} what="the experiments" />`) : !all.length ? html`<${Nothing} />` : html`
      ${compared.length > 1 ? html`<${Comparison} names=${compared} all=${all} query=${query} />` : null}
      <div class="toolbar">
        <label class="search"><span class="unseen">Search</span>
          <input type="search" placeholder="Search by name, task or state" value=${query.get("search") ?? ""} onInput=${(event) => setQuery({ search: event.target.value })} /></label>
        <label class="order"><span>Order</span> <select value=${order} onChange=${(event) => setQuery({ order: event.target.value === "newest" ? null : event.target.value })}>
          ${Object.entries(ORDERS).map(([name, [text]]) => html`<option value=${name} selected=${name === order}>${text}</option>`)}</select></label>
        <p class="soft hint">${compared.length === 1 ? "Choose another one to compare it with." : compared.length ? "" : "Tick two to four to compare their curves."}</p>
      </div>
      ${shown.length ? html`<ul class=${isOld(live) ? "runs old" : "runs"}>${[...shown].sort(ORDERS[order][1]).map((each) => html`
        <${Run} key=${each.name} look=${each} chosen=${compared.includes(each.name)} onTurn=${() => turn(each.name)} />`)}</ul>`
        : html`<p class="empty">None of ${counted(all.length, "experiment")} matches “${wanted}”.</p>`}`}`;
}

function summary(all) {
  const running = all.filter((each) => each.state === "running");
  const speed = running.reduce((sum, each) => sum + each.frames_per_second, 0);
  const troubled = all.filter((each) => each.trouble).length;
  const parts = [`${counted(all.length, "experiment")}, ${running.length} running`];
  if (running.length) parts.push(`${brief(speed)} frames or steps a second together`);
  if (troubled) parts.push(`${troubled} in trouble`);
  return `${parts.join("; ")}.`;
}

const Nothing = () => html`
  <section class="part wide welcome">
    <h2>No experiment yet</h2>
    <p>The master is up and has nothing to do. One command gives it an experiment, and another one a worker:</p>
    <${Command} line="germline submit experiments/cartpole.toml" />
    <${Command} line="germline worker" />
    <p>It appears here by itself.</p>
  </section>`;

function Run({ look, chosen, onTurn }) {
  const path = `/e/${encodeURIComponent(look.name)}`;
  const champion = look.champion;
  return html`
    <li class="run">
      <label class="tick"><input type="checkbox" checked=${chosen} onChange=${onTurn} /><span class="unseen">Compare ${look.name}</span></label>
      <div class="run-name"><a href=${path} data-row>${look.name}</a><span class="soft">${look.task}</span></div>
      <div class="run-state"><${State} state=${look.state} />
        <span class="soft">${look.trouble ? html`<span class="wrong">${look.trouble}</span>` : doing(look)}</span></div>
      <${Spark} look=${look} />
      <div class="run-score"><b>${champion ? number(champion.mean ?? champion.fitness) : "–"}</b>
        <span class="soft">${!champion ? "no champion yet" : champion.mean === null ? "not validated" : champion.starts ? "exact" : champion.half_width === null ? "" : `± ${number(champion.half_width)}`}</span></div>
      <div class="run-counts"><span title=${whole(look.evaluations)}>${brief(look.evaluations)} evaluations</span>
        <span class="soft" title=${whole(look.frames)}>${brief(look.frames)} ${look.played}</span></div>
    </li>`;
}

function doing(look) {
  if (look.state !== "running") return `${duration(look.running_s)} of work`;
  if (!look.workers) return "waiting for a worker";
  const speed = `${brief(look.frames_per_second)} ${look.played}/s on ${counted(look.workers, "worker")}`;
  return look.left_s === null ? speed : `${percent(look.share)}, ${duration(look.left_s)} to go; ${speed}`;
}

/** The median as a small line: enough to see whether it rises. */
function Spark({ look }) {
  const { value, again } = useAnswer(`/api/experiments/${encodeURIComponent(look.name)}/curve?points=60`);
  const grown = Math.floor(Math.log2(1 + look.evaluations) * 8);
  const [seen, setSeen] = useState(grown);
  useEffect(() => {
    if (grown !== seen) {
      setSeen(grown);
      again();
    }
  }, [grown]);
  const medians = value?.columns.median ?? [];
  if (medians.length < 2) return html`<svg class="spark" viewBox="0 0 120 28" aria-hidden="true"></svg>`;
  const low = Math.min(...medians), span = Math.max(...medians) - low || 1;
  const points = medians.map((each, place) => `${(place / (medians.length - 1)) * 116 + 2},${25 - ((each - low) / span) * 22}`);
  return html`<svg class="spark" viewBox="0 0 120 28" role="img" aria-label=${`Median from ${number(medians[0])} to ${number(medians.at(-1))}`}><polyline points=${points.join(" ")} /></svg>`;
}
