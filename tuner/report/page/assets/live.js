// Loads the page anew while its study runs, and takes up again where its reader was.
// Knows of the page's content only its details, fields, sorted columns, ids and scroll position.
(function () {
  "use strict";
  const every = EVERY_SECONDS; // null: the study is over, this is its last page
  const version = STATE;
  const LONGEST = 60; // s
  let wait = every;
  const key = "tune-live:" + location.pathname + location.search;
  const QUIET = 3000; // ms without a key or a click, so that nobody is interrupted
  let touched = 0;
  let held = false;

  function place(element) {
    const near = element.closest("[id]");
    const name = element.id || element.name || element.dataset.key || "";
    const label = element.querySelector("summary");
    return [near ? near.id : "", element.tagName, name, label ? label.textContent : ""].join("/");
  }

  function all(selector) {
    return Array.from(document.querySelectorAll(selector));
  }

  // Several elements may have the same place: they are told apart by their order.
  function byPlace(elements) {
    const found = new Map();
    for (const element of elements) {
      const at = place(element);
      found.set(at, (found.get(at) || []).concat(element));
    }
    return found;
  }

  function values(elements, read) {
    const found = {};
    byPlace(elements).forEach((same, at) => { found[at] = same.map(read); });
    return found;
  }

  function restore(elements, kept, write) {
    byPlace(elements).forEach((same, at) => {
      (kept[at] || []).forEach((value, i) => { if (same[i]) write(same[i], value); });
    });
  }

  const fields = () => all("input, select, textarea");
  const isChecked = (f) => f.type === "checkbox" || f.type === "radio";

  function keep() {
    const sorted = all("th[aria-sort]").filter((th) => th.getAttribute("aria-sort") !== "none");
    const state = {
      version: version,
      wait: wait,
      x: scrollX,
      y: scrollY,
      held: held,
      open: values(all("details"), (d) => d.open),
      fields: values(fields(), (f) => (isChecked(f) ? f.checked : f.value)),
      boxes: values(all("[id]").filter((e) => e.scrollTop || e.scrollLeft),
        (e) => [e.scrollLeft, e.scrollTop]),
      sorted: sorted.map((th) => [place(th.closest("table")), th.cellIndex,
        th.getAttribute("aria-sort")]),
      focus: document.activeElement && document.activeElement.id,
    };
    try { sessionStorage.setItem(key, JSON.stringify(state)); } catch (error) { /* no storage */ }
  }

  function kept() {
    try { return JSON.parse(sessionStorage.getItem(key)); } catch (error) { return null; }
  }

  function setField(field, value) {
    const before = isChecked(field) ? field.checked : field.value;
    if (before === value) return;
    if (isChecked(field)) field.checked = value; else field.value = value;
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }

  function sortAgain([table, column, order]) {
    const found = byPlace(all("table")).get(table);
    const th = found && found[0].tHead && found[0].tHead.rows[0].cells[column];
    const button = th && th.querySelector("button");
    for (let clicks = 0; button && clicks < 3 && th.getAttribute("aria-sort") !== order; clicks++) {
      button.click();
    }
  }

  function takeUp() {
    const state = kept();
    if (!state) return;
    held = state.held;
    if (state.version === version) wait = Math.max(every, Math.min(2 * state.wait, LONGEST));
    restore(fields(), state.fields, setField);
    state.sorted.forEach(sortAgain);
    restore(all("details"), state.open, (d, open) => { d.open = open; });
    restore(all("[id]"), state.boxes, (e, at) => { [e.scrollLeft, e.scrollTop] = at; });
    const focus = state.focus && document.getElementById(state.focus);
    if (focus) focus.focus({ preventScroll: true });
    const back = () => { if (!touched) scrollTo({ left: state.x, top: state.y, behavior: "instant" }); };
    back();
    addEventListener("load", () => { back(); setTimeout(back, 250); });
  }

  function isBusy() {
    const selected = getSelection();
    const reading = selected && !selected.isCollapsed;
    return held || document.hidden || reading || Date.now() - touched < QUIET;
  }

  function look() {
    if (isBusy()) { setTimeout(look, 1000); return; }
    keep();
    location.reload();
  }

  function tell() {
    const note = document.createElement("p");
    note.id = "live-note";
    note.style.cssText = "position:fixed;right:.5rem;bottom:.5rem;margin:0;padding:.25rem .5rem;" +
      "font:13px system-ui,sans-serif;background:Canvas;color:CanvasText;border:1px solid;" +
      "border-radius:4px;z-index:9";
    const text = document.createElement("span");
    const button = document.createElement("button");
    button.type = "button";
    button.style.cssText = "margin-left:.5rem;font:inherit";
    function show() {
      text.textContent = held ? "Held still" : "The study runs: loaded anew in " + wait + " s";
      button.textContent = held ? "Follow" : "Hold still";
    }
    button.addEventListener("click", () => { held = !held; touched = 0; show(); keep(); });
    note.append(text, button);
    document.body.append(note);
    show();
  }

  takeUp();
  if (every === null) { // what is loaded again from now on is loaded by its reader
    try { sessionStorage.removeItem(key); } catch (error) { /* no storage */ }
    history.scrollRestoration = "auto";
    return;
  }
  history.scrollRestoration = "manual";
  for (const kind of ["pointerdown", "keydown", "wheel", "touchmove"]) {
    addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
  }
  tell();
  setTimeout(look, wait * 1000);
})();
