// The heat map: models by tasks of one family. A grid with one tab stop: arrows move, Enter acts.

const SHADES = 7;
const tableNow = () => index.tables[Number(state.table)];
const metricNow = () => tableNow().metrics.find((metric) => metric.name === state.metric) ?? tableNow().metrics[0];

const hiddenColumns = () => new Set(state.hide.split(".").filter(Boolean).map(Number));

function shownColumns() {
  const hidden = hiddenColumns();
  const all = tableNow().columns.map((_, at) => at);
  const shown = all.filter((at) => !hidden.has(at));
  return shown.length > 0 ? shown : all;
}

// [value, low, high, n, state, reason] of a run by the chosen metric, or null where there is no run.
function scoreOf(run) {
  if (run === null) return null;
  const absent = [null, null, null, 0, "not computed", "the run does not have this metric"];
  return Object.hasOwn(index.runs[run].scores, metricNow().name) ? index.runs[run].scores[metricNow().name] : absent;
}

// Over the shown columns, where every one of them is complete: an average over other languages is another number.
function averageOf(row) {
  const scores = shownColumns().map((at) => scoreOf(row.runs[at]));
  if (row.notes.length > 0 || scores.some((score) => score === null || score[4] !== "complete" || score[5] !== null)) return null;
  return scores.reduce((sum, score) => sum + score[0], 0) / scores.length;
}

function sortNow() {
  const [word, direction] = state.sort.split(":");
  if (word === "model") return { word, down: direction === "down" };
  if (shownColumns().includes(Number(word || "none"))) return { word, column: Number(word), down: direction !== "up" };
  return { word: "average", down: direction ? direction !== "up" : metricNow().higher_is_better };
}

function shownRows() {
  const wanted = state.filter.trim().toLowerCase();
  const { word, column, down } = sortNow();
  const columns = shownColumns();
  const keyed = tableNow().rows
    .filter((row) => plain(row.model).toLowerCase().includes(wanted) && columns.some((at) => row.runs[at] !== null))
    .map((row) => ({ row, value: word === "average" ? averageOf(row) : word === "model" ? null : scoreOf(row.runs[column])?.[0] ?? null }));
  const sign = down ? -1 : 1;
  keyed.sort((a, b) => {
    if (Boolean(a.row.control) !== Boolean(b.row.control)) return a.row.control ? 1 : -1;
    if ((a.value === null) !== (b.value === null)) return a.value === null ? 1 : -1;
    if (a.value !== null && a.value !== b.value) return sign * (a.value - b.value);
    return (word === "model" ? sign : 1) * (a.row.model < b.row.model ? -1 : a.row.model > b.row.model ? 1 : 0);
  });
  return keyed.map((each) => each.row);
}

function scaleOf() {
  const metric = metricNow();
  if (metric.bounded) return { low: 0, high: 100 };
  const values = tableNow().rows.flatMap((row) => row.runs.map((run) => scoreOf(run)?.[0] ?? null)).filter((value) => value !== null);
  return { low: Math.min(0, ...values), high: Math.max(1, ...values) };
}

const share = (value, scale) => Math.min(1, Math.max(0, (value - scale.low) / (scale.high - scale.low)));

function words(run, score) {
  const entry = index.runs[run];
  if (score[4] === "not computed") return "not computed";
  const marks = [];
  if (score[4] === "incomplete") marks.push(`incomplete ${count(score[3])}/${count(entry.expected)}`);
  if (score[4] === "marked") marks.push("not ranked");
  if (score[4] === "limited") marks.push(`limited, n ${count(score[3])}`);
  if (score[5] !== null) marks.push(score[5]);
  return marks.join("; ");
}

