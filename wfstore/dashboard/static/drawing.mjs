// The DAG can be zoomed and moved; the timeline's further rows are fetched as they come into sight.

const SMALLEST = 0.02;
const LARGEST = 4;
const LARGEST_FIT = 1.1;
const MARGIN = 18;
// Below the first scale a node has room for its name only, in larger letters; below the second for its shape.
const FAR = 0.5;
const FARTHER = 0.24;
const NAME_WIDTH = 134; // pixels of the drawing
const MIDDLE = 38; // the base line of large letters
const pen = document.createElement("canvas").getContext("2d"); // knows widths without a layout
let view = null; // kept while the drawing below is replaced: {x, y, scale} of the drawing's pixel at the upper left

/** Make the DAG in `part` one to look around in. */
export function dag(part) {
  const pane = part.querySelector("[data-dag]");
  const svg = pane?.querySelector("svg");
  if (!svg) return;
  const [left, top, width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  // as high as it takes to show everything as wide as the page, within reason
  const room = pane.offsetWidth;
  pen.font = `500 27px ${getComputedStyle(svg).fontFamily}`; // as wfstore.css has it for large letters
  const whole = height * Math.min(LARGEST_FIT, (room - 2 * MARGIN) / width) + 2 * MARGIN;
  const high = Math.round(Math.min(Math.max(whole, 200), Math.max(380, innerHeight * 0.66)));
  pane.classList.add("drawn");
  pane.style.height = `${high}px`;
  const state = { pane, svg, left, top, width, height };
  // as it will be: to ask the browser now were to lay out everything twice
  const box = { width: room, height: high };
  if (view === null || view.fitted) fit(state, box);
  else apply(state, box);
  pane.onwheel = (event) => wheel(state, event);
  pane.onpointerdown = (event) => drag(state, event);
  pane.onkeydown = (event) => key(state, event);
  for (const button of part.querySelectorAll("[data-zoom]")) button.onclick = () => zoomBy(state, button.dataset.zoom);
}

function fit(state, box = state.pane.getBoundingClientRect()) {
  const scale = Math.min(LARGEST_FIT, (box.width - 2 * MARGIN) / state.width, (box.height - 2 * MARGIN) / state.height);
  const x = state.left + (state.width - box.width / scale) / 2;
  const y = state.top + (state.height - box.height / scale) / 2;
  view = { x, y, scale, fitted: true };
  apply(state, box);
}

function apply(state, box = state.pane.getBoundingClientRect()) {
  const { x, y, scale } = view;
  const mode = scale < FARTHER ? "farther" : scale < FAR ? "far" : "near";
  if (mode !== state.mode) {
    state.mode = mode;
    state.pane.classList.toggle("farther", mode === "farther");
    state.pane.classList.toggle("far", mode !== "near");
    const named = mode === "farther" ? [] : state.svg.querySelectorAll(".node .name"); // unseen, names cost nothing
    for (const text of named) if (mode === "far" || text.dataset.whole) name(text, mode === "far");
  }
  state.svg.setAttribute("viewBox", `${x} ${y} ${box.width / scale} ${box.height / scale}`);
}

/** The whole name, or as much of it as fits in large letters; what is left out is in its middle. */
function name(text, far) {
  text.dataset.whole ??= text.textContent;
  text.dataset.y ??= text.getAttribute("y");
  text.setAttribute("y", far ? MIDDLE : text.dataset.y);
  const letters = [...text.dataset.whole];
  const most = 12;
  const said = far && letters.length > most ? [...letters.slice(0, 6), "…", ...letters.slice(-5)] : letters;
  text.textContent = said.join("");
  if (far && pen.measureText(text.textContent).width > NAME_WIDTH) {
    text.setAttribute("textLength", NAME_WIDTH);
    text.setAttribute("lengthAdjust", "spacingAndGlyphs");
  } else text.removeAttribute("textLength");
}

function zoomAt(state, factor, left, top) {
  const scale = Math.min(LARGEST, Math.max(SMALLEST, view.scale * factor));
  const x = view.x + left / view.scale - left / scale;
  const y = view.y + top / view.scale - top / scale;
  view = { x, y, scale };
  apply(state);
}

function zoomBy(state, how) {
  const box = state.pane.getBoundingClientRect();
  if (how === "fit") fit(state);
  else zoomAt(state, how === "in" ? 1.3 : how === "out" ? 1 / 1.3 : 1 / view.scale, box.width / 2, box.height / 2);
}

function wheel(state, event) {
  // A wheel that turns on a page scrolls the page; over the drawing it zooms once that has the focus, or with a key.
  if (!event.ctrlKey && !event.metaKey && !state.pane.contains(document.activeElement)) return;
  event.preventDefault();
  const box = state.pane.getBoundingClientRect();
  zoomAt(state, Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
}

function drag(state, event) {
  if (event.button !== 0) return;
  const start = { x: view.x, y: view.y, left: event.clientX, top: event.clientY };
  let moved = false;
  const move = (now) => {
    const [dx, dy] = [now.clientX - start.left, now.clientY - start.top];
    if (!moved && Math.hypot(dx, dy) < 4) return;
    if (!moved) state.pane.setPointerCapture(event.pointerId);
    moved = true;
    state.pane.classList.add("dragging");
    view = { x: start.x - dx / view.scale, y: start.y - dy / view.scale, scale: view.scale };
    apply(state);
  };
  const stop = () => {
    state.pane.classList.remove("dragging");
    state.pane.removeEventListener("pointermove", move);
    // the click that ends a drag is none
    if (moved) state.pane.addEventListener("click", (click) => click.preventDefault(), { capture: true, once: true });
    if (moved) setTimeout(() => state.pane.dispatchEvent(new Event("dragged")), 0);
  };
  state.pane.addEventListener("pointermove", move);
  state.pane.addEventListener("pointerup", stop, { once: true });
  state.pane.addEventListener("pointercancel", stop, { once: true });
}

function key(state, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };
  const zooms = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "actual" };
  if (event.key in moves) {
    const [dx, dy] = moves[event.key];
    view = { x: view.x + dx / view.scale, y: view.y + dy / view.scale, scale: view.scale };
    apply(state);
  } else if (event.key in zooms) zoomBy(state, zooms[event.key]);
  else return;
  event.preventDefault();
}

/** Fill the timeline with all its windows; those out of sight are empty boxes of the right height. */
export function timeline(part) {
  const pane = part.querySelector("[data-gantt]");
  if (!pane) return;
  const { total, first, shown, row, axis, width } = Object.fromEntries(
    Object.entries(pane.dataset).map(([name, value]) => [name, Number(value)]));
  if (first !== 0 || total <= shown) return;
  part.querySelector("[data-windows]")?.remove();
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) fill(entry.target, part, near);
  }, { root: pane, rootMargin: "600px" });
  for (let at = shown; at < total; at += shown) {
    const rows = Math.min(shown, total - at);
    const box = document.createElement("div");
    box.dataset.window = String(at);
    box.style.aspectRatio = `${width} / ${rows * row + (at === 0 ? axis : 0)}`;
    pane.append(box);
    near.observe(box);
  }
}

async function fill(box, part, near) {
  near.unobserve(box);
  const url = new URL(part.dataset.part, location.href);
  url.searchParams.set("first", box.dataset.window);
  url.searchParams.set("axis", "0");
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(String(response.status));
    const made = document.createElement("template");
    made.innerHTML = await response.text(); // from our own server, which escaped it
    const svg = made.content.querySelector("[data-gantt] svg");
    if (svg) box.replaceChildren(svg);
  } catch {
    near.observe(box);
  }
}
