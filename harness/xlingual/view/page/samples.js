// The samples of one run, or of two side by side: which are shown, in which order, and one of them in full.

const PAGE = 100;
const ORDERS = { first: "failures first", data: "as in the data", low: "lowest score first", high: "highest score first" };
const ONLY = {
  "": "all", failure: "without a point", differ: "where runs differ", failed: "failed: no answer", missing: "not asked",
  unfinished: "ended inside the thinking", cut: "cut at the token limit", unextracted: "nothing extracted", "prompt-cut": "prompt cut",
};
// What the drawer shows: runs, the metric, rows after filters, which of them are listed, which one is open.
let view = null;

const scoreNow = (row) => view.run.score(row, view.metric);

// The row of the second run that answers the same example (and the same repeat of it), or null.
function besideRow(row) {
  if (view.beside === null) return null;
  const example = view.run.example(row);
  const first = view.beside.first.get(example);
  if (first === undefined) return null;
  const mine = view.run.first.get(example);
  const other = first + (row - mine);
  return other < view.beside.rows && view.beside.example(other) === example ? other : first;
}

const besideScore = (row) => {
  const other = besideRow(row);
  return other === null ? null : view.beside.score(other, view.metric);
};
const distance = (row) => besideRow(row) === null ? -1 : Math.abs((scoreNow(row) ?? 0) - (besideScore(row) ?? 0));

function matches(row, word) {
  if (word === "") return true;
  if (word === "failure") return view.run.priority(row) <= 1;
  if (word === "differ") return view.run.priority(row) === 2;
  return view.run.flag(row, word);
}

function sortRows(rows, order) {
  const low = (row) => scoreNow(row) ?? -Infinity;
  const place = (row) => view.run.rank[row];
  if (order === "data") return rows.sort((a, b) => a - b);
  if (order === "low") return rows.sort((a, b) => (low(a) === low(b) ? place(a) - place(b) : low(a) - low(b)));
  if (order === "high") return rows.sort((a, b) => (low(a) === low(b) ? place(a) - place(b) : low(b) - low(a)));
  if (order === "differ") return rows.sort((a, b) => distance(b) - distance(a) || place(a) - place(b));
  // The kept order is that of the main metric; by another one the worst come first, what it did not judge last.
  if (view.metric === tableNow().metrics[0].name) return rows;
  const sign = metricNow().higher_is_better ? 1 : -1;
  const bad = (row) => (scoreNow(row) === null ? Infinity : sign * scoreNow(row));
  return rows.sort((a, b) => (bad(a) === bad(b) ? place(a) - place(b) : bad(a) - bad(b)));
}

// Choose rows by filter and order, then, where a word is looked for, by the texts that are here.
async function chooseRows() {
  const mine = view;
  const order = state.order || (view.beside === null ? "first" : "differ");
  let rows = sortRows(view.run.order.filter((row) => matches(row, state.only)), order);
  const wanted = view.search.trim().toLowerCase();
  if (wanted !== "") {
    const found = [];
    for (let at = 0; at < rows.length; at += 1) {
      const sample = await readSample(view.run, rows[at]);
      if (view !== mine || mine.search.trim().toLowerCase() !== wanted) return false;
      if (sample !== null && textsOf(sample).some((text) => text.toLowerCase().includes(wanted))) found.push(rows[at]);
      if (at % 2000 === 1999) say(`searching, ${count(at + 1)} of ${count(rows.length)}`);
    }
    rows = found;
  }
  view.rows = rows;
  return true;
}

function textsOf(sample) {
  const texts = [sample.id, sample.answer, sample.thinking, sample.failure, ...(sample.targets ?? []), ...sample.messages.map((message) => message[1])];
  return texts.filter((text) => typeof text === "string");
}

const say = (text) => fill(document.getElementById("status"), text);

