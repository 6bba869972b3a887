// Episodes that may be played, and how one that somebody asked for comes about.
import { useEffect, useState } from "./vendor/htm-preact.module.js";
import { ask, later } from "./ask.js";
import { counted, number, whole } from "./words.js";

const ASK_MS = 600;

/** Replays of one individual, whose path is given: {replay, error, want(job), forget()}. */
export function usePlayed(individual) {
  const [replay, setReplay] = useState(null), [error, setError] = useState(null);
  const want = async (job) => {
    setError(null);
    setReplay({ state: "waiting", before: 0, pictures: 0 });
    try {
      setReplay(await ask(`${individual}/replays`, { post: job }));
    } catch (refused) {
      setReplay(null);
      setError(refused);
    }
  };
  const forget = () => {
    setReplay(null);
    setError(null);
  };
  useEffect(() => {
    if (!replay?.key || !isUnderWay(replay)) return undefined;
    return later(() => ask(`/api/replays/${replay.key}`).then(setReplay, setError), ASK_MS);
  }, [replay]);
  return { replay, error, want, forget };
}

export const isUnderWay = (replay) => replay?.state === "waiting" || replay?.state === "playing";

/** What may be played: the protocol's starts, or episodes that are known, and fresh ones. */
export function choices(known) {
  const score = (value) => (value === null || value === undefined ? "" : `, returned ${number(value)}`);
  const found = known.starts.map((each) => ({ key: `start-${each.start}`, text: `Start ${each.start} of ${known.starts.length}${score(each.return)}`, stored: each.return, job: { seed: each.seed } }));
  if (!known.starts.length) {
    found.push(...known.known.map((each, place) => ({ key: `known-${place + 1}`, text: `Episode ${place + 1} of the run${score(each.return)}`, stored: each.return, job: { seed: each.seed } })));
    for (let place = 0; place < 10; place += 1) found.push({ key: `fresh-${place}`, text: `Fresh episode ${place}`, stored: null, job: { fresh: place } });
  }
  return found;
}

export function waitingFor(replay) {
  if (replay?.state === "waiting") return replay.before ? `Waiting: ${counted(replay.before, "replay")} before this one.` : "Starting…";
  if (replay?.state === "playing") return replay.pictures ? `Playing: ${whole(replay.pictures)} pictures so far…` : "Rebuilding the network from its seeds…";
  return "";
}

/** An action in words. */
export const named = (told, action) => (typeof action === "number" && told.action_names ? told.action_names[action] : Array.isArray(action) ? action.map((each) => number(each, 2)).join(", ") : String(action));