// A score and its interval on the scale of the table.
function barOf([value, low, high], scale) {
  const bar = el("span", { class: "bar", "aria-hidden": "true" });
  if (value === null) return bar;
  if (low !== null) {
    const range = el("i", { class: "range" });
    range.style.insetInlineStart = `${100 * share(low, scale)}%`;
    range.style.width = `${100 * (share(high, scale) - share(low, scale))}%`;
    bar.append(range);
  }
  const dot = el("i", { class: "dot" });
  dot.style.insetInlineStart = `${100 * share(value, scale)}%`;
  bar.append(dot);
  return bar;
}

function cellOf(row, at, scale) {
  const run = row.runs[at];
  const column = tableNow().columns[at];
  if (run === null) return el("td", { tabindex: "-1", class: "empty", "aria-label": `${plain(row.model)}, ${plain(column.variant)}: no run` }, "·");
  const score = scoreOf(run);
  const note = words(run, score);
  const marked = note !== "" || row.notes.length > 0;
  const value = score[0];
  const interval = score[1] === null ? "" : ` ${number(score[1])}–${number(score[2])}`;
  const label = `${row.model}, ${column.name} (${column.variant}): ${number(value)}${interval}${note ? ` ${note}` : ""}. Open samples.`;
  const button = el("button", { type: "button", tabindex: "-1", "aria-label": plain(label), title: plain(note || interval.trim()) || null, "data-run": String(run) },
    el("span", { class: "value" }, number(value)), " ",
    el("span", { class: "interval" }, score[1] === null ? "\u00a0" : `${number(score[1])}–${number(score[2])}`),
    " ", barOf(score, scale), note ? el("span", { class: "word" }, plain(note)) : null);
  const shade = value === null ? "none" : String(Math.min(SHADES - 1, Math.floor(share(value, scale) * SHADES)));
  return el("td", { "data-shade": shade, class: marked ? "marked" : null }, button);
}

function headCell(word, label, title, { under, ...attributes } = {}) {
  const { word: sorted, down } = sortNow();
  const mine = sorted === word;
  return el("th", { scope: "col", "aria-sort": mine ? (down ? "descending" : "ascending") : null, ...attributes },
    el("button", { type: "button", tabindex: "-1", "data-sort": word, title: plain(title) }, name(label), el("span", { class: "arrow", "aria-hidden": "true" }, mine ? (down ? "▾" : "▴") : ""), under ? el("span", { class: "language" }, under) : null));
}

function rowHead(row) {
  const run = row.runs.find((each) => each !== null);
  const marks = [row.control, row.notes.length > 0 ? "not comparable" : null].filter(Boolean);
  return el("th", { scope: "row" }, el("button", { type: "button", tabindex: "-1", "data-model": String(run), title: plain([row.model, row.remark, ...row.notes].filter(Boolean).join("\n")) },
    name(row.model, { class: "model" }), ...marks.flatMap((mark) => [" ", el("span", { class: "tag" }, mark)]),
    ...[row.remark, ...row.notes].filter(Boolean).map((note) => name(note, { class: "note" }))));
}

function drawTable() {
  const columns = shownColumns();
  const scale = scaleOf();
  const table = tableNow();
  const several = columns.length > 1;
  const head = el("tr", {}, headCell("model", "Model", "Sort by name", { class: "corner" }),
    ...columns.map((at) => headCell(String(at), table.columns[at].variant, `${table.columns[at].task}: ${table.columns[at].name}, ${plural(table.columns[at].n, "example")}`, { under: table.columns[at].name === table.columns[at].variant ? "" : plain(table.columns[at].name) })),
    several ? headCell("average", "average", "Mean of the shown columns, where all are complete and alike") : null);
  const body = (rows, title) => rows.length === 0 ? null : el("tbody", {},
    title ? el("tr", { class: "group" }, el("th", { scope: "rowgroup", colspan: String(columns.length + (several ? 2 : 1)) }, el("span", {}, title))) : null,
    ...rows.map((row) => el("tr", {}, rowHead(row), ...columns.map((at) => cellOf(row, at, scale)),
      several ? el("td", { tabindex: "-1", class: "average" }, number(averageOf(row))) : null)));
  const rows = shownRows();
  const controls = rows.filter((row) => row.control);
  fill(document.getElementById("table"), el("thead", {}, head), body(rows.filter((row) => !row.control)), body(controls, "Controls: floor and ceiling, no models"));
  if (rows.length === 0) document.getElementById("table").append(el("tbody", {}, el("tr", {}, el("td", { colspan: String(columns.length + 2), tabindex: "-1" }, "No model has such a name."))));
  moveTo(0, 0, false);
  drawCaption(scale);
  drawShape();
}

