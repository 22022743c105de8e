// The drawer: samples and provenance of the run behind a cell.

const drawer = document.getElementById("drawer");
let opener = null;

function rowWith(run) {
  for (const table of index.tables) for (const row of table.rows) if (row.runs.includes(run)) return row;
  return null;
}

function labelOf(run) {
  const row = rowWith(run);
  return [row.model, ...row.notes].join(", ");
}

// Other runs of the same task, to look at side by side.
function rivals(run) {
  const table = index.tables.find((each) => each.rows.some((row) => row.runs.includes(run)));
  const at = rowWith(run).runs.indexOf(run);
  return table.rows.map((row) => row.runs[at]).filter((other) => other !== null && other !== run);
}

const byId = (id) => index.runs.findIndex((run) => run.id === id);

async function openDrawer(run, tab, button) {
  opener = button;
  set({ run: index.runs[run].id, beside: "", sample: "", order: "", only: "", tab });
  await showDrawer();
}

async function showDrawer() {
  const number = byId(state.run);
  if (number < 0) return;
  const entry = index.runs[number];
  const score = scoreOf(number);
  const row = rowWith(number);
  fill(document.getElementById("drawer-title"), name(row.model), " ", name(entry.task, { class: "task" }));
  const interval = score[1] === null ? "" : ` [${number1(score[1])}, ${number1(score[2])}]`;
  const notes = [words(number, score), ...row.notes].filter(Boolean);
  fill(document.getElementById("drawer-sub"), `${plain(metricNow().name)} ${number1(score[0])}${interval}, n ${count(score[3])}`, ...notes.flatMap((note) => [" ", name(note, { class: "tag" })]));
  if (!drawer.open) drawer.showModal();
  document.getElementById("drawer-title").focus();
  const second = byId(state.beside);
  const [run, beside] = await Promise.all([openRun(number), rivals(number).includes(second) ? openRun(second) : null]);
  if (!drawer.open || state.run !== entry.id) return;
  view = { run, beside, metric: metricNow().name, rows: [], start: -1, at: -1, search: "", joiners: false };
  document.getElementById("search").value = "";
  document.getElementById("panes").dataset.open = "list";
  drawTools();
  showTab(state.tab === "provenance" ? "provenance" : "samples");
}

const number1 = (value) => number(value, 1);

function option(value, label, chosen) {
  return el("option", { value, selected: value === chosen }, label);
}

function drawTools() {
  const others = rivals(view.run.number).filter((other) => index.runs[other].samples > 0);
  fill(document.getElementById("other"), option("", "no other model", state.beside), ...others.map((other) => option(index.runs[other].id, plain(labelOf(other)), state.beside)));
  const orders = view.beside === null ? ORDERS : { differ: "those that differ most", ...ORDERS };
  fill(document.getElementById("order"), ...Object.entries(orders).map(([value, label]) => option(value, label, state.order || Object.keys(orders)[0])));
  const counts = Object.entries(ONLY).map(([word, label]) => [word, label, view.run.order.filter((row) => matches(row, word)).length]);
  fill(document.getElementById("only"), ...counts.filter(([word, , amount]) => word === "" || amount > 0).map(([word, label, amount]) => option(word, `${label} (${count(amount)})`, state.only)));
}

function showTab(tab) {
  set({ tab });
  document.getElementById("samples").hidden = tab !== "samples";
  document.getElementById("provenance").hidden = tab !== "provenance";
  document.getElementById("show-samples").setAttribute("aria-pressed", String(tab === "samples"));
  document.getElementById("show-provenance").setAttribute("aria-pressed", String(tab === "provenance"));
  if (tab === "provenance") drawProvenance();
  else if (view.run.rows === 0) {
    fill(document.getElementById("list"));
    fill(document.getElementById("detail"), el("p", { class: "caption" }, plain(view.run.entry.note ?? "This run has no samples.")));
    say("");
  } else drawList();
}

// A value of a record: objects as lists of names and values, long texts as blocks.
function valueOf(value) {
  if (value === null) return el("span", { class: "none" }, "none");
  if (Array.isArray(value)) {
    if (value.length === 0) return el("span", { class: "none" }, "none");
    if (value.every((item) => typeof item !== "object")) return name(value.join(", "));
    return el("div", {}, ...value.map((item) => valueOf(item)));
  }
  if (typeof value === "object") return listOf(value);
  if (typeof value === "string" && (value.length > 80 || value.includes("\n"))) return block(value, "", false);
  return name(String(value));
}

