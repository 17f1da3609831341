// The front plot: the trials in the space of the objectives, with limits and the baseline.
"use strict";

const FRONT = DATA.front;
const TRIALS = DATA.trials;
const MANY = 60;  // points, beyond which only the front has its intervals drawn: render_results.py says so

/** The trials' table by column: `cell(row, index)` is [value, text, low, high] or null. */
const COLUMNS = TRIALS.columns;
function columnOf(kind) { return COLUMNS.findIndex((column) => column.kind === kind); }

function pointText(point) {
  const kind = KINDS[kindOf(point.state, point.verdict)].label;
  const role = point.chosen ? ", chosen" : point.on_front ? ", on the front" : "";
  const name = point.number < 0 ? "Baseline" : "Trial " + point.number + ": " + kind + role;
  const values = FRONT.axes.map((a, i) => point.values[i] && a.name + " " + point.values[i][1]);
  return [name, ...values.filter(Boolean), ...point.decisions];
}

function hoverText(lines) {
  return lines.slice(0, 14).map((line) => plotText(shortened(line, 70))).join("<br>");
}

/** The two axes that are drawn: positions in the document's axes; null is the trial's number. */
function chosenAxes() {
  const picked = ["front-x", "front-y"].map((id) => document.getElementById(id));
  if (picked[0]) return picked.map((select) => Number(select.value));
  return FRONT.axes.length > 1 ? [0, 1] : [null, 0];
}

function frontAxis(index) {
  if (index === null) {
    return { title: "trial", of: (p) => (p.number < 0 ? null : p.number), ends: () => null, unit: 1 };
  }
  const found = FRONT.axes[index];
  const all = [...FRONT.points, ...(FRONT.baseline ? [FRONT.baseline] : [])];
  const values = all.map((p) => p.values[index] && p.values[index][0]).filter(known);
  const unit = unitFor(found.unit, values);
  const log = spreads(values);
  const better = found.direction === "minimize" ? ", lower is better" : ", higher is better";
  return {
    title: axisTitle(found.name, [unit.name, log ? "log scale" : ""].filter(Boolean).join(", ")) +
      (found.direction ? better : ""),
    of: (p) => (p.values[index] && known(p.values[index][0]) ? p.values[index][0] / unit.size : null),
    ends: (p) => (p.values[index] && p.values[index].length > 2
      ? p.values[index].slice(2).map((v) => (known(v) ? v / unit.size : null)) : null),
    unit: unit.size, log, minimize: found.direction !== "maximize",
  };
}

function errorBars(axisOf, points, shown, tint) {
  const side = (i, sign) => points.map((p) => {
    const ends = shown(p) ? axisOf.ends(p) : null;
    return ends && known(ends[i]) ? Math.max(0, sign * (ends[i] - axisOf.of(p))) : 0;
  });
  return {
    type: "data", symmetric: false, array: side(1, 1), arrayminus: side(0, -1),
    thickness: 1, width: 0, color: tint,
  };
}

function pointTrace(name, kind, points, x, y, shown) {
  const tint = colour("k-" + kind);
  return {
    type: "scatter", mode: "markers", name, x: points.map(x.of), y: points.map(y.of),
    error_x: errorBars(x, points, shown, tint), error_y: errorBars(y, points, shown, tint),
    hoverinfo: "text", hovertext: points.map((p) => hoverText(pointText(p))),
    customdata: points.map((p) => (p.number < 0 ? null : p.number)),
    marker: {
      symbol: points.map((p) => (p.number < 0 ? "star" : (KINDS[kind] || KINDS.other).symbol)),
      color: tint, size: points.map((p) => (p.chosen ? 14 : p.on_front || p.number < 0 ? 11 : 8)),
      line: {
        color: points.map((p) => (p.chosen ? colour("text") : tint)),
        width: points.map((p) => (p.chosen ? 2.5 : 1)),
      },
    },
  };
}

