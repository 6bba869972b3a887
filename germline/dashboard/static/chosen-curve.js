// The curve of a run, with whom a person has chosen on it.
import { html, useEffect, useRef } from "./vendor/htm-preact.module.js";
import { ask } from "./ask.js";
import { choose } from "./chosen.js";
import { useCurve } from "./curve.js";
import { Fitness } from "./fitness.js";
import { Loading, Notice, Section } from "./parts.js";
import { sentence } from "./states.js";

const REST_MS = 250;

/** The curve of the run, with the evaluation of whom is chosen marked; a place on it chooses its best. */
export default function ChosenCurve({ name, path, about, life }) {
  const { value, error } = useCurve(name, null, about?.evaluations, false);
  const resting = useRef(null);
  useEffect(() => () => clearTimeout(resting.current), []);
  const pick = (place) => {
    const { first, evaluations } = value.columns;
    clearTimeout(resting.current);
    resting.current = setTimeout(async () => {
      const best = await ask(`${path}/evaluations?order=best&limit=1&first=${first[place]}&end=${evaluations[place]}`).catch(() => null);
      const id = best?.evaluations[0]?.id;
      if (id && !id.includes(".")) choose(id);
    }, REST_MS);
  };
  const marks = life.value ? [{ at: life.value.number + 1, text: life.value.id }] : [];
  return html`
    <${Section} title="When" wide>
      ${error && !value ? html`<${Notice} kind="warn">${sentence(error.message)}<//>`
        : !value?.points ? html`<${Loading} what="the curve" />`
        : html`<${Fitness} curve=${value} axis="evaluations" played="frames" range=${null} marks=${marks} onPick=${value.width ? pick : undefined} />
          ${value.width ? html`<p class="soft">Click on the curve, or move along it with the arrow keys, to choose the best of these evaluations; a line marks when whoever is chosen was evaluated.</p>` : null}`}
    <//>`;
}