function describeRows() {
  const parts = [`${count(view.rows.length)} of ${plural(view.run.rows, "sample")}`];
  if (view.run.entry.texts < view.run.rows) parts.push(`texts of ${count(view.run.entry.texts)} are in this page${view.search ? ", only these are searched" : ""}`);
  if (view.beside !== null) {
    const pairs = view.run.order.filter((row) => besideRow(row) !== null && scoreNow(row) !== null && besideScore(row) !== null);
    const ahead = pairs.filter((row) => scoreNow(row) > besideScore(row)).length;
    const behind = pairs.filter((row) => scoreNow(row) < besideScore(row)).length;
    const mean = pairs.reduce((sum, row) => sum + scoreNow(row) - besideScore(row), 0) / Math.max(1, pairs.length) / 10;
    parts.push(`of ${count(pairs.length)} scored in both, higher here ${count(ahead)}, higher beside ${count(behind)}, equal ${count(pairs.length - ahead - behind)}; mean difference ${mean > 0 ? "+" : ""}${number(mean)} (xlingual compare tests it)`);
  }
  return parts.join(" · ");
}

const tenths = (value) => (value === null ? "–" : (value / 10).toFixed(1).replace(/\.0$/, ""));

function scoreTag(value) {
  const shade = value === null || !metricNow().bounded ? "none" : String(Math.min(SHADES - 1, Math.max(0, Math.floor((value / 1000) * SHADES))));
  return el("span", { class: "score", "data-shade": shade }, tenths(value));
}

const MARKS = { failed: "failed", missing: "not asked", unfinished: "unfinished", unextracted: "nothing extracted", cut: "cut" };
const marksOf = (row) => Object.keys(MARKS).filter((word) => view.run.flag(row, word)).map((word) => MARKS[word]);

async function drawList() {
  const mine = view;
  if (!(await chooseRows()) || view !== mine) return;
  say(describeRows());
  await drawPage(0);
  if (view !== mine) return;
  const wanted = Number(state.sample);
  const at = state.sample === "" ? 0 : Math.max(0, view.rows.indexOf(wanted));
  if (view.rows.length > 0) await openSample(at, false);
  else fill(document.getElementById("detail"), el("p", { class: "caption" }, "No sample is like that."));
}

function previewOf(sample) {
  if (sample === null) return "(text not in this page)";
  if (sample.likelihoods && sample.choices) return sample.choices[likeliest(sample)] ?? "";
  return sample.failure ?? (typeof sample.scored === "string" ? sample.scored : sample.answer) ?? "(no answer)";
}

async function drawPage(start) {
  const mine = view;
  const rows = view.rows.slice(start, start + PAGE);
  const samples = await Promise.all(rows.map((row) => readSample(view.run, row)));
  if (view !== mine) return;
  view.start = start;
  const items = rows.map((row, at) => {
    const sample = samples[at];
    const preview = previewOf(sample);
    return el("button", { type: "button", class: "item", "data-at": String(start + at), onclick: () => openSample(start + at, true) },
      scoreTag(scoreNow(row)), view.beside === null ? null : scoreTag(besideScore(row)),
      ...marksOf(row).slice(0, 1).map((mark) => el("span", { class: "tag" }, mark)),
      name(plain(preview.slice(0, 120).replaceAll(/\s+/g, " ")) || "(empty)", { class: "preview", lang: view.run.entry.lang || null }));
  });
  const turn = (label, to) => el("button", { type: "button", class: "quiet", disabled: to < 0 || to >= view.rows.length, onclick: () => drawPage(to) }, label);
  const pager = view.rows.length <= PAGE ? null : el("div", { class: "pager" },
    turn("Previous 100", start - PAGE), el("span", {}, `${count(start + 1)}–${count(start + rows.length)}`), turn("Next 100", start + PAGE));
  fill(document.getElementById("list"), ...items, pager);
  document.getElementById("list").scrollTop = 0;
  markItem();
}

function markItem() {
  for (const item of document.querySelectorAll("#list .item")) {
    const open = Number(item.dataset.at) === view.at;
    if (open) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
    if (open) item.scrollIntoView({ block: "nearest" });
  }
}

