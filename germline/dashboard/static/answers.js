// What a network answered in one step, and what it hung on.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";
import { ask } from "./ask.js";
import { viridis } from "./colours.js";
import { Choice, Notice, Rows, Section } from "./parts.js";
import { sentence } from "./states.js";
import { number, whole } from "./words.js";

const WIDE = 120, LISTED = 25;

/** One step's outputs as bars, beside the words for its actions; a table is its own picture. */
export function Answers({ told, step, nameOf }) {
  const outputs = told.outputs[step], action = told.action[step];
  if (!outputs) return null;
  const low = Math.min(0, ...outputs), high = Math.max(0, ...outputs), wide = (value) => ((value - low) / (high - low || 1)) * WIDE;
  const isChoice = typeof action === "number";
  const columns = [
    [isChoice ? "Action" : "Output", (at) => html`${isChoice ? nameOf(at) : whole(at + 1)}${isChoice && at === action ? html` <b>chosen</b>` : ""}`],
    ["", (at) => html`<svg class="answer" viewBox=${`0 0 ${WIDE} 12`} aria-hidden="true">
      <rect x=${Math.min(wide(0), wide(outputs[at]))} y="1" width=${Math.max(1, Math.abs(wide(outputs[at]) - wide(0)))} height="10" class=${isChoice && at === action ? "chosen" : ""} /></svg>`],
    ["Answer", (at) => number(outputs[at], told.are_sums ? 0 : 3), true],
  ].map(([head, ...rest]) => [head || "Beside the others", ...rest]);
  return html`
    <${Section} title=${`What the network answered in step ${whole(step + 1)}`} wide>
      <${Rows} caption=${told.are_sums ? "Sums of whole numbers, as int8 has them: only their order counts" : "Outputs of the network"} columns=${columns} rows=${outputs.map((_, at) => at)} />
    <//>`;
}

const SHOWN = [["both", "On the picture"], ["saliency", "Alone"], ["input", "The picture"]];

/** Asked for by who wants to see it: a process computes it, of one step at a time. */
export function Saliency({ replay, told, step, nameOf, onLook }) {
  const [state, setState] = useState({ step: null, map: null, error: null, asking: false });
  const [shown, setShown] = useState("both");
  const look = async () => {
    onLook();
    setState({ step, map: null, error: null, asking: true });
    try {
      setState({ step, map: await ask(`/api/replays/${replay.key}/saliency`, { post: { step } }), error: null, asking: false });
    } catch (error) {
      setState({ step, map: null, error, asking: false });
    }
  };
  const { map, error } = state, of = state.step === null ? "" : `step ${whole(state.step + 1)}`;
  return html`
    <${Section} title="What its choice hung on" wide aside=${map?.shape ? html`<${Choice} label="Show" value=${shown} options=${SHOWN} onChange=${setShown} />` : null}>
      <p class="buttons"><button type="button" disabled=${state.asking} onClick=${look}>Look at step ${whole(step + 1)}</button></p>
      <p role="status" class="soft">${state.asking ? `Computing it for ${of}…` : map ? `Of ${of}: the size of the gradient of ${nameOf(told.action[state.step])}'s output by what was seen (Simonyan et al. 2013)${told.are_sums ? ", by the float network of the same weights: the one that plays has whole numbers, and no gradients" : ""}.` : "A saliency map of one step, computed when you ask."}</p>
      ${error ? html`<${Notice} kind="warn">${sentence(error.message)}<//>` : null}
      ${map && told.are_sums ? html`<${Agreement} map=${map} action=${told.action[state.step]} nameOf=${nameOf} />` : null}
      ${map?.shape ? html`<div class="maps"><${Picture} map=${map} shown=${shown} of=${of} /><div class="map"><${Places} map=${map} /></div></div>` : null}
      ${map?.gradient ? html`<${Numbers} map=${map} />` : null}
    <//>`;
}

function Agreement({ map, action, nameOf }) {
  const chosen = map.outputs.indexOf(Math.max(...map.outputs));
  return chosen === action ? null : html`<p class="soft">The float network would have chosen ${nameOf(chosen)}.</p>`;
}

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function Picture({ map, shown, of }) {
  const canvas = useRef(null), [tall, wide] = map.shape;
  useEffect(() => {
    const pen = canvas.current.getContext("2d"), picture = pen.createImageData(wide, tall);
    const sizes = bytes(map.saliency), seen = bytes(map.input);
    for (let at = 0; at < tall * wide; at += 1) {
      const share = shown === "input" ? 0 : sizes[at] / 255, back = shown === "saliency" ? 0 : seen[at];
      const colour = shown === "input" ? [back, back, back] : mixed(back, share, shown === "saliency");
      picture.data.set([...colour, 255], 4 * at);
    }
    pen.putImageData(picture, 0, 0);
  }, [map, shown]);
  const what = { both: "What its choice hung on, over what it saw", saliency: "What its choice hung on", input: "What it saw" }[shown];
  return html`<figure class="map"><canvas ref=${canvas} class="drawing seen" width=${wide} height=${tall} role="img" aria-label=${`${what}, ${of}. The table has the strongest places.`}></canvas>
    <figcaption>${what}: the brighter, the more.</figcaption></figure>`;
}

/** Grey, with the colour over it where the share is large. */
function mixed(back, share, alone) {
  const colour = viridis(share).match(/\d+/g).map(Number);
  return alone ? colour : colour.map((part) => Math.round(back * (1 - share) * 0.7 + part * share));
}

function Places({ map }) {
  const sizes = bytes(map.saliency), wide = map.shape[1];
  const rows = Array.from(sizes, (_, at) => at).sort((a, b) => sizes[b] - sizes[a]).slice(0, LISTED).filter((at) => sizes[at] > 0);
  const columns = [["Column", (at) => whole(at % wide), true], ["Row, from above", (at) => whole(Math.floor(at / wide)), true], ["Of the largest", (at) => `${Math.round((sizes[at] / 255) * 100)} %`, true]];
  return rows.length ? html`<${Rows} caption="Where it is largest, counted from 0" columns=${columns} rows=${rows} size=${8} />` : html`<p>The gradient is 0 everywhere: no small change of what it saw would change this answer.</p>`;
}

function Numbers({ map }) {
  const rows = map.gradient.map((_, at) => at).sort((a, b) => Math.abs(map.gradient[b]) - Math.abs(map.gradient[a]));
  const columns = [["Number", (at) => whole(at + 1), true], ["Seen", (at) => number(map.values[at], 3), true], ["Gradient", (at) => number(map.gradient[at], 4), true]];
  return html`<${Rows} caption="What it saw, by how much the choice hung on it" columns=${columns} rows=${rows} size=${10} />`;
}
