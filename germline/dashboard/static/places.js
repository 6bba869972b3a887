// Which page an address means, and which pages stand in the head of all. A page is a module whose default export is a
// component; it gets the parts of its address, and the query.
export const PAGES = [
  ["/", () => import("./pages/experiments.js")],
  ["/workers", () => import("./pages/workers.js")],
  ["/health", () => import("./pages/health.js")],
  ["/e/:name", () => import("./pages/experiment.js")],
  ["/e/:name/i/:id", () => import("./pages/replay.js")],
  ["/e/:name/lineage", () => import("./pages/lineage.js")],
  ["/e/:name/pair", () => import("./pages/pair.js")],
  ["/e/:name/behaviour", () => import("./pages/behaviour.js")],
];

export const HEAD = [["/", "Experiments"], ["/workers", "Workers"], ["/health", "Health"]];
