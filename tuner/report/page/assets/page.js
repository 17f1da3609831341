// What the page does: opening a trial, showing where a number comes from, deep links (#trial-12).
"use strict";

const DIALOG = document.getElementById("trial-dialog");
const SOURCE = document.getElementById("source");

function openTrial(number) {
  const wanted = "#trial-" + number;
  if (location.hash === wanted) showTrial(number); else location.hash = wanted;
}

function followHash() {
  const match = /^#trial-(-?\d+)$/.exec(location.hash);
  if (match) showTrial(Number(match[1])); else if (DIALOG.open) DIALOG.close();
}

function showTrial(number) {
  const index = TRIALS.rows.findIndex((row) => rowNumber(row) === number);
  const body = document.getElementById("trial-body");
  document.getElementById("trial-title").textContent = number < 0 ? "Baseline" : "Trial " + number;
  if (index < 0) {
    body.replaceChildren(make("p", {}, "Trial " + number + " is not in this page's table of trials."));
  } else {
    body.replaceChildren(...trialParts(TRIALS.rows[index], number));
  }
  DIALOG.dataset.number = number;
  if (!DIALOG.open) DIALOG.showModal();
  markSources();
}

/** The trial's detail: how it ended, what it chose, what was measured, and how to see more. */
function trialParts(row, number) {
  const of = (...kinds) => COLUMNS.map((column, i) => [column, row[i]])
    .filter(([column, cell]) => kinds.includes(column.kind) && cell && known(cell[0]) && cell[1] !== "");
  const flags = of("flag").filter(([, cell]) => cell[0] === true).map(([column]) => column.label);
  const parts = [make("p", {}, KINDS[rowKind(row)].label + flags.map((f) => ", " + f).join(""))];
  const add = (title, lines) => { if (lines.length) parts.push(make("h3", {}, title), linesTable(lines, number)); };
  add("Choices", of("decision"));
  add("Metrics", of("metric"));
  add("By how much limits are missed", of("violation"));
  add("The rest", of("seconds", "text"));
  const name = DATA.study.replace(/'/g, "''");
  const query = "SELECT step, outcome, cached, seconds, bytes\nFROM tuner_stages\n" +
    "WHERE study = '" + name + "' AND number = " + number + "\nORDER BY position";
  parts.push(make("h3", {}, "Stages"), make("p", {}, make("code", {}, "tune show STUDY " + number), " lists them, with their logs."),
    make("details", {}, make("summary", {}, "The database's rows"), make("pre", {}, query)));
  return parts;
}

function linesTable(lines, number) {
  const rows = lines.map(([column, cell]) => make("tr", {},
    make("th", { scope: "row" }, column.label),
    make("td", {}, make("span", {
      class: "figure", "data-source": column.source && atNumber(column.source, number),
    }, cell[1]))));
  return make("div", { class: "box" }, make("table", {}, make("tbody", {}, ...rows)));
}

function step(by) {
  const order = LIST.shown.map((i) => rowNumber(TRIALS.rows[i]));
  const at = order.indexOf(Number(DIALOG.dataset.number));
  const next = order[(at + by + order.length) % order.length];
  if (known(next)) openTrial(next);
}

// Where a number comes from: with the switch on, every number with a source can be clicked.

function switchSources() {
  const on = ROOT.classList.toggle("sources");
  document.getElementById("sources").setAttribute("aria-pressed", String(on));
  if (!on) SOURCE.hidden = true;
  markSources();
  if (on) say("Choose a number to see the query that gives it.");
}

function markSources() {
  const on = ROOT.classList.contains("sources");
  for (const found of document.querySelectorAll(".figure[data-source]")) {
    if (on) { found.tabIndex = 0; found.setAttribute("role", "button"); } else {
      found.removeAttribute("tabindex"); found.removeAttribute("role");
    }
  }
}

/** A column's query for one trial: names may hold ":number" too, so only the last one counts. */
function atNumber(query, number) {
  const at = query.lastIndexOf(":number");
  return at < 0 ? query : query.slice(0, at) + number + query.slice(at + ":number".length);
}

/** The query behind an element, its row's number put in; null where it has none. */
function sourceOf(target) {
  const own = target.closest("[data-source]");
  if (own) return { query: own.dataset.source, computed: own.dataset.computed };
  const cell = target.closest("td, th"), table = cell && cell.closest("table");
  const head = table && table.tHead && table.tHead.rows[0].cells[cell.cellIndex];
  if (!head || !head.dataset.columnsource) return null;
  const number = cell.parentElement.dataset.number;
  const query = head.dataset.columnsource;
  return { query: number === undefined ? query : atNumber(query, number) };
}

function showSource(event) {
  if (!ROOT.classList.contains("sources")) return;
  if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
  if (event.target.closest("button, a, summary, input, select")) return;
  const found = sourceOf(event.target);
  if (!found) return;
  event.preventDefault();
  event.stopPropagation();
  const parts = [make("pre", { tabindex: 0 }, found.query)];
  if (found.computed) parts.unshift(make("p", {}, "Worked out by " + found.computed + " from these rows:"));
  document.getElementById("source-body").replaceChildren(...parts);
  (DIALOG.open ? DIALOG : document.body).append(SOURCE);
  SOURCE.hidden = false;
  say("The query: " + found.query);
}

function start() {
  startTable();
  startParallel();
  startPlots();
  for (const id of ["front-x", "front-y", "parallel-only"]) {
    const select = document.getElementById(id);
    if (select) select.addEventListener("input", redraw);
  }
  document.getElementById("sources").addEventListener("click", switchSources);
  document.addEventListener("click", showSource, true);
  document.addEventListener("keydown", showSource, true);
  document.getElementById("source-close").addEventListener("click", () => { SOURCE.hidden = true; });
  document.getElementById("trial-close").addEventListener("click", () => DIALOG.close());
  document.getElementById("trial-previous").addEventListener("click", () => step(-1));
  document.getElementById("trial-next").addEventListener("click", () => step(1));
  DIALOG.addEventListener("click", (event) => { if (event.target === DIALOG) DIALOG.close(); });
  DIALOG.addEventListener("close", () => {
    document.body.append(SOURCE);
    if (location.hash.startsWith("#trial-")) history.replaceState(null, "", location.pathname + location.search);
  });
  addEventListener("hashchange", followHash);
  followHash();
}

start();