function listOf(record) {
  return el("dl", {}, ...Object.entries(record).flatMap(([key, value]) => [el("dt", {}, name(key)), el("dd", {}, valueOf(value))]));
}

function drawProvenance() {
  const { estimates, ...record } = view.run.facts.record;
  const { model, protocol, counts, files, versions, scored_with: scoredWith, ...rest } = record;
  const cells = (estimate) => [el("td", {}, plain(estimate.metric)), el("td", {}, number(estimate.value)), el("td", {}, estimate.low === null ? "–" : `${number(estimate.low)}–${number(estimate.high)}`),
    el("td", {}, `${count(estimate.n)}${estimate.unscored ? ` (${count(estimate.unscored)} unscored)` : ""}`), el("td", {}, name(estimate.reason ?? estimate.signature))];
  const scores = el("div", { class: "scroll" }, el("table", { class: "facts" }, el("thead", {}, el("tr", {}, ...["metric", "score", "95% interval", "n", "signature"].map((word) => el("th", { scope: "col" }, word)))),
    el("tbody", {}, ...estimates.map((estimate) => el("tr", {}, ...cells(estimate))))));
  const parts = { Model: model, Protocol: protocol, Counts: counts, "Data files": files, Versions: versions, "Scored with": scoredWith, Run: rest };
  const chapter = (title, ...blocks) => el("section", { class: "part" }, el("h3", {}, title), ...blocks);
  fill(document.getElementById("provenance"), chapter("Scores", scores),
    ...Object.entries(parts).filter(([, value]) => value !== undefined && value !== null).map(([title, value]) => chapter(title, valueOf(value))),
    el("button", { type: "button", onclick: () => save(`${fileName(entryName())}-results.json`, "application/json", toJson(view.run.facts.record)) }, "Download this record"), " ",
    el("button", { type: "button", onclick: saveSamples }, "Download its samples, JSON Lines"));
}

// The samples of the run in the order of the data, with all scores, and with their texts where these are here.
async function saveSamples() {
  const { run } = view;
  const lines = [];
  for (let row = 0; row < run.rows; row += 1) {
    const { prompts, prompt, ...sample } = (await readSample(run, row)) ?? {};
    const scores = Object.fromEntries(Object.keys(run.facts.scores).map((metric) => [metric, run.score(row, metric) === null ? null : run.score(row, metric) / 10]));
    lines.push(JSON.stringify({ row: row + 1, ...sample, scores, happened: Object.keys(FLAGS).filter((word) => run.flag(row, word)) }));
  }
  save(`${fileName(entryName())}-samples.jsonl`, "application/jsonl", lines.map((line) => `${line}\n`).join(""));
}

const entryName = () => `${rowWith(view.run.number).model} ${view.run.entry.task}`;

function onDrawerKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (document.getElementById("samples").hidden || view === null || view.rows.length === 0) return;
  const by = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  openSample(view.at + by, true);
}

function onDrawerClose() {
  const run = byId(state.run);
  view = null;
  set({ run: "", beside: "", sample: "", order: "", only: "", tab: "" });
  const again = opener?.isConnected ? opener : document.querySelector(`${state.shape === "chart" ? "#chart" : "#table"} [data-run="${run}"]`);
  const rows = gridRows();
  const row = rows.findIndex((cells) => cells.includes(again));
  if (row >= 0) moveTo(row, rows[row].indexOf(again));
  else again?.focus();
  opener = null;
}

function wireDrawer() {
  drawer.addEventListener("close", onDrawerClose);
  drawer.addEventListener("keydown", onDrawerKey);
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
  document.getElementById("close").onclick = () => drawer.close();
  document.getElementById("show-samples").onclick = () => showTab("samples");
  document.getElementById("show-provenance").onclick = () => showTab("provenance");
  document.getElementById("other").onchange = (event) => { set({ beside: event.target.value, order: "", sample: "" }); showDrawer(); };
  document.getElementById("order").onchange = (event) => { set({ order: event.target.value, sample: "" }); drawList(); };
  document.getElementById("only").onchange = (event) => { set({ only: event.target.value, sample: "" }); drawList(); };
  let waiting = 0;
  document.getElementById("search").oninput = (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { view.search = event.target.value; set({ sample: "" }); drawList(); }, 200);
  };
}
