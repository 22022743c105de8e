// Tables as CSV and JSON, made here and saved through a blob: nothing is sent anywhere.

const FIELDS = ["family", "data", "model", "fingerprint", "control", "notes", "task", "language", "metric", "value", "low", "high", "n", "expected", "state", "reason", "finished_at", "run"];

function recordsOf(table, rows, columns, metrics) {
  return rows.flatMap((row) => columns.filter((at) => row.runs[at] !== null).flatMap((at) => {
    const run = index.runs[row.runs[at]];
    const column = table.columns[at];
    return metrics.filter((metric) => Object.hasOwn(run.scores, metric.name)).map((metric) => {
      const [value, low, high, n, state, reason] = run.scores[metric.name];
      return {
        family: table.family, data: table.sample ? "sample" : "real", model: row.model, fingerprint: row.fingerprint, control: row.control, notes: row.notes.join("; "),
        task: column.task, language: column.language, metric: metric.name, value, low, high, n, expected: run.expected, state, reason, finished_at: run.finished_at, run: run.where,
      };
    });
  }));
}

const shownRecords = () => recordsOf(tableNow(), shownRows(), shownColumns(), [metricNow()]);
const allRecords = () => index.tables.flatMap((table) => recordsOf(table, table.rows, table.columns.map((_, at) => at), table.metrics));

// RFC 4180; empty is "not computed"; an apostrophe before what a spreadsheet would take for a formula.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const toCsv = (records) => [FIELDS.join(","), ...records.map((record) => FIELDS.map((field) => csvCell(record[field])).join(","))].join("\r\n") + "\r\n";
const toJson = (value) => `${JSON.stringify(value, null, 1)}\n`;
const fileName = (text) => text.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replaceAll(/^[.-]+|[.-]+$/g, "").slice(0, 80) || "table";

function save(file, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = el("a", { href: address, download: file });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function drawDownloads() {
  const here = () => fileName(`${tableNow().family} ${metricNow().name}`);
  const item = (label, act) => el("button", { type: "button", class: "quiet", onclick: act }, label);
  fill(document.getElementById("downloads"),
    item("This table, CSV", () => save(`${here()}.csv`, "text/csv", toCsv(shownRecords()))),
    item("This table, JSON", () => save(`${here()}.json`, "application/json", toJson({ schema: 1, records: shownRecords() }))),
    item("All tables and metrics, CSV", () => save("xlingual-view.csv", "text/csv", toCsv(allRecords()))),
    item("All tables and metrics, JSON", () => save("xlingual-view.json", "application/json", toJson({ schema: 1, records: allRecords() }))));
}
