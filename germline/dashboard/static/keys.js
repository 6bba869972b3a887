// The keyboard: what every page understands.
import { html, useEffect, useRef } from "./vendor/htm-preact.module.js";
import { isPaused, pauseLive } from "./live.js";
import { go } from "./router.js";

const KEYS = [
  ["/", "search, where a page has a search"],
  ["j  k", "next and previous row; Enter opens it"],
  ["p", "stop live updates, and let them go on"],
  ["g e   g w   g h", "to the experiments, the workers, the health"],
  ["← →", "move along a chart that has the focus; Home and End to its ends"],
  ["+  −  0", "zoom in a chart, out, and all of it"],
  ["?", "this help"],
];
const PLACES = { e: "/", w: "/workers", h: "/health" };

/** Listens for keys, unless a person is writing. */
export function Keys({ onHelp }) {
  useEffect(() => {
    let going = false;
    const pressed = (event) => {
      const writing = event.target.closest?.("input, textarea, select, dialog");
      if (writing || event.metaKey || event.ctrlKey || event.altKey) return;
      if (going && PLACES[event.key]) go(PLACES[event.key]);
      else if (event.key === "?") onHelp();
      else if (event.key === "p") pauseLive(!isPaused());
      else if (event.key === "/") search(event);
      else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
      going = event.key === "g";
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [onHelp]);
  return null;
}

function search(event) {
  const field = document.querySelector("input[type=search]");
  if (!field) return;
  event.preventDefault();
  field.focus();
}

function step(by) {
  const links = [...document.querySelectorAll("[data-row]")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, at + by))].focus();
}

/** What the keys do. */
export function Help({ onClose }) {
  const dialog = useRef(null);
  useEffect(() => {
    if (!dialog.current.open) dialog.current.showModal();
  }, []);
  return html`
    <dialog ref=${dialog} onClose=${onClose} aria-labelledby="keys">
      <h2 id="keys">Keyboard</h2>
      <dl class="keys">${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
      <button type="button" class="loud" onClick=${() => dialog.current.close()}>Close</button>
    </dialog>`;
}
