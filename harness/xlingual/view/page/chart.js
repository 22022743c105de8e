// Small multiples: the numbers of the table, a panel a language, models in the order of their scores on one scale.

function panelOf(at, rows, scale) {
  const column = tableNow().columns[at];
  const sign = metricNow().higher_is_better ? -1 : 1;
  const lines = rows.filter((row) => row.runs[at] !== null)
    .map((row) => ({ row, run: row.runs[at], score: scoreOf(row.runs[at]) }))
    .sort((a, b) => (a.score[0] === null) - (b.score[0] === null) || sign * ((a.score[0] ?? 0) - (b.score[0] ?? 0)));
  return el("section", { class: "panel" }, el("h3", {}, name(column.variant), " ", name(column.name, { class: "task" })), ...lines.map((line) => lineOf(line, scale)));
}

function lineOf({ row, run, score }, scale) {
  const note = [words(run, score), ...row.notes].filter(Boolean).join("; ");
  const label = `${row.model}: ${number(score[0])}${score[1] === null ? "" : ` [${number(score[1])}, ${number(score[2])}]`}${note ? `, ${note}` : ""}. Open samples.`;
  return el("button", { type: "button", class: `line${row.control ? " control" : ""}${note ? " marked" : ""}`, "data-run": String(run), "aria-label": plain(label), title: plain(note) || null },
    name(plain(row.model), { class: "who" }), barOf(score, scale), el("span", { class: "value" }, number(score[0])), note ? name(plain(note), { class: "note" }) : null);
}

function drawChart() {
  const rows = shownRows();
  const scale = scaleOf();
  fill(document.getElementById("chart"), ...shownColumns().map((at) => panelOf(at, rows, scale)));
}

// The table or the panels, as chosen; both open the same drawer.
function drawShape() {
  const chart = state.shape === "chart";
  document.getElementById("scroll").hidden = chart;
  document.getElementById("keys").hidden = chart;
  document.getElementById("chart").hidden = !chart;
  document.getElementById("as-table").setAttribute("aria-pressed", String(!chart));
  document.getElementById("as-chart").setAttribute("aria-pressed", String(chart));
  if (chart) drawChart();
}
