// The plots that show no trials as points of the front: progress, effects, blocks, and costs.
"use strict";

/** The best so far of one objective, or the front's size: steps over time. */
BUILDERS.progress = (place) => {
  const index = Number(place.dataset.plot.split(":")[1]);
  const series = [...DATA.progress.best, DATA.progress.front_size][index];
  const unit = unitFor(series.unit, series.points.map((p) => p.value));
  const last = Math.max(...series.points.map((p) => p.at), 0);
  const time = last > 7200 ? ["h", 3600] : last > 120 ? ["min", 60] : ["s", 1];
  const x = series.points.map((p) => p.at / time[1]), y = series.points.map((p) => p.value / unit.size);
  const says = series.points.map((p) => (known(p.number) ? "Trial " + p.number + ": " : "") + p.text);
  const log = spreads(y);
  return {
    traces: [{
      type: "scatter", mode: "lines+markers", x, y, hoverinfo: "text", showlegend: false,
      hovertext: says.map(plotText), customdata: series.points.map((p) => (p.number < 0 ? null : p.number)),
      line: { shape: "hv", color: colour("front"), width: 1.5 }, marker: { size: 5, color: colour("front") },
    }],
    points: series.points.map((p, i) => ({ curve: 0, point: i, number: p.number < 0 ? null : p.number, says: says[i] })),
    layout: {
      xaxis: axis("time since the start (" + time[0] + ")", { rangemode: "tozero" }),
      yaxis: axis(series.unit ? axisTitle(series.name, unit.name) : "", { ...scaleOf(log), ...(series.unit || Math.max(...y) > 8 ? { nticks: 6 } : { dtick: 1 }) }),
      margin: { l: 64, r: 16, t: 10, b: 46 },
    },
  };
};

/** What each choice does to one metric: a dot and its interval per choice, none as a line. */
BUILDERS.effects = (place) => {
  const found = DATA.effects[Number(place.dataset.plot.split(":")[1])];
  const lines = found.effects.filter((e) => e.change && known(e.change.value)).slice(0, 30).reverse();
  const all = lines.flatMap((e) => [e.change.value, e.change.low, e.change.high]).filter(known);
  const unit = found.ratio ? { name: "", size: 1 } : unitFor(found.unit, all);
  if (!found.ratio && found.unit === "fraction") unit.name = "points";
  const value = (v) => (known(v) ? v / unit.size : null);
  const traces = [], points = [];
  for (const [clear, label, symbol, tint] of [
    [true, "clear", "circle", colour("front")],
    [false, "not clear", "circle-open", colour("muted")],
  ]) {
    const some = lines.filter((e) => e.clear === clear);
    if (!some.length) continue;
    some.forEach((e, i) => points.push({ curve: traces.length, point: i, number: null, row: lines.indexOf(e), says: e.label + ": " + e.change.text }));
    traces.push({
      type: "scatter", mode: "markers", name: label, showlegend: true, x: some.map((e) => value(e.change.value)),
      y: some.map((e) => lines.indexOf(e)), hoverinfo: "text",
      hovertext: some.map((e) => hoverText([e.label, e.change.text])),
      marker: { symbol, size: 9, color: tint, line: { width: 1.5, color: tint } },
      error_x: {
        type: "data", symmetric: false, thickness: 1.5, width: 4, color: tint,
        array: some.map((e) => Math.max(0, value(e.change.high) - value(e.change.value)) || 0),
        arrayminus: some.map((e) => Math.max(0, value(e.change.value) - value(e.change.low)) || 0),
      },
    });
  }
  points.sort((a, b) => b.row - a.row);
  place.style.height = Math.max(9, 6.5 + 1.75 * lines.length) + "rem";
  const none = found.ratio ? 1 : 0;
  const narrow = place.clientWidth < 560 && !ROOT.classList.contains("printing");
  const log = found.ratio && Math.max(...all) / Math.min(...all) > 3 && Math.min(...all) > 0;
  return {
    traces, points,
    layout: {
      xaxis: axis(found.ratio ? plotText(shortened(found.metric, 30)) + ", times as large" : axisTitle(found.metric + ", change", unit.name),
        { ...scaleOf(log), nticks: 7 }),
      yaxis: axis("", {
        tickmode: "array", tickvals: lines.map((_, i) => i), showgrid: false, range: [-0.6, lines.length - 0.4],
        ticktext: lines.map((e) => plotText(shortened(e.label, narrow ? 24 : 52))), fixedrange: true,
      }),
      shapes: [{ type: "line", x0: none, x1: none, yref: "paper", y0: 0, y1: 1, line: { color: colour("muted"), width: 1, dash: "dot" } }],
      margin: { l: 20, r: 16, t: 30, b: 46 },
    },
  };
};

