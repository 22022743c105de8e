// Data: the index is there at once; chunks (base64 of gzip of JSON) are read when they are needed.

const index = JSON.parse(document.getElementById("index").textContent);
const parsed = new Promise((done) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", done, { once: true });
  else done();
});
const KEPT = 400;
const chunks = new Map();

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

async function readChunk(id) {
  const node = document.getElementById(id) ?? (await parsed, document.getElementById(id));
  if (node === null) return null;
  const stream = new Blob([bytesOf(node.textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

// The data of a chunk, or null where it is not in this page.
function load(id) {
  const known = chunks.get(id) ?? readChunk(id);
  chunks.delete(id);
  chunks.set(id, known);
  if (chunks.size > KEPT) chunks.delete(chunks.keys().next().value);
  return known;
}

// A row of a chunk of columns; columns that say nothing are not there.
function rowOf(columns, row) {
  return Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[row]]));
}

const FLAGS = { failed: 1, missing: 2, unfinished: 4, cut: 8, unextracted: 16, "prompt-cut": 32 };

// A run with the scores of all its samples. `order` lists its rows: failures, disagreements, the rest.
async function openRun(number) {
  const entry = index.runs[number];
  const [facts, task] = await Promise.all([load(`r${number}`), load(`t${entry.task_number}`)]);
  if (facts.open) return facts.open;
  const rows = entry.samples;
  const example = facts.examples ? (row) => facts.examples[row] : (row) => Math.floor(row / (facts.repeats ?? 1));
  const position = (row) => task.positions[example(row)];
  const order = Array.from({ length: rows }, (_, row) => row);
  order.sort((a, b) => facts.priorities[a] - facts.priorities[b] || position(a) - position(b) || a - b);
  const rank = new Uint32Array(rows);
  order.forEach((row, place) => { rank[row] = place; });
  const flag = (row, word) => facts.flags !== null && facts.flags !== undefined && (facts.flags[row] & FLAGS[word]) !== 0;
  const score = (row, metric) => (facts.scores && Object.hasOwn(facts.scores, metric) ? facts.scores[metric][row] : null);
  const first = new Map();
  for (let row = rows - 1; row >= 0; row -= 1) first.set(example(row), row);
  facts.open = { number, entry, facts, rows, order, rank, example, flag, score, first, position, priority: (row) => facts.priorities[row] };
  return facts.open;
}

// The texts of a sample: what it shares with other runs and its own; null where they are not in this page.
async function readSample(run, row) {
  const size = index.chunk_rows;
  const place = run.rank[row];
  if (place >= run.entry.texts) return null;
  const position = run.position(row);
  const [own, shared] = await Promise.all([
    load(`o${run.number}-${Math.floor(place / size)}`),
    load(`s${run.entry.task_number}-${Math.floor(position / size)}`),
  ]);
  if (own === null || shared === null) return null;
  const sample = { ...rowOf(shared, position % size), ...rowOf(own, place % size) };
  sample.messages = sample.prompts?.[sample.prompt ?? 0] ?? [];
  return sample;
}
