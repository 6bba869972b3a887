// A replay: what does it do? One episode as a film, with what the network saw and each step beside it.
import { html, useEffect, useRef, useState } from "../vendor/htm-preact.module.js";
import { useAnswer } from "../ask.js";
import { Answers, Saliency } from "../answers.js";
import { choices, isUnderWay, named, usePlayed, waitingFor } from "../episodes.js";
import { Heading } from "../heading.js";
import { Chart } from "../chart.js";
import { Command, Loading, Notice, Section } from "../parts.js";
import { setQuery } from "../router.js";
import { sentence } from "../states.js";
import { capital, counted, number, whole } from "../words.js";

export default function Replay({ name, id, query }) {
  const path = `/api/experiments/${encodeURIComponent(name)}`;
  const experiment = useAnswer(path), known = useAnswer(`${path}/individuals/${encodeURIComponent(id)}/episodes`);
  const about = experiment.value;
  const failed = experiment.error ?? known.error;
  const tab = id === "champion" ? "/i/champion" : "";
  return html`
    <${Heading} name=${name} look=${about} about=${about} tab=${tab} />
    ${failed ? html`<${Notice} kind="warn" title="It cannot be shown.">${sentence(failed.message)} <a href=${`/e/${encodeURIComponent(name)}`}>Back to ${name}</a><//>` : null}
    ${!failed && (!known.value || !about) ? html`<${Loading} what="its episodes" />` : null}
    ${known.value && about ? (known.value.plays
      ? html`<${Episode} name=${name} id=${id} path=${path} known=${known.value} about=${about} query=${query} />`
      : html`<${Notice} title="There is nothing to watch.">Its task plays no episodes: it is a function of the weights.<//>`) : null}`;
}

function Episode({ name, id, path, known, about, query }) {
  const episodes = choices(known);
  const chosen = episodes.find((each) => each.key === query.get("episode")) ?? episodes[0];
  const { replay, error, want, forget } = usePlayed(`${path}/individuals/${encodeURIComponent(id)}`);
  useEffect(forget, [chosen.key]);
  return html`
    <div class="toolbar">
      <label class="order">Episode <select value=${chosen.key} onChange=${(event) => setQuery({ episode: event.target.value })}>
        ${episodes.map((each) => html`<option value=${each.key} selected=${each.key === chosen.key}>${each.text}</option>`)}</select></label>
      <button type="button" class="loud" disabled=${isUnderWay(replay)} onClick=${() => want(chosen.job)}>${replay?.state === "done" ? "Play it again" : "Play it"}</button>
      <p class="soft hint">${known.individual ? html`<code>${known.individual.id}</code>, ${known.individual.score}${known.individual.mutations ? html`. <a href=${`/e/${encodeURIComponent(name)}/pair?child=${known.individual.id}`}>Beside its parent</a>` : ""}` : ""}</p>
    </div>
    <p role="status" class="soft">${waitingFor(replay)}</p>
    ${error ? html`<${Notice} kind="bad" title="It cannot be played.">${sentence(error.message)}<//>` : null}
    ${replay?.state === "failed" ? html`<${Notice} kind="bad" title="It could not be played.">${sentence(replay.why)}<//>` : null}
    ${!replay && !error ? html`<${Before} known=${known} />` : null}
    ${replay?.state === "done" ? html`<${Film} key=${replay.key} replay=${replay} chosen=${chosen} known=${known} about=${about} />` : null}
    <${Section} title="On a command line" wide>
      <${Command} line=${`germline record --experiment ${name}${id === "champion" ? "" : ` --id ${id}`} --seed ${chosen.job.fresh ?? 0}`} />
      <p class="soft">films the fresh episode of this number with <code>--master</code> or <code>--run</code> behind it.</p>
    <//>`;
}

const Before = ({ known }) => html`
  <section class="part wide welcome">
    <h2>Not played yet</h2>
    <p>The network is rebuilt from its seeds and plays the episode here, as it did in the run${known.exact ? ", to the last point" : ""}.
      It takes as long as the game does, or less; what was played is kept while this dashboard runs.</p>
  </section>`;