const gridRows = () => [...document.querySelectorAll("#table tr:not(.group)")].map((row) => [...row.children].map((cell) => cell.querySelector("button") ?? cell));

function moveTo(row, column, focus = true) {
  const rows = gridRows();
  const target = rows[Math.min(Math.max(row, 0), rows.length - 1)];
  const cell = target?.[Math.min(Math.max(column, 0), target.length - 1)];
  if (!cell) return;
  for (const each of document.querySelectorAll('#table [tabindex="0"]')) each.tabIndex = -1;
  cell.tabIndex = 0;
  if (focus) {
    cell.focus({ preventScroll: false });
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

function onGridKey(event) {
  const rows = gridRows();
  const row = rows.findIndex((cells) => cells.includes(event.target));
  if (row < 0 || event.altKey || event.metaKey) return;
  const column = rows[row].indexOf(event.target);
  const far = event.ctrlKey;
  const moves = {
    ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
    PageUp: [row - 10, column], PageDown: [row + 10, column], Home: [far ? 0 : row, 0], End: [far ? rows.length - 1 : row, rows[row].length - 1],
  };
  if (!(event.key in moves)) return;
  event.preventDefault();
  moveTo(...moves[event.key]);
}

function onGridClick(event) {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.sort !== undefined) {
    const { word, down } = sortNow();
    const mine = button.dataset.sort === word;
    const first = metricNow().higher_is_better ? "down" : "up";
    const next = mine ? (down ? "up" : "down") : button.dataset.sort === "model" ? "up" : first;
    set({ sort: `${button.dataset.sort}:${next}` });
    drawTable();
    const again = document.querySelector(`#table [data-sort="${CSS.escape(button.dataset.sort)}"]`);
    const at = gridRows()[0].indexOf(again);
    moveTo(0, at);
  } else if (button.dataset.run !== undefined) {
    openDrawer(Number(button.dataset.run), "samples", button);
  } else if (button.dataset.model !== undefined) {
    openDrawer(Number(button.dataset.model), "provenance", button);
  }
}

function drawCaption(scale) {
  const table = tableNow();
  const metric = metricNow();
  const protocol = table.columns[0].protocol;
  const common = protocol.filter((word) => table.columns.every((column) => column.protocol.includes(word)));
  document.title = plain(`${table.family}, ${metric.name} · xlingual view`);
  fill(document.getElementById("caption"),
    el("strong", {}, `${plain(table.family)}, ${plain(metric.name)}`),
    ` (${metric.higher_is_better ? "higher" : "lower"} is better). `,
    table.sample ? el("span", { class: "tag" }, "packaged sample: shows that it works, says little about a model") : null,
    table.sample ? " " : null,
    ...common.flatMap((word) => [name(word, { class: "fact" }), " "]));
  const steps = el("span", { class: "steps", "aria-hidden": "true" }, ...Array.from({ length: SHADES }, (_, shade) => el("i", { "data-shade": String(shade) })));
  fill(document.getElementById("legend"), el("span", {}, number(scale.low, 0)), steps, el("span", {}, number(scale.high, 0)),
    el("span", { class: "bar sample", "aria-hidden": "true" }, el("i", { class: "range" }), el("i", { class: "dot" })),
    el("span", {}, `score and its 95% interval on the scale ${number(scale.low, 0)} to ${number(scale.high, 0)}; striped: incomplete, or not like the others, the words say why`));
}
