// Every state in a sentence, and what to do about it.
import { html } from "./vendor/htm-preact.module.js";
import { Notice } from "./parts.js";
import { clock, counted, whole } from "./words.js";

/** What is to be said of the connection; null while all is well. */
export function Connection({ live }) {
  const shown = live.at ? ` Showing what was known at ${clock(live.at)}; trying again.` : " Trying again.";
  if (live.state === "lost") return html`<${Notice} kind="bad" title="The master is away.">${sentence(live.sentence)}${shown}<//>`;
  if (live.state === "away") return html`<${Notice} kind="bad" title="The dashboard is away.">${sentence(live.sentence)}${shown}<//>`;
  if (live.state === "polling") {
    return html`<${Notice} kind="info">Live updates do not come through here, so this page asks every five seconds.<//>`;
  }
  return null;
}

/** True where values are old: they are greyed, and stay. */
export const isOld = (live) => live.state === "lost" || live.state === "away";

/** What keeps an experiment from going on, and what is not there yet. */
export function Standing({ look, about }) {
  return html`${said(look, about).map(([kind, title, text]) => html`<${Notice} kind=${kind} title=${title}>${text}<//>`)}`;
}

function said(look, about) {
  const found = [];
  const say = (kind, title, text) => found.push([kind, title, text]);
  const command = (line) => html`<code>${line}</code>`;
  if (look.trouble) say("bad", "Trouble.", sentence(look.trouble));
  if (look.state === "damaged") {
    say("bad", "Damaged.", html`What is stored of it cannot be read. ${command(`germline repair ${look.name}`)} brings back what can be.`);
    return found;
  }
  if (look.state === "paused" && !look.trouble) {
    say("warn", "Paused.", html`Nothing new is lent; what is out may still come back. ${command(`germline resume ${look.name}`)} lets it go on.`);
  }
  if (look.state === "running" && !look.workers) {
    say("wait", "Waiting for a worker.", html`Nobody holds work of it now. ${command("germline worker --master HOST:PORT")} starts one.`);
  }
  if (look.unable) {
    say("warn", "", `${counted(look.unable, "connected worker")} cannot play it; the page Workers says why.`);
  }
  if (!look.evaluations) {
    say("wait", "Nothing is evaluated yet.", look.state === "running"
      ? "The first score appears here by itself." : "It ended before its first score.");
  } else if (!look.champion) {
    say("wait", "No champion yet.", "One is crowned once it has played enough fresh episodes; a single lucky score is not enough.");
  } else if (look.champion.mean === null && look.champion.title_episodes) {
    say("wait", "A new champion.", `It was crowned by ${counted(look.champion.title_episodes, "episode")}; what it is worth, only fresh ones tell, and none is played yet.`);
  }
  if (look.failed) say("warn", "Set aside.", setAside(look, about));
  return found;
}

function setAside(look, about) {
  const last = about?.set_aside?.at(-1);
  const head = `${whole(look.failed)} could not be scored`;
  if (!last) return `${head}.`;
  return `${head}; the last, ${last.name}, failed ${counted(last.attempts, "time")}, then on ${last.worker}: ${sentence(last.reason)}`;
}

/** With a capital letter and a full stop. */
export function sentence(text) {
  const whole = text.trim();
  const begun = whole.charAt(0).toUpperCase() + whole.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