// Open the sample at place `at` of the chosen rows; `asked`: by a click or key, so on a phone it takes the place of the list.
async function openSample(at, asked) {
  if (at < 0 || at >= view.rows.length) return;
  const mine = view;
  const row = view.rows[at];
  view.at = at;
  set({ sample: asked || state.sample !== "" ? String(row) : "" });
  const other = besideRow(row);
  const [sample, beside] = await Promise.all([readSample(view.run, row), other === null ? null : readSample(view.beside, other)]);
  if (view !== mine || view.at !== at) return;
  const start = Math.floor(at / PAGE) * PAGE;
  if (start !== view.start) await drawPage(start);
  if (view !== mine || view.at !== at) return;
  markItem();
  drawSample(row, sample, other, beside);
  if (asked) fill(document.getElementById("place"), `${count(at + 1)} of ${count(view.rows.length)}, score ${tenths(scoreNow(row))}`);
  document.getElementById("panes").dataset.open = asked ? "detail" : document.getElementById("panes").dataset.open ?? "list";
}

function drawSample(row, sample, other, beside) {
  const step = (label, by, title) => el("button", { type: "button", class: "quiet", title, disabled: view.at + by < 0 || view.at + by >= view.rows.length, onclick: () => openSample(view.at + by, true) }, label);
  const bar = el("div", { class: "detail-bar" },
    el("button", { type: "button", class: "quiet phone", onclick: () => { document.getElementById("panes").dataset.open = "list"; } }, "List"),
    step("‹ Previous", -1, "Left arrow"), el("span", {}, `${count(view.at + 1)} of ${count(view.rows.length)}`), step("Next ›", 1, "Right arrow"),
    el("label", { class: "joiners" }, el("input", { type: "checkbox", checked: view.joiners, onchange: (event) => { view.joiners = event.target.checked; drawSample(row, sample, other, beside); } }), " show joiners"));
  if (sample === null) {
    fill(document.getElementById("detail"), bar, el("p", { class: "caption" }, `Score ${tenths(scoreNow(row))}. The texts of this sample are not in this page: make one with more room, xlingual view --texts MB.`));
    return;
  }
  const lang = view.run.entry.lang;
  const answers = view.beside === null
    ? [answerBlocks(view.run, row, sample)]
    : [answerBlocks(view.run, row, sample), beside === null ? el("section", {}, el("p", { class: "caption" }, "No text of this sample beside it.")) : answerBlocks(view.beside, other, beside)];
  const golds = sample.targets === undefined ? (index.golds ? [] : [el("p", { class: "caption" }, "Gold answers were left out of this page.")])
    : (sample.targets ?? []).map((target) => block(target, lang, view.joiners, "gold"));
  const prompts = [part("Prompt as it was sent", ...promptBlocks(view.run, sample))];
  if (beside !== null && JSON.stringify(beside.messages) !== JSON.stringify(sample.messages)) prompts.push(part("Prompt beside it", ...promptBlocks(view.beside, beside)));
  prompts.push(...renderedBlocks(view.run, sample, "What the model read, special tokens shown"));
  if (beside !== null) prompts.push(...renderedBlocks(view.beside, beside, "What the model beside it read"));
  fill(document.getElementById("detail"), bar, el("h3", {}, name(sample.id ?? `sample ${row + 1}`)),
    golds.length === 0 ? null : part(golds.length > 1 ? "Gold answers" : "Gold answer", ...golds),
    el("div", { class: view.beside === null ? "answers" : "answers two" }, ...answers), ...prompts);
  highlight(document.querySelectorAll("#detail pre.answer, #detail pre.prompt"), sample.targets ?? []);
  document.getElementById("detail").scrollTop = 0;
}

const part = (title, ...blocks) => el("section", { class: "part" }, el("h4", {}, title), ...blocks);

function promptBlocks(run, sample) {
  return sample.messages.flatMap(([role, text]) => [sample.messages.length > 1 || role !== "user" ? el("div", { class: "role" }, plain(role)) : null, block(text, run.entry.prompt_lang, view.joiners, "prompt")]).filter(Boolean);
}

