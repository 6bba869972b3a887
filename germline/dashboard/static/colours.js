// Viridis, from dark to light: what it shows grows with it for everybody's eyes.
import { html } from "./vendor/htm-preact.module.js";

const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** A colour for a share, 0 to 1. */
export function viridis(share) {
  const at = Math.max(0, Math.min(RAMP.length - 2, Math.floor(share * (RAMP.length - 1)))), rest = share * (RAMP.length - 1) - at;
  return `rgb(${RAMP[at].map((low, part) => Math.round(low + (RAMP[at + 1][part] - low) * rest)).join(",")})`;
}

/** The lowest and the highest of many values. */
export function span(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? [0, 0] : [low, high];
}

/** What the colours mean. */
export const Ramp = ({ low, high, what }) => html`
  <p class="ramp">${what}: <span>${low}</span>
    <svg viewBox="0 0 20 1" preserveAspectRatio="none" aria-hidden="true">${Array.from({ length: 20 }, (_, at) => html`<rect x=${at} width="1.05" height="1" fill=${viridis((at + 0.5) / 20)} />`)}</svg>
    <span>${high}</span></p>`;
