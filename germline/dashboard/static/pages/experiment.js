// One experiment: is it learning, is it stuck, is it still running, when is it done?
import { html, useEffect, useMemo, useState } from "../vendor/htm-preact.module.js";
import { ask, useAnswer } from "../ask.js";
import { upToNow, useCurve } from "../curve.js";
import { Happened, marksOf, useEvents } from "../events.js";
import { Fitness } from "../fitness.js";
import { Heading } from "../heading.js";
import { useLive } from "../live.js";
import { Choice, Command, Fact, Loading, Notice, Section } from "../parts.js";
import { setQuery } from "../router.js";
import { Connection, isOld, sentence, Standing } from "../states.js";
import { brief, counted, duration, number, percent, whole } from "../words.js";

export default function Experiment({ name, query }) {
  const path = `/api/experiments/${encodeURIComponent(name)}`;
  const live = useLive(`/api/stream?experiment=${encodeURIComponent(name)}`, path);
  const more = useAnswer(path);
  const look = live.value ?? more.value, about = more.value;
  useEffect(() => {
    if (look) more.again();
  }, [look?.state, look?.trouble, look?.failed]);
  const refused = live.state === "refused" ? live : more.error?.code === "NOT_FOUND" ? { sentence: more.error.message } : null;
  if (refused) return html`<${Unknown} name=${name} why=${refused.sentence} />`;
  if (!look) {
    return html`<${Heading} name=${name} tab="" /><${Connection} live=${live} />
      ${isOld(live) ? null : html`<${Loading} what=${name} />`}`;
  }
  const old = isOld(live);
  return html`
    <${Heading} name=${name} look=${look} about=${about} tab="" />
    <${Connection} live=${live} />
    <${Standing} look=${look} about=${about} />
    ${look.state === "damaged" ? null : html`
      <div class=${old ? "old" : ""}>
        <${Progress} look=${look} about=${about} />
        <${Facts} look=${look} about=${about} />
      </div>
      <${Curve} name=${name} look=${look} query=${query} old=${old} />
      <div class="columns">
        <${Champion} name=${name} look=${look} about=${about} />
        <${Settings} path=${path} />
      </div>
      <${Control} name=${name} look=${look} />`}`;
}

const Unknown = ({ name, why }) => html`
  <h1>${name}</h1>
  <${Notice} kind="warn" title="It is not here.">${sentence(why)} <a href="/">All experiments</a><//>`;

function Progress({ look, about }) {
  const until = about ? about.until.replace(/^until/, "Until") : "";
  const over = look.state === "complete" || look.state === "stopped";
  const left = look.left_s === null ? "" : `, about ${duration(look.left_s)} to go`;
  const share = look.share === null || over ? "" : `: ${percent(look.share)} of the way`;
  const ran = `${look.state === "running" ? "Running" : "It ran"} for ${duration(look.running_s)}`;
  return html`
    <div class="progress">
      ${look.share === null || over ? null : html`<progress max="1" value=${look.share} aria-label="Progress">${percent(look.share)}</progress>`}
      <p>${ran}. ${look.state === "complete" ? `It was to run ${until.toLowerCase()}` : until}${share}${left}.</p>
    </div>`;
}

function Facts({ look, about }) {
  const [, , median] = look.quantiles;
  return html`
    <dl class="facts">
      <${ChampionFact} look=${look} />
      <${Fact} label="Median of the population" value=${number(median ?? null)}>
        ${look.population ? `${whole(look.population)} members${about?.cut ?? ""}` : "nobody yet"}<//>
      <${Fact} label="Evaluations" value=${brief(look.evaluations)} title=${whole(look.evaluations)}>
        ${number(look.evaluations_per_second)} /s<//>
      <${Fact} label=${look.played.charAt(0).toUpperCase() + look.played.slice(1)} value=${brief(look.frames)} title=${whole(look.frames)}>
        ${whole(look.frames_per_second)} /s<//>
      <${Fact} label="Workers" value=${whole(look.workers)}>
        ${look.state === "running" ? `can use ${whole(look.workers_wanted)}` : "holding work of it"}${look.leases_lost ? `; ${counted(look.leases_lost, "lease")} came back` : ""}<//>
    </dl>`;
}