// What stands around the messages is marked; a text that does not hold the messages as they were sent is shown whole.
function renderedBlocks(run, sample, title) {
  if (!Array.isArray(sample.rendered)) return [];
  const shown = (tag, words) => putText(el(tag), words, view.joiners);
  const parts = sample.rendered.length === sample.messages.length + 1
    ? sample.rendered.flatMap((around, at) => [around && shown("mark", around), at < sample.messages.length && shown("span", sample.messages[at][1])])
    : [shown("span", sample.rendered.join(""))];
  const text = el("pre", { class: "text rendered", dir: "auto", lang: run.entry.prompt_lang, tabindex: "-1" }, ...parts.filter(Boolean));
  return [el("details", { class: "part" }, el("summary", {}, title), text)];
}

const likeliest = (sample) => sample.likelihoods.indexOf(Math.max(...sample.likelihoods));

// The choices of a task that has them, each with its log-likelihood; a frame around the likeliest.
function choiceBlocks(run, sample) {
  return (sample.choices ?? []).map((choice, at) => el("div", { class: "choice" },
    block(choice, run.entry.lang, view.joiners, sample.likelihoods && at === likeliest(sample) ? "answer" : ""),
    sample.likelihoods ? el("span", { class: "fact" }, number(sample.likelihoods[at], 3)) : null));
}

function answerBlocks(run, row, sample) {
  const lang = run.entry.lang;
  const facts = [
    sample.finish ? `finish ${sample.finish}` : null, run.facts.repeats > 1 ? `answer ${row % run.facts.repeats + 1} of ${run.facts.repeats}` : null,
    sample.seed ? `seed ${sample.seed}` : null, sample.thinking_tokens ? `${count(sample.thinking_tokens)} tokens of thinking` : null,
    sample.shots_dropped ? `${plural(sample.shots_dropped, "demonstration")} dropped` : null, sample.passage_cut ? `${plural(sample.passage_cut, "character")} of the passage cut` : null,
  ].filter(Boolean);
  const scores = Object.keys(run.facts.scores).filter((metric) => run.score(row, metric) !== null);
  const main = el("div", { class: "scores" }, ...scores.map((metric) => el("span", { class: metric === view.metric ? "pair main" : "pair" }, plain(metric), " ", scoreTag(run.score(row, metric)))));
  const raw = sample.failure !== undefined && sample.failure !== null ? block(sample.failure, "", view.joiners, "failure")
    : sample.likelihoods ? el("div", {}, ...choiceBlocks(run, sample))
    : sample.answer === null || sample.answer === undefined ? el("p", { class: "caption" }, "Not asked.") : null;
  const scored = sample.scored === false ? el("p", { class: "caption" }, "Nothing in the answer could be extracted: scored as wrong.") : typeof sample.scored === "string" ? block(sample.scored, lang, view.joiners, "answer") : null;
  const whole = typeof sample.answer === "string" ? (sample.answer === "" ? el("p", { class: "caption" }, "(empty)") : block(sample.answer, lang, view.joiners, "answer")) : null;
  const thinking = typeof sample.thinking === "string" ? el("details", { class: "part", open: true }, el("summary", {}, run.flag(row, "unfinished") ? "Thinking, unfinished: not scored" : "Thinking"), block(sample.thinking, lang, view.joiners, "thinking")) : null;
  const title = view.beside === null ? null : el("h3", {}, name(labelOf(run.number)));
  if (scored === null) return el("section", { class: "part" }, title, main, el("h4", {}, sample.likelihoods ? "Choices with their log-likelihoods" : raw === null ? "Answer" : "No answer"), raw, whole, el("p", { class: "caption" }, facts.join(" · ")), thinking);
  return el("section", { class: "part" }, title, main, el("h4", {}, "What was scored"), scored, thinking,
    el("details", { class: "part" }, el("summary", {}, "Answer as it came"), whole ?? ""), el("p", { class: "caption" }, facts.join(" · ")));
}
