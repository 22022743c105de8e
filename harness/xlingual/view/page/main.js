// The page: tabs, tools, and what stands below the table.

function drawTabs() {
  fill(document.getElementById("tabs"), ...index.tables.map((table, at) => el("button", {
    type: "button", "aria-pressed": String(String(at) === state.table),
    onclick: () => { set({ table: String(at), metric: "", sort: "", hide: "" }); drawPageOfTable(); },
  }, name(table.family), ...(table.sample && index.tables.some((each) => !each.sample) ? [" ", el("span", { class: "tag" }, "sample")] : []))));
}

function drawMetrics() {
  const select = document.getElementById("metric");
  fill(select, ...tableNow().metrics.map((metric, at) => option(metric.name, `${plain(metric.name)}${at === 0 ? " (main)" : ""}`, metricNow().name)));
  select.onchange = () => { set({ metric: select.value }); drawTable(); };
}

function drawColumns() {
  const hidden = hiddenColumns();
  const table = tableNow();
  const label = () => fill(document.getElementById("columns-label"), hidden.size === 0 ? `Languages (${table.columns.length})` : `Languages (${shownColumns().length} of ${table.columns.length})`);
  const boxes = table.columns.map((column, at) => el("label", {}, el("input", {
    type: "checkbox", checked: !hidden.has(at),
    onchange: (event) => {
      if (event.target.checked) hidden.delete(at);
      else hidden.add(at);
      set({ hide: [...hidden].join(".") });
      label();
      drawTable();
    },
  }), ` ${plain(column.variant)}, ${plain(column.name)}`));
  const all = (on) => el("button", { type: "button", class: "quiet", onclick: () => { set({ hide: on ? "" : table.columns.map((_, at) => at).slice(1).join(".") }); drawColumns(); drawTable(); } }, on ? "All" : "Only the first");
  fill(document.getElementById("columns"), all(true), all(false), ...boxes);
  label();
}

function drawAbout() {
  const table = tableNow();
  const { here, all } = index.texts;
  const lines = [
    `${plural(here, "sample")} of ${count(all)} with texts in this page${here < all ? ": failures first, then where models differ, then the rest; all scores are here" : ""}.`,
    ...table.metrics.filter((metric) => metric.signatures.length > 0).slice(0, 1).map((metric) => `Signature of ${metric.name}: ${metric.signatures.join("; ")}.`),
    table.licences.length > 0 ? `Licence of the data: ${table.licences.join("; ")}.` : null,
    globalThis.DecompressionStream ? null : "This browser is too old to open samples: it lacks DecompressionStream.",
    index.superseded > 0 ? `${plural(index.superseded, "older run")} of the same model, task and protocol: the newest is shown.` : null,
    ...index.runs.filter((run) => run.note !== null && !run.is_group).slice(0, 20).map((run) => run.note),
  ].filter(Boolean);
  const left = index.left_out.length === 0 ? null : el("details", {}, el("summary", {}, `${plural(index.left_out.length, "file")} left out`),
    el("ul", {}, ...index.left_out.map(([where, reason]) => el("li", {}, name(where), ": ", name(reason)))));
  fill(document.getElementById("about"), ...lines.map((line) => el("p", {}, name(line))), left,
    el("p", {}, `xlingual ${plain(index.version)}${index.newest === null ? "" : `; newest run ${plain(index.newest)}`}. This file loads nothing and sends nothing.`));
}

function drawPageOfTable() {
  drawTabs();
  drawMetrics();
  drawColumns();
  drawDownloads();
  drawTable();
  drawAbout();
}

function start() {
  applyTheme(readTheme());
  readAddress();
  const filter = document.getElementById("filter");
  filter.value = state.filter;
  filter.oninput = () => { set({ filter: filter.value }); drawTable(); };
  document.getElementById("table").addEventListener("keydown", onGridKey);
  document.getElementById("table").addEventListener("click", onGridClick);
  document.getElementById("chart").addEventListener("click", onGridClick);
  document.getElementById("as-table").onclick = () => { set({ shape: "" }); drawShape(); };
  document.getElementById("as-chart").onclick = () => { set({ shape: "chart" }); drawShape(); };
  document.getElementById("table").addEventListener("focusin", (event) => {
    const cell = event.target.closest("button, td");
    if (cell === null || cell.tabIndex === 0) return;
    for (const each of document.querySelectorAll('#table [tabindex="0"]')) each.tabIndex = -1;
    cell.tabIndex = 0;
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  wireDrawer();
  if (index.tables.length === 0) {
    fill(document.getElementById("caption"), "There are no runs here.");
    return;
  }
  drawPageOfTable();
  if (state.run !== "") parsed.then(showDrawer);
}

start();
