// Before anything is painted: the theme that this browser chose here, if it did.
try {
  const chosen = localStorage.getItem("germline-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing follows its system.
}
