// Parallel coordinates: an axis per choice and metric, a line per trial. Drawn as ordinary lines,
// so that they can be hovered over, clicked, printed and shown without a graphics processor.
"use strict";

const ABSENT = -0.14;  // where a choice lies that a trial has not to make

function parallelAxis(column, index) {
  const cells = TRIALS.rows.map((row) => row[index]);
  const present = cells.filter((cell) => cell && known(cell[0]));
  const numeric = column.kind === "metric" || column.numeric;
  const distinct = new Set(present.map((cell) => cell[1]));
  if (!numeric || (column.kind === "decision" && distinct.size <= 8)) {
    const texts = [...new Map(present.map((cell) => [cell[1], cell[0]])).entries()];
    texts.sort((a, b) => (typeof a[1] === "number" && typeof b[1] === "number" ? a[1] - b[1] : a[0] < b[0] ? -1 : 1));
    const place = new Map(texts.map(([text], i) => [text, texts.length > 1 ? i / (texts.length - 1) : 0.5]));
    return {
      column, index, spread: true, at: (cell) => (cell && known(cell[0]) ? place.get(cell[1]) : null),
      ticks: [...place].filter((_, i) => texts.length <= 14 || i === 0 || i === texts.length - 1),
    };
  }
  const values = present.map((cell) => cell[0]).filter((v) => typeof v === "number");
  const log = spreads(values), scale = (v) => (log ? Math.log10(v) : v);
  const least = Math.min(...values.map(scale)), most = Math.max(...values.map(scale));
  const ends = [present.find((c) => scale(c[0]) === least), present.find((c) => scale(c[0]) === most)];
  const text = (cell) => cell[1].split(" (")[0];
  return {
    column, index, spread: false,
    at: (cell) => (cell && known(cell[0]) ? (most > least ? (scale(cell[0]) - least) / (most - least) : 0.5) : null),
    ticks: !values.length ? [] : most > least ? [[text(ends[0]), 0], [text(ends[1]), 1]] : [[text(ends[0]), 0.5]],
  };
}

const PARALLEL = COLUMNS.map((column, i) => [column, i])
  .filter(([column]) => column.kind === "decision" || column.kind === "metric")
  .map(([column, i]) => parallelAxis(column, i))
  .filter((one) => one.ticks.length);

const SHORT = shortNames(PARALLEL.map((one) => one.column.label));

function rowNumber(row) { return row[columnOf("number")][0]; }

function rowKind(row) {
  const text = (kind) => { const cell = row[columnOf(kind)]; return cell && cell[0]; };
  return kindOf(text("state"), text("verdict"));
}

function isChosen(row) {
  const at = COLUMNS.findIndex((column) => column.name === "chosen");
  return Boolean(at >= 0 && row[at] && row[at][0]);
}

function rowText(row) {
  const cells = PARALLEL.map((one) => row[one.index] && one.column.label + " " + row[one.index][1]);
  return ["Trial " + rowNumber(row) + ": " + KINDS[rowKind(row)].label, ...cells.filter(Boolean)];
}

/** One trace for many trials: their lines, with a gap between one and the next. */
function linesTrace(rows, name, tint, style) {
  const x = [], y = [], hovertext = [], customdata = [];
  for (const row of rows) {
    const text = hoverText(rowText(row)), number = rowNumber(row);
    const nudge = ((number * 0.618) % 1 - 0.5) * 0.045;
    PARALLEL.forEach((one, i) => {
      const at = one.at(row[one.index]);
      const absent = one.column.kind === "decision" ? ABSENT + nudge : null;
      x.push(i); y.push(known(at) ? at + (one.spread ? nudge : 0) : absent);
      hovertext.push(text); customdata.push(number);
    });
    x.push(null); y.push(null); hovertext.push(""); customdata.push(null);
  }
  return {
    type: "scatter", mode: "lines+markers", name, x, y, hovertext, customdata, hoverinfo: "text",
    connectgaps: false, opacity: style.opacity, line: { color: tint, width: style.width },
    marker: { color: tint, size: style.marker, symbol: style.symbol },
  };
}

/** Whether a trial is among those that the reader wants to see. */
function picked() {
  const select = document.getElementById("parallel-only");
  if (!select || select.value === "") return () => true;
  const [index, text] = JSON.parse(select.value);
  return (row) => (row[index] ? row[index][1] : null) === text;
}