/** Every request of every block of one measurement: the model's beside the baseline's. */
BUILDERS.blocks = (place) => {
  const found = DATA.quality.measured[Number(place.dataset.plot.split(":")[1])];
  const all = found.sessions.flatMap((s) => s.blocks.flatMap((b) => [...b.values, ...b.baseline]));
  const unit = unitFor(found.unit, all.length ? [all.slice().sort((a, b) => a - b)[Math.floor(all.length / 2)]] : []);
  const alone = found.role === "baseline";
  const kinds = [["values", alone ? "baseline" : "this model", alone ? "k-baseline" : "k-feasible", "circle", -0.16]];
  if (found.sessions.some((s) => s.blocks.some((b) => b.baseline.length))) {
    kinds.push(["baseline", alone ? "baseline, second process" : "baseline", "k-other", "circle-open", 0.16]);
  }
  const ticks = [], traces = [], shapes = [], names = [];
  for (const [key, name, tint, symbol, shift] of kinds) {
    const x = [], y = [], text = [], mx = [], my = [];
    let at = 0;
    found.sessions.forEach((session, s) => {
      const start = at;
      session.blocks.forEach((block, b) => {
        const values = block[key];
        values.forEach((v, i) => {
          x.push(at + shift + (((i * 0.618) % 1) - 0.5) * 0.2); y.push(v / unit.size);
          text.push("process " + (s + 1) + ", block " + (b + 1));
        });
        const median = key === "values" ? block.median : block.baseline_median;
        if (known(median)) { mx.push(at + shift - 0.14, at + shift + 0.14, null); my.push(median / unit.size, median / unit.size, null); }
        at += 1;
      });
      if (shift < 0) {
        ticks.push((start + at - 1) / 2); names.push("process " + (s + 1));
        if (s) shapes.push({ type: "line", x0: start - 0.75, x1: start - 0.75, yref: "paper", y0: 0, y1: 1, line: { color: colour("line"), width: 1 } });
      }
      at += 0.5;
    });
    traces.push({
      type: "scatter", mode: "markers", name, x, y, hoverinfo: "text+y", hovertext: text,
      marker: { color: colour(tint), symbol, size: 5, opacity: 0.7 },
    }, {
      type: "scatter", mode: "lines", x: mx, y: my, showlegend: false, hoverinfo: "skip",
      line: { color: colour("text"), width: 2 },
    });
  }
  return {
    traces,
    layout: {
      shapes, margin: { l: 64, r: 16, t: 30, b: 34 },
      xaxis: axis("", { tickmode: "array", tickvals: ticks, ticktext: names, showgrid: false }),
      yaxis: axis(axisTitle(found.metric, unit.name), { nticks: 6, tickformat: "~g" }),
    },
  };
};

/** The A/A check: half of the baseline over its other half, per session; all should hold 1. */
BUILDERS.check = () => {
  const all = DATA.quality.check.comparisons.filter((c) => known(c.ratio.value)).slice(0, 120);
  const traces = [[true, "holds 1", "circle", colour("front")], [false, "does not hold 1", "x", colour("bad")]].map(
    ([holds, name, symbol, tint]) => {
      const some = all.map((c, i) => [c, i]).filter(([c]) => c.holds_one === holds);
      const side = (end, sign) => some.map(([c]) => (known(c.ratio[end]) ? Math.max(0, sign * (c.ratio[end] - c.ratio.value)) : 0));
      return {
        type: "scatter", mode: "markers", name, x: some.map(([, i]) => i + 1), y: some.map(([c]) => c.ratio.value),
        hoverinfo: "text", hovertext: some.map(([c]) => plotText((c.number < 0 ? "baseline" : "trial " + c.number) + ", process " + (c.session + 1) + ": " + c.ratio.text)),
        marker: { symbol, color: tint, size: 7 },
        error_y: { type: "data", symmetric: false, array: side("high", 1), arrayminus: side("low", -1), thickness: 1, width: 0, color: tint },
      };
    }).filter((trace) => trace.x.length);
  return {
    traces,
    layout: {
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: colour("muted"), width: 1, dash: "dot" } }],
      xaxis: axis("process", all.length < 12 ? { dtick: 1 } : { nticks: 8 }), yaxis: axis("one half / other half", { nticks: 6 }),
      margin: { l: 64, r: 16, t: 30, b: 46 },
    },
  };
};

/** Seconds by pass and evaluator: spent, and saved by results that were there already. */
BUILDERS.costs = (place) => {
  const stages = DATA.stages;
  const all = [...stages.passes, ...stages.evaluators.map((e) => ({ ...e, name: "measuring: " + e.name }))]
    .filter((t) => t.spent.value > 0 || t.saved.value > 0)
    .sort((a, b) => a.spent.value + a.saved.value - b.spent.value - b.saved.value);
  const most = Math.max(...all.map((t) => t.spent.value + t.saved.value), 0);
  const unit = most > 7200 ? ["h", 3600] : most > 120 ? ["min", 60] : ["s", 1];
  const names = all.map((t) => plotText(shortened(t.name, 34)));
  const bars = (key, name, marker) => ({
    type: "bar", orientation: "h", name, y: all.map((_, i) => i), x: all.map((t) => t[key].value / unit[1]),
    hoverinfo: "text", hovertext: all.map((t) => plotText(t.name + ", " + name + ": " + t[key].text)),
    textposition: "none", marker,
  });
  place.style.height = Math.max(10, 6.5 + 1.6 * all.length) + "rem";
  const saved = colour("k-undecided");
  return {
    traces: [
      bars("spent", "spent", { color: colour("k-feasible") }),
      bars("saved", "saved by the store", { color: "rgba(0,0,0,0)", line: { color: saved, width: 1 }, pattern: { shape: "/", fgcolor: saved, size: 6, solidity: 0.3 } }),
    ],
    layout: {
      barmode: "stack", bargap: 0.35, margin: { l: 20, r: 16, t: 30, b: 46 },
      xaxis: axis("time (" + unit[0] + ")", { nticks: 7 }),
      yaxis: axis("", { tickmode: "array", tickvals: all.map((_, i) => i), ticktext: names, showgrid: false, fixedrange: true }),
    },
  };
};
