// What is shown, kept in the address, so that a link opens the same view: from disk, too.

const DEFAULTS = { table: "0", metric: "", sort: "", filter: "", hide: "", run: "", beside: "", sample: "", order: "", only: "", tab: "", shape: "" };
const state = { ...DEFAULTS };

function readAddress() {
  Object.assign(state, DEFAULTS);
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) if (key in DEFAULTS) state[key] = value;
  if (!index.tables[Number(state.table)]) state.table = "0";
}

function writeAddress() {
  const changed = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  try {
    history.replaceState(null, "", `#${new URLSearchParams(changed)}`);
  } catch { /* a sandbox without history: the page works, its address stays */ }
}

function set(changes) {
  Object.assign(state, changes);
  writeAddress();
}

const THEMES = ["auto", "dark", "light"];

function readTheme() {
  try {
    const found = localStorage.getItem("xlingual-view-theme");
    return THEMES.includes(found) ? found : "auto";
  } catch { return "auto"; }
}

function applyTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  fill(button, `Theme: ${theme}`);
  button.onclick = () => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try { localStorage.setItem("xlingual-view-theme", next); } catch { /* not kept, then */ }
    applyTheme(next);
  };
}