/** The border of what the front attains: steps from point to point, the best x first. */
function frontLine(points, x, y) {
  const front = points.filter((p) => p.on_front && known(x.of(p)) && known(y.of(p)));
  front.sort((a, b) => (x.minimize ? 1 : -1) * (x.of(a) - x.of(b)));
  return {
    type: "scatter", mode: "lines", name: "front", x: front.map(x.of), y: front.map(y.of),
    line: { shape: "hv", color: colour("front"), width: 1.5 }, hoverinfo: "skip",
    showlegend: front.length > 1,
  };
}

/** Lines where constraints lie on an axis, each with its text. */
function limitLines(indexes, axes) {
  const shapes = [], annotations = [];
  for (const limit of FRONT.limits) {
    const side = indexes.indexOf(limit.axis);
    if (side < 0 || !known(limit.limit.value)) continue;
    const at = limit.limit.value / axes[side].unit, log = axes[side].log;
    if (log && at <= 0) continue;
    const line = { color: colour("bad"), width: 1.5, dash: "dash" };
    const text = plotText(shortened(limit.text, 32));
    const style = { text, showarrow: false, font: { size: 11, color: colour("bad") }, bgcolor: colour("bg") };
    if (side === 0) {
      shapes.push({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line });
      annotations.push({ ...style, x: log ? Math.log10(at) : at, yref: "paper", y: 0.02,
        yanchor: "bottom", textangle: -90, xanchor: limit.upper ? "left" : "right" });
    } else {
      shapes.push({ type: "line", y0: at, y1: at, xref: "paper", x0: 0, x1: 1, line });
      annotations.push({ ...style, y: log ? Math.log10(at) : at, xref: "paper", x: 0.99,
        xanchor: "right", yanchor: limit.upper ? "bottom" : "top" });
    }
  }
  return { shapes, annotations };
}

/** The range of an axis: all points, and the limits that are not far from them. */
function rangeOf(axisOf, index, points) {
  const values = points.flatMap((p) => [axisOf.of(p), ...(p.on_front && axisOf.ends(p) || [])]);
  let shown = values.filter((v) => known(v) && (!axisOf.log || v > 0));
  if (!shown.length) return undefined;
  const scale = (v) => (axisOf.log ? Math.log10(v) : v);
  let least = Math.min(...shown.map(scale)), most = Math.max(...shown.map(scale));
  const span = most - least || Math.abs(most) * 0.2 || 1;
  for (const limit of FRONT.limits) {
    const at = limit.axis === index ? scale(limit.limit.value / axisOf.unit) : NaN;
    if (at < least && at > least - span) least = at;
    if (at > most && at < most + span) most = at;
  }
  const room = (most - least || span) * 0.06;
  return [least - room, most + room];
}

BUILDERS.front = () => {
  const indexes = chosenAxes(), axes = indexes.map(frontAxis), [x, y] = axes;
  const drawn = FRONT.points.filter((p) => known(x.of(p)) && known(y.of(p)));
  const shown = (p) => p.on_front || p.chosen || p.number < 0 || FRONT.points.length < MANY;
  const traces = [frontLine(drawn, x, y)], points = [];
  const add = (label, kind, some) => {
    some.sort((a, b) => x.of(a) - x.of(b));
    some.forEach((p, i) => points.push({
      curve: traces.length, point: i, number: p.number < 0 ? null : p.number, at: x.of(p),
      says: pointText(p).join(", "),
    }));
    traces.push(pointTrace(label, kind, some, x, y, shown));
  };
  for (const kind of Object.keys(KINDS).reverse()) {
    const some = drawn.filter((p) => kindOf(p.state, p.verdict) === kind);
    if (some.length) add(KINDS[kind].label, kind, some);
  }
  const base = FRONT.baseline;
  if (base && known(x.of(base)) && known(y.of(base))) add("baseline", "baseline", [base]);
  points.sort((a, b) => a.at - b.at);
  const all = base && known(y.of(base)) ? [...drawn, base] : drawn;
  const axisFor = (one, i) => axis(one.title, {
    ...scaleOf(one.log, rangeOf(one, indexes[i], all)), nticks: 7,
  });
  return {
    traces, points, reversed: true,
    layout: { xaxis: axisFor(x, 0), yaxis: axisFor(y, 1), margin: { l: 64, r: 16, t: 34, b: 52 }, ...limitLines(indexes, axes) },
  };
};
