// The address says what is shown: page, axis, range, selection. Reload or send it, and it is the same.
import { useEffect, useState } from "./vendor/htm-preact.module.js";

const listeners = new Set();

export const here = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });

/** Go to an address within the dashboard. */
export function go(address, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  for (const listener of listeners) listener(here());
  if (!replace) window.scrollTo(0, 0);
}

/** Change parts of the query; null takes one away. The page stays, and so does the place in it. */
export function setQuery(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : ""), { replace: true });
}

/** Where we are; renders again when that changes. */
export function usePlace() {
  const [place, setPlace] = useState(here());
  useEffect(() => {
    const moved = () => setPlace(here());
    const clicked = (event) => {
      const link = event.target.closest?.("a[href]");
      const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
      if (!link || !plain || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
      if (link.pathname.startsWith("/api/") || link.getAttribute("href").startsWith("#")) return;
      event.preventDefault();
      go(link.pathname + link.search);
    };
    listeners.add(setPlace);
    window.addEventListener("popstate", moved);
    document.addEventListener("click", clicked);
    return () => {
      listeners.delete(setPlace);
      window.removeEventListener("popstate", moved);
      document.removeEventListener("click", clicked);
    };
  }, []);
  return place;
}

/** Parts of a path by a pattern such as "/e/:name"; null if it is another. */
export function matched(pattern, path) {
  const wanted = pattern.split("/"), given = path.replace(/(.)\/$/, "$1").split("/");
  if (wanted.length !== given.length) return null;
  const parts = {};
  for (const [place, part] of wanted.entries()) {
    if (part.startsWith(":")) {
      try {
        parts[part.slice(1)] = decodeURIComponent(given[place]);
      } catch {
        return null;
      }
    } else if (part !== given[place]) return null;
  }
  return parts;
}