function Film({ replay, chosen, known, about }) {
  const video = useRef(null);
  const [at, setAt] = useState(0);
  const steps = useAnswer(`/api/replays/${replay.key}/steps`);
  const source = `/api/replays/${replay.key}/film.mp4`;
  const told = steps.value;
  useEffect(() => {
    const film = video.current;
    const follow = () => setAt(film.currentTime);
    for (const event of ["timeupdate", "seeked"]) film.addEventListener(event, follow);
    return () => ["timeupdate", "seeked"].forEach((event) => film.removeEventListener(event, follow));
  }, []);
  const rate = told?.pictures_per_second ?? 15;
  const seek = (step) => {
    video.current.currentTime = (step + 0.5) / rate;
  };
  const step = told ? Math.max(0, Math.min(told.action.length - 1, Math.floor(at * rate))) : 0;
  const walk = (by) => {
    video.current.pause();
    seek(Math.max(0, Math.min(told.action.length - 1, step + by)));
  };
  const nameOf = (action) => named(told, action);
  return html`
    <div class="film part">
      <video ref=${video} src=${source} controls muted autoplay=${!matchMedia("(prefers-reduced-motion: reduce)").matches} playsinline preload="auto" aria-label=${`${about.task}, one episode`}></video>
      <dl class="pairs film-facts">
        <dt>Return</dt><dd class="fact-value">${number(replay.return)}</dd>
        <dt>Stored</dt><dd>${stored(replay, chosen, known)}</dd>
        <dt>Steps</dt><dd>${whole(replay.pictures - 1)}</dd>
        <dt>Now</dt><dd>${told ? doing(told, Math.floor(at * rate)) : ""}</dd>
        <dt>Picture</dt><dd>${replay.shows_input ? "Left what a person would see, right what the network sees, the newest picture last." : "What a person would see; the network sees numbers, which the table has."}</dd>
        <dt>File</dt><dd><a href=${source} download=${`${about.name}.mp4`}>Download the film</a></dd>
      </dl>
    </div>
    ${told?.action.length ? html`
      <div class="buttons steps"><button type="button" onClick=${() => walk(-1)} disabled=${step === 0}>One step back</button>
        <button type="button" onClick=${() => walk(1)} disabled=${step === told.action.length - 1}>One step on</button></div>
      <${Answers} told=${told} step=${step} nameOf=${nameOf} />
      <${Saliency} replay=${replay} told=${told} step=${step} nameOf=${nameOf} onLook=${() => video.current.pause()} />` : null}
    ${told ? html`<${Steps} told=${told} seek=${seek} at=${Math.floor(at * rate)} />` : html`<${Loading} what="the steps" />`}`;
}

function stored(replay, chosen, known) {
  if (chosen.stored === null || chosen.stored === undefined) return "The run keeps no return of this episode.";
  if (chosen.stored === replay.return) return `${number(chosen.stored)} in the run, the same.`;
  return `${number(chosen.stored)} in the run, another one${known.exact ? ": that should not be under int8" : ": kernels of another family add floats in another order"}.`;
}

function doing(told, step) {
  const place = Math.max(0, Math.min(told.action.length - 1, step));
  return told.action.length ? `Step ${whole(place + 1)}, ${named(told, told.action[place])}` : "";
}

function Steps({ told, seek, at }) {
  let sum = 0;
  const returns = told.reward.map((reward) => (sum += reward));
  if (!returns.length) return null;
  const x = { name: "Step", values: returns.map((_, place) => place + 1), text: (value) => `step ${whole(value)}` };
  const lines = [{ name: "return so far", values: returns, colour: "series-1", step: true },
    { name: "action", values: told.action, hidden: true, text: (action) => named(told, action) },
    { name: "reward", values: told.reward, hidden: true }];
  if (told.outputs.length) lines.push({ name: "answers", values: told.outputs, hidden: true, text: (each) => each.map((one) => number(one, told.are_sums ? 0 : 2)).join(" ") });
  if (told.seen.length) lines.push({ name: "what it saw", values: told.seen, hidden: true, text: (seen) => seen.map((each) => number(each, 2)).join(" ") });
  return html`
    <${Section} title="Each step" wide>
      <${Chart} label="Return over the steps of the episode" x=${x} lines=${lines} marks=${[{ at: at + 1 }]} height=${220} onPick=${(step) => seek(step)}
        sentence=${`${capital(counted(returns.length, "step"))}, a return of ${number(returns.at(-1))}.`} />
      <p class="soft">Click on the curve, or move along it with the arrow keys, to go there in the film.</p>
    <//>`;
}