function ChampionFact({ look }) {
  const { champion } = look;
  if (!champion) return html`<${Fact} label="Champion" value="–">none yet<//>`;
  if (champion.mean === null) return html`<${Fact} label="Champion" value=${number(champion.fitness)}>${champion.score}<//>`;
  const how = champion.starts ? `exact, over all ${champion.starts} starts`
    : `± ${number(champion.half_width)} over ${counted(champion.episodes, "fresh episode")}`;
  return html`<${Fact} label="Champion" value=${number(champion.mean)}>${how}<//>`;
}

function Curve({ name, look, query, old }) {
  const axis = ["frames", "seconds"].includes(query.get("axis")) ? query.get("axis") : "evaluations";
  const from = Number(query.get("from")), to = Number(query.get("to"));
  const range = to > from ? [from, to] : null;
  const { value, error } = useCurve(name, range && { axis, from, to }, look.evaluations, old);
  const curve = useMemo(() => (value && !range ? upToNow(value, look) : value), [value, look, range?.[0]]);
  const happened = useEvents(name, look, old);
  const marks = useMemo(() => marksOf(happened.events, axis), [happened.events, axis]);
  const played = look.played;
  const axes = [["evaluations", "Evaluations"], ["frames", played.charAt(0).toUpperCase() + played.slice(1)], ["seconds", "Time"]];
  const aside = html`<${Choice} label="Axis" value=${axis} options=${axes} onChange=${(to) => setQuery({ axis: to === "evaluations" ? null : to, from: null, to: null })} />`;
  const zoom = (next) => setQuery({ from: next?.[0] ?? null, to: next?.[1] ?? null });
  return html`
    <${Section} title="Fitness" aside=${aside} wide>
      ${error && !value ? html`<${Notice} kind="warn">${sentence(error.message)}<//>` : null}
      ${curve?.points ? html`<${Fitness} curve=${curve} axis=${axis} played=${played} range=${range} onRange=${zoom} marks=${marks} old=${old} />
          <p class="soft">${whose(curve, range)}</p>`
        : error ? null : html`<p class="empty">${look.evaluations && range ? "No point lies in this range." : "The curve begins with the first evaluations."}
            ${range ? html` <button type="button" class="quiet" onClick=${() => zoom(null)}>Show all</button>` : null}</p>`}
      <${Happened} ...${happened} />
    <//>`;
}

/** What the bands are quantiles of. */
function whose(curve, range) {
  if (!curve.width) return sentence(curve.note);
  const missing = curve.columns.first[0] && !range ? ` The first ${whole(curve.columns.first[0])} are not in it.` : "";
  const each = curve.width === 1 ? "each evaluation is a point" : `exact quantiles of ${whole(curve.width)} evaluations a point`;
  return `From the archive, which has every evaluation: ${each}.${missing}`;
}

function Champion({ name, look, about }) {
  const { champion } = look;
  return html`
    <${Section} title="Champion">
      ${champion ? html`
        <p class="id"><code>${champion.id}</code> <a href=${`/e/${encodeURIComponent(name)}/i/champion`}>Watch it play</a></p>
        <dl class="pairs">
          <dt>Score</dt><dd>${champion.score}</dd>
          <dt>Line</dt><dd>${counted(champion.mutations, about?.algorithm === "EGGROLL" ? "update" : "mutation")}</dd>
          <dt>Own evaluation</dt><dd>${number(champion.fitness)}${champion.cap_frames ? `, games cut after ${whole(champion.cap_frames)} ${look.played}` : ""}</dd>
        </dl>` : html`<p class="empty">Nobody is crowned yet.</p>`}
      <h3>On a command line</h3>
      <${Command} line=${`germline champion ${name} --card`} />
      <${Command} line=${`germline record --experiment ${name}`} />
      <${More} look=${look} about=${about} />
    <//>`;
}

