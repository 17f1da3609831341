// The trials' table: sorting by any column, filtering by text, state and verdict, and showing the
// first rows only until all are asked for, so that thousands of them stay quick.
"use strict";

const FIRST = 200;  // rows that are shown at first

const TABLE = document.getElementById("trials-table");
const LIST = { rows: [], shown: [], all: false, column: null, descending: false };

function startTable() {
  if (!TABLE) return;
  LIST.rows = [...TABLE.tBodies[0].rows];
  LIST.text = TRIALS.rows.map((row) => row.map((cell) => (cell ? cell[1] : "")).join(" \u0000 ").toLowerCase());
  [...TABLE.tHead.rows[0].cells].forEach((head, index) => {
    const button = make("button", { type: "button" }, ...head.childNodes[0].childNodes);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sortBy(index));
  });
  for (const id of ["trials-text", "trials-state", "trials-verdict"]) {
    document.getElementById(id).addEventListener("input", arrange);
  }
  document.getElementById("trials-all").addEventListener("click", () => { LIST.all = true; arrange(); });
  TABLE.tBodies[0].addEventListener("click", (event) => {
    if (ROOT.classList.contains("sources") || event.target.closest("a") || String(getSelection())) return;
    const row = event.target.closest("tr");
    if (row) openTrial(rowNumber(TRIALS.rows[Number(row.dataset.row)]));
  });
  arrange();
}

function sortBy(index) {
  LIST.descending = LIST.column === index && !LIST.descending;
  LIST.column = index;
  arrange();
  say("sorted by " + COLUMNS[index].label + (LIST.descending ? ", descending" : ", ascending"));
}

/** Numbers by size, texts by the alphabet; what is not known comes last either way. */
function compared(a, b) {
  const x = a && known(a[0]) ? a[0] : null, y = b && known(b[0]) ? b[0] : null;
  if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
  const both = typeof x === typeof y && typeof x !== "string";
  const found = both ? Number(x) - Number(y) : String(x).localeCompare(String(y), undefined, { numeric: true });
  return LIST.descending ? -found : found;
}

function value(id) { return document.getElementById(id).value; }

/** Puts the rows that match into order, the others behind them and out of sight. */
function arrange() {
  const words = value("trials-text").toLowerCase().split(/\s+/).filter(Boolean);
  const state = value("trials-state"), verdict = value("trials-verdict");
  const has = (row, kind, wanted) => !wanted || String(row[columnOf(kind)] ? row[columnOf(kind)][0] : "") === wanted;
  const order = TRIALS.rows.map((_, i) => i);
  if (LIST.column !== null) {
    order.sort((a, b) => compared(TRIALS.rows[a][LIST.column], TRIALS.rows[b][LIST.column]) || a - b);
  }
  const fits = (i) => has(TRIALS.rows[i], "state", state) && has(TRIALS.rows[i], "verdict", verdict) &&
    words.every((word) => LIST.text[i].includes(word));
  LIST.shown = order.filter(fits);
  const seen = LIST.all ? LIST.shown : LIST.shown.slice(0, FIRST);
  TABLE.tBodies[0].replaceChildren(...seen.map((i) => LIST.rows[i]));
  [...TABLE.tHead.rows[0].cells].forEach((head, index) => {
    head.setAttribute("aria-sort", index !== LIST.column ? "none" : LIST.descending ? "descending" : "ascending");
  });
  document.getElementById("trials-count").textContent =
    LIST.shown.length + " of " + TRIALS.rows.length + (seen.length < LIST.shown.length ? ", the first " + seen.length + " shown" : "");
  document.getElementById("trials-all").hidden = seen.length === LIST.shown.length;
}
