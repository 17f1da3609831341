// What the other scripts share: the page's data, elements made of plain text, colours, units.
// Text of the study goes into the page by textContent only, and into plots escaped (plotText).
"use strict";

const DATA = JSON.parse(document.getElementById("page-data").textContent);
const ROOT = document.documentElement;
ROOT.classList.add("scripted");

/** An element with attributes and children; strings are text, whatever they contain. */
function make(name, attributes, ...children) {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) {
      found.setAttribute(key, value === true ? "" : String(value));
    }
  }
  found.append(...children.filter((child) => child !== null && child !== undefined));
  return found;
}

/** Text for a plot, whose labels know a few elements and entities: none of them is meant. */
function plotText(text) {
  return String(text)
    .replace(/[\u0000-\u001f]+/g, " ")
    .replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** At most `most` characters, on one line. */
function shortened(text, most) {
  const plain = [...String(text).replace(/\s+/g, " ")];
  return plain.length > most ? plain.slice(0, most - 1).join("") + "\u2026" : plain.join("");
}

function colour(name) {
  return getComputedStyle(ROOT).getPropertyValue("--" + name).trim();
}

/** Says something to who listens to the page rather than looks at it. */
function say(text) {
  document.getElementById("said").textContent = text;
}

const KINDS = {
  feasible: { symbol: "circle", label: "feasible" },
  infeasible: { symbol: "x", label: "infeasible" },
  undecided: { symbol: "diamond-open", label: "undecided" },
  screened: { symbol: "triangle-down-open", label: "screened, not trained" },
  stopped: { symbol: "square-open", label: "stopped early" },
  failed: { symbol: "cross", label: "failed" },
  running: { symbol: "hourglass-open", label: "not over" },
  other: { symbol: "circle-open", label: "not judged" },
};

/** Which kind a trial is of: how it ended, or the verdict where it gave numbers. */
function kindOf(state, verdict) {
  if (state === "screened" || state === "stopped") return state;
  if (state === "failed" || state === "infeasible") return "failed";
  if (state === "running" || state === "interrupted") return "running";
  return verdict in KINDS ? verdict : "other";
}

const UNITS = {
  s: [["ns", 1e-9], ["\u00b5s", 1e-6], ["ms", 1e-3], ["s", 1]],
  B: [["B", 1], ["KB", 1e3], ["MB", 1e6], ["GB", 1e9]],
  fraction: [["%", 0.01]],
};

/** The unit in which values of a canonical unit are drawn: its name, and its size. */
function unitFor(unit, values) {
  const units = UNITS[unit] || [[unit || "", 1]];
  const largest = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  let best = units[0];
  for (const one of units) if (largest >= one[1]) best = one;
  return { name: best[0], size: best[1] };
}

/** Decisions without their pass where that leaves no doubt: `r` for `lora.r`. */
function shortNames(names) {
  const last = (name) => name.slice(name.lastIndexOf(".") + 1);
  const counts = new Map();
  for (const name of names) counts.set(last(name), (counts.get(last(name)) || 0) + 1);
  return new Map(names.map((name) => [name, counts.get(last(name)) === 1 ? last(name) : name]));
}

/** `latency (ms)` */
function axisTitle(label, unit) {
  return plotText(shortened(label, 40)) + (unit ? " (" + plotText(unit) + ")" : "");
}

/** Whether values span so much that only a logarithmic axis shows them. */
function spreads(values) {
  const least = Math.min(...values), most = Math.max(...values);
  return values.length > 1 && least > 0 && most / least > 25;
}

/** A linear axis, or a logarithmic one that names 1, 2 and 5 of each power of ten. */
function scaleOf(log, range) {
  if (!log) return { type: "linear", range };
  return { type: "log", range, dtick: range && range[1] - range[0] > 3 ? 1 : "D2" };
}

function known(value) {
  return value !== null && value !== undefined;
}