function More({ look, about }) {
  if (!about) return null;
  const { verification } = about;
  const checked = verification.agreed + verification.close + verification.differed;
  const rows = [];
  if (look.best !== null) rows.push(["Best single score", `${number(look.best)}, partly luck: the highest of many`]);
  if (about.compared_children) rows.push(["Children that differ", `${percent(about.different_children / about.compared_children)} of ${whole(about.compared_children)} compared`]);
  if (look.depth) rows.push(["Longest line", counted(look.depth, "mutation")]);
  if (look.epochs) rows.push(["Epochs", whole(look.epochs)]);
  if (look.centre_digest) rows.push(["Centre", html`<code>${look.centre_digest}</code>`]);
  if (checked) rows.push(["Played again", `${whole(verification.agreed)} agreed, ${whole(verification.close)} close, ${whole(verification.differed)} differed`]);
  if (verification.note) rows.push(["Checks", verification.note]);
  if (about.kernels.length > 1) rows.push(["Kernels", about.kernels.join(", ")]);
  return rows.length ? html`<h3>More</h3><dl class="pairs">${rows.map(([head, text]) => html`<dt>${head}</dt><dd>${text}</dd>`)}</dl>` : null;
}

function Settings({ path }) {
  const { value, error } = useAnswer(`${path}/settings`);
  const [all, setAll] = useState(false);
  const rows = value?.settings ?? [];
  const chosen = rows.filter((row) => row.differs);
  const aside = html`<${Choice} label="Which settings" value=${all ? "all" : "chosen"} options=${[["chosen", `Chosen ${chosen.length}`], ["all", `All ${rows.length}`]]} onChange=${(to) => setAll(to === "all")} />`;
  return html`
    <${Section} title="Settings" aside=${aside}>
      ${error ? html`<${Notice} kind="warn">${sentence(error.message)}<//>` : null}
      <div class="settings">${(all ? rows : chosen).map((row) => html`
        <details key=${row.path}><summary>
          <code>${row.path}</code>
          <span class="setting"><code class=${row.differs ? "chosen" : ""}>${row.value}</code>${row.differs && row.default !== null ? html` <span class="soft">not ${row.default}</span>` : null}</span>
        </summary><p>${row.text || "It has no description."}${row.unit ? ` In ${row.unit}.` : ""}</p></details>`)}</div>
    <//>`;
}

/** Only where the dashboard was started with --allow-control. */
function Control({ name, look }) {
  const [said, setSaid] = useState("");
  const [sure, setSure] = useState(false);
  if (document.body.dataset.control !== "yes" || !["running", "paused"].includes(look.state)) return null;
  const steer = async (verb) => {
    setSure(false);
    try {
      await ask(`/api/experiments/${encodeURIComponent(name)}/${verb}`, { post: {} });
      setSaid("");
    } catch (error) {
      setSaid(error.message);
    }
  };
  const pause = look.state === "running" ? ["pause", "Pause"] : ["resume", "Resume"];
  return html`
    <${Section} title="Control" wide>
      <div class="buttons">
        <button type="button" class="loud" onClick=${() => steer(pause[0])}>${pause[1]}</button>
        ${sure ? html`<span>It ends for good unless it is extended. <button type="button" class="danger" onClick=${() => steer("stop")}>Stop it</button>
          <button type="button" class="quiet" onClick=${() => setSure(false)}>Leave it</button></span>`
          : html`<button type="button" class="quiet" onClick=${() => setSure(true)}>Stop…</button>`}
      </div>
      <p role="alert" class="wrong">${said}</p>
    <//>`;
}
