// Draws the plots: registers a builder by name, draws a plot when it comes near the screen, and
// again when the colours, the width or the medium (paper) change. Knows nothing of their content.
"use strict";

const BUILDERS = {};  // name -> (place) => {traces, layout, points?: [{curve, point, number, says}]}
const DRAWN = new Map();  // place -> what its builder gave
const PAPER_WIDTH = 680;
const DARK = matchMedia("(prefers-color-scheme: dark)");
const COARSE = matchMedia("(pointer: coarse)").matches;

function baseLayout() {
  const text = colour("text");
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
    margin: { l: 64, r: 16, t: 12, b: 48 },
    hovermode: "closest",
    hoverlabel: {
      align: "left", bgcolor: colour("panel"), bordercolor: colour("muted"),
      font: { color: text, size: 12 },
    },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
    dragmode: COARSE ? false : "zoom",
  };
}

/** An axis in the page's colours. */
function axis(title, more) {
  return Object.assign({
    title: { text: title, standoff: 8 }, gridcolor: colour("grid"), linecolor: colour("line"),
    zeroline: false, automargin: true, ticks: "outside", tickcolor: colour("line"), ticklen: 4,
    showline: true,
  }, more);
}

function draw(place) {
  const builder = BUILDERS[place.dataset.plot.split(":")[0]];
  const made = builder(place);
  const layout = Object.assign(baseLayout(), made.layout);
  if (ROOT.classList.contains("printing")) {
    layout.width = PAPER_WIDTH;
    layout.height = Math.min(place.clientHeight || 400, 460);
  }
  if (made.reversed) layout.legend.traceorder = "reversed";  // what lies above is named first
  const config = {
    displaylogo: false, responsive: true, showTips: false, scrollZoom: false,
    displayModeBar: COARSE ? false : "hover",
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
    toImageButtonOptions: { filename: place.id, scale: 2 },
  };
  Plotly.react(place, made.traces, layout, config);
  if (!DRAWN.has(place)) {
    place.on("plotly_click", (event) => opens(event.points[0]));
    place.addEventListener("keydown", walk);
  }
  DRAWN.set(place, made);
}

function opens(point) {
  const number = point && point.customdata;
  if (known(number)) openTrial(number);
}

/** Arrow keys go from point to point of a plot, Enter opens the point's trial. */
function walk(event) {
  const place = event.currentTarget, points = (DRAWN.get(place) || {}).points || [];
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  if (!points.length || event.target !== place) return;
  if (event.key in steps) {
    const at = place.walked === undefined ? (steps[event.key] > 0 ? 0 : points.length - 1)
      : (place.walked + steps[event.key] + points.length) % points.length;
    place.walked = at;
    Plotly.Fx.hover(place, [{ curveNumber: points[at].curve, pointNumber: points[at].point }]);
    say(points[at].says);
  } else if (event.key === "Enter" && place.walked !== undefined) {
    if (known(points[place.walked].number)) openTrial(points[place.walked].number);
  } else {
    return;
  }
  event.preventDefault();
}

function redraw() {
  for (const place of DRAWN.keys()) draw(place);
}

function startPlots() {
  const places = [...document.querySelectorAll("[data-plot]")];
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
    }
  }, { rootMargin: "700px" });
  for (const place of places) near.observe(place);
  DARK.addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    ROOT.classList.add("printing");  // the colours of paper
    for (const place of places) draw(place);
  });
  addEventListener("afterprint", () => { ROOT.classList.remove("printing"); redraw(); });
}
