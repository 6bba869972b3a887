// The frame around all pages, and which page an address means.
import { html, render, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";
import { Help, Keys } from "./keys.js";
import { pauseLive, usePaused } from "./live.js";
import { Loading, Notice } from "./parts.js";
import { HEAD, PAGES } from "./places.js";
import { matched, usePlace } from "./router.js";
import { SignIn } from "./sign-in.js";

function found(path) {
  for (const [pattern, load] of PAGES) {
    const parts = matched(pattern, path);
    if (parts) return { pattern, load, parts };
  }
  return null;
}

/** The page of an address; its code is asked for when it is first wanted. */
function Page({ place }) {
  const wanted = found(place.path);
  const [loaded, setLoaded] = useState({});
  useEffect(() => {
    if (!wanted || loaded[wanted.pattern]) return;
    wanted.load().then(
      (module) => setLoaded((before) => ({ ...before, [wanted.pattern]: module.default })),
      () => setLoaded((before) => ({ ...before, [wanted.pattern]: Unloadable })),
    );
  }, [wanted?.pattern]);
  if (!wanted) return html`<${Nowhere} path=${place.path} />`;
  const Shown = loaded[wanted.pattern];
  return Shown ? html`<${Shown} key=${place.path} ...${wanted.parts} query=${place.query} />` : html`<${Loading} what="the page" />`;
}

const Nowhere = ({ path }) => html`
  <h1>Nothing is here</h1>
  <p class="lead">There is no page ${path}. <a href="/">All experiments</a> are a click away.</p>`;

const Unloadable = () => html`
  <${Notice} kind="bad" title="The page could not be loaded.">The dashboard may have been started anew: reload.<//>`;

function Theme() {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const [is, set] = useState(dark());
  const turn = () => {
    root.dataset.theme = is ? "light" : "dark";
    try {
      localStorage.setItem("germline-theme", root.dataset.theme);
    } catch {
      // It lasts as long as the page, then.
    }
    set(!is);
    window.dispatchEvent(new Event("theme"));
  };
  return html`<button type="button" class="quiet" onClick=${turn}>${is ? "Light" : "Dark"}</button>`;
}

function Frame() {
  const place = usePlace();
  const paused = usePaused();
  const [helping, setHelping] = useState(false);
  const main = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) main.current.focus({ preventScroll: true });
    first.current = false;
  }, [place.path]);
  const current = (path) => (path === "/" ? place.path === "/" || place.path.startsWith("/e/") : place.path === path);
  return html`
    <a class="skip" href="#main">To the content</a>
    <header class="top"><div class="measure">
      <a class="mark" href="/"><svg viewBox="0 0 40 16" aria-hidden="true"><path d="M4 8h32" /><circle cx="4" cy="8" r="2.6" /><circle cx="18" cy="8" r="3.6" /><circle class="last" cx="34" cy="8" r="5" /></svg>germline</a>
      <nav aria-label="Pages">${HEAD.map(([path, name]) => html`
        <a href=${path} aria-current=${current(path) ? "page" : undefined}>${name}</a>`)}</nav>
      <div class="tools">
        ${paused ? html`<button type="button" class="loud" onClick=${() => pauseLive(false)}>Go on live</button>` : null}
        <${Theme} />
        <button type="button" class="quiet" aria-label="Keyboard help" onClick=${() => setHelping(true)}>?</button>
      </div>
    </div></header>
    <main id="main" class="measure" tabindex="-1" ref=${main}>
      ${paused ? html`<${Notice} kind="warn" title="Live updates are stopped.">What you see stays as it is; press p to go on.<//>` : null}
      <${Page} place=${place} />
    </main>
    <${Keys} onHelp=${() => setHelping(true)} />
    ${helping ? html`<${Help} onClose=${() => setHelping(false)} />` : null}`;
}

function App() {
  const [door, setDoor] = useState(document.body.dataset.door);
  useEffect(() => {
    const close = () => setDoor("closed");
    window.addEventListener("closed-door", close);
    return () => window.removeEventListener("closed-door", close);
  }, []);
  return door === "open" ? html`<${Frame} />` : html`<${SignIn} wrong=${door === "wrong"} />`;
}

render(html`<${App} />`, document.getElementById("app"));