BUILDERS.parallel = (place) => {
  place.style.minWidth = ROOT.classList.contains("printing") ? "" : PARALLEL.length * 78 + "px";
  const wanted = picked(), traces = [], points = [];
  const lit = TRIALS.rows.filter((row) => wanted(row) && PARALLEL.some((one) => one.at(row[one.index]) !== null));
  const dim = TRIALS.rows.filter((row) => !wanted(row));
  if (dim.length) {
    traces.push({ ...linesTrace(dim, "others", colour("line"), { opacity: 0.5, width: 1, marker: 2 }), hoverinfo: "skip" });
  }
  const faint = lit.length > 60 ? 0.35 : 0.75;
  for (const kind of Object.keys(KINDS).reverse()) {
    const rows = lit.filter((row) => rowKind(row) === kind && !isChosen(row));
    if (rows.length) {
      traces.push(linesTrace(rows, KINDS[kind].label, colour("k-" + kind), { opacity: faint, width: 1.2, marker: 5, symbol: KINDS[kind].symbol }));
    }
  }
  const chosen = lit.filter(isChosen);
  if (chosen.length) {
    traces.push(linesTrace(chosen, "chosen", colour("text"), { opacity: 1, width: 3.5, marker: 8, symbol: "circle" }));
  }
  const step = PARALLEL.length + 1;
  traces.forEach((trace, curve) => {
    if (trace.hoverinfo === "skip") return;
    for (let at = 0; at < trace.x.length; at += step) {
      const row = lit.find((one) => rowNumber(one) === trace.customdata[at]);
      const seen = trace.y.slice(at, at + step - 1).findIndex(known);
      points.push({ curve, point: at + Math.max(0, seen), number: trace.customdata[at], says: rowText(row).join(", ") });
    }
  });
  points.sort((a, b) => a.number - b.number);
  return { traces, points, reversed: true, layout: parallelLayout(ROOT.classList.contains("printing") ? PAPER_WIDTH : place.clientWidth) };
};

function parallelLayout(width) {
  const tight = width / PARALLEL.length < 130;
  const absent = TRIALS.rows.some((row) => PARALLEL.some((one) => one.column.kind === "decision" && one.at(row[one.index]) === null));
  const ticks = PARALLEL.flatMap((one, i) => one.ticks.map(([text, at]) => ({
    x: i, y: at, text: plotText(shortened(text, tight ? 11 : 16)), showarrow: false, xanchor: "left", xshift: 6,
    font: { size: tight ? 9.5 : 11, color: colour("text") }, bgcolor: colour("bg"), opacity: 0.9, borderpad: 1,
  })));
  const titles = PARALLEL.map((one, i) => ({
    x: i, y: 1.09 + (tight ? (i % 2) * 0.1 : 0), text: plotText(shortened(SHORT.get(one.column.label), tight ? 15 : 20)), showarrow: false,
    font: { size: tight ? 11 : 12, weight: 600, color: colour("text") },
  }));
  if (absent) {
    titles.push({ x: 0, y: ABSENT, text: "not used", showarrow: false, xanchor: "right", xshift: -8, font: { size: 11, color: colour("muted") } });
  }
  const lines = PARALLEL.map((_, i) => ({
    type: "line", x0: i, x1: i, y0: absent ? ABSENT - 0.04 : -0.03, y1: 1.03, layer: "below",
    line: { color: colour("muted"), width: 1 },
  }));
  const blank = { visible: false, fixedrange: true };
  return {
    xaxis: { ...blank, range: [-0.4, PARALLEL.length - 0.45] },
    yaxis: { ...blank, range: [absent ? ABSENT - 0.06 : -0.06, tight ? 1.26 : 1.16] },
    shapes: lines, annotations: [...ticks, ...titles], margin: { l: absent ? 62 : 24, r: 24, t: 34, b: 8 },
    dragmode: false,
  };
}

/** Fills the choice of what to bring out: a value of a decision. */
function startParallel() {
  const select = document.getElementById("parallel-only");
  if (!select) return;
  for (const one of PARALLEL.filter((p) => p.column.kind === "decision" && p.spread)) {
    const group = make("optgroup", { label: shortened(one.column.label, 40) });
    const texts = TRIALS.rows.some((row) => one.at(row[one.index]) === null) ? [...one.ticks.map(([t]) => t), null] : one.ticks.map(([t]) => t);
    for (const text of texts) {
      const label = one.column.label + ": " + (text === null ? "not used" : text);
      group.append(make("option", { value: JSON.stringify([one.index, text]) }, shortened(label, 60)));
    }
    select.append(group);
  }
}
