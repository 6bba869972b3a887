document.getElementById("app").textContent =
  "This browser is too old for the dashboard: it knows no JavaScript modules. Any one of the last years will do.";
