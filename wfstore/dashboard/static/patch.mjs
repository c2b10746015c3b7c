// Puts rows of the event stream into the page: each changed value into its own element, found by what it is about.

import { ago, duration, moment, number, shown, size } from "./format.mjs";

const COUNTING = new Set(["RUNNING", "PENDING", "RETRYING"]);

/** The elements of the page by id of task or workflow; made again whenever a part was drawn anew. */
export function index(root, key) {
  const found = new Map();
  for (const element of root.querySelectorAll(`[data-${key}]`)) found.set(element.dataset[key], element);
  return found;
}

/** A row of `workflows`, or the header of a workflow's page. */
export function workflow(element, row) {
  status(element, row.status);
  progress(element, row);
  put(element, "started_at", moment(row.started_at));
  put(element, "ended_at", moment(row.ended_at));
  put(element, "queue_wait_s", exact(duration(row.queue_wait_s), seconds(row.queue_wait_s)));
  for (const name of ["runs", "attempts"]) put(element, name, number(row[name]));
  for (const name of ["output_bytes", "total_output_bytes"]) put(element, name, exact(size(row[name]), bytes(row[name])));
  took(element, row, row.elapsed_s, row.started_at ?? row.submitted_at);
  failed(element, row);
}

/** A row of `tasks`. */
export function task(element, row) {
  status(element, row.status);
  put(element, "attempts", number(row.attempts));
  put(element, "started_at", moment(row.started_at));
  put(element, "wait_s", exact(duration(row.wait_s), seconds(row.wait_s)));
  put(element, "output_bytes", exact(size(row.output_bytes), bytes(row.output_bytes)));
  took(element, row, row.duration_s, row.started_at);
  failed(element, row);
}

/** A node of the DAG: its class, its shape and its words. */
export function node(element, row) {
  const before = element.dataset.status;
  if (before !== row.status) {
    element.dataset.status = row.status;
    element.classList.remove(`st-${before}`);
    element.classList.add(`st-${row.status}`);
    const shape = document.querySelector(`#s-icon-${row.status} path`);
    if (shape) element.querySelector(".icon")?.setAttribute("d", shape.getAttribute("d"));
  }
  const facts = element.querySelector(".facts");
  if (facts) facts.textContent = words(row);
  const title = element.querySelector("title");
  if (title) title.textContent = [shown(row.task_id), words(row), shown(row.error_type)].filter(Boolean).join("\n");
  const bar = element.querySelector("rect.progress");
  if (bar && row.progress !== null && row.progress !== undefined) {
    bar.setAttribute("width", row.progress * Number(element.querySelector("rect.track").getAttribute("width")));
  }
}

/** What a node says below its name, in the words of the server's drawing. */
function words(row) {
  const share = row.status === "RUNNING" && row.progress !== null && row.progress !== undefined ? `${Math.round(row.progress * 100)}%` : "";
  return [row.status, share, duration(row.duration_s ?? row.elapsed_s)].filter(Boolean).join(" ");
}

function status(element, value) {
  if (element.dataset.status === value) return;
  element.classList.remove(`st-${element.dataset.status}`);
  element.classList.add(`st-${value}`);
  element.dataset.status = value;
  const pill = element.querySelector("[data-f=status]");
  if (!pill) return;
  pill.setAttribute("class", `status st-${value}`);
  pill.querySelector("use").setAttribute("href", `#s-icon-${value}`);
  pill.querySelector("span").textContent = value;
  if (element.tagName === "TR") {
    element.classList.remove("changed");
    requestAnimationFrame(() => element.classList.add("changed"));
  }
}

function progress(element, row) {
  const bar = element.querySelector("svg[data-f=progress]");
  if (!bar) return;
  const share = row.tasks ? 100 / row.tasks : 0;
  const [done, bad] = bar.querySelectorAll("rect");
  set(done, "width", row.tasks_done * share);
  set(bad, "x", row.tasks_done * share);
  set(bad, "width", row.tasks_failed * share);
  set(bar, "aria-label", `${Math.floor(row.tasks_done * share)} % of the tasks done`);
  put(element, "tasks_done", number(row.tasks_done));
  put(element, "tasks", number(row.tasks));
  put(element, "tasks_failed", row.tasks_failed ? `${number(row.tasks_failed)} failed` : "");
}

function took(element, row, ended, since) {
  const place = element.querySelector("[data-f=took]");
  if (!place) return;
  if (COUNTING.has(row.status) && since) {
    place.dataset.since = since;
    tick(place, Date.now());
  } else {
    delete place.dataset.since;
    fill(place, exact(duration(ended), seconds(ended)));
  }
}

function failed(element, row) {
  const place = element.querySelector("[data-f=error]");
  if (!place) return;
  if (!row.error_type) {
    if (place.hasChildNodes()) place.replaceChildren();
    return;
  }
  const type = document.createElement("strong");
  type.textContent = shown(row.error_type, 60);
  place.replaceChildren(type, row.error_message ? `: ${shown(row.error_message)}` : "");
}

function put(element, name, value) {
  const place = element.querySelector(`[data-f=${name}]`);
  if (place) fill(place, value ?? "");
}

// What says so already is left alone: a browser lays out and paints anew whatever is put in, be it the same.
function fill(place, value) {
  const made = typeof value === "string" ? document.createTextNode(value) : value;
  if (place.childNodes.length === 1 && place.firstChild.isEqualNode(made)) return;
  if (value !== "" || place.hasChildNodes()) place.replaceChildren(made);
}

function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function exact(text, title) {
  const span = document.createElement("span");
  span.textContent = text;
  if (text) span.title = title;
  return span;
}

function seconds(value) {
  return value === null || value === undefined ? "" : `${value.toFixed(6)} s`;
}

function bytes(value) {
  return `${number(value)} bytes`;
}

const TICKS = 5;
let ticks = 0;

/** What goes on gets older: asked for every second; how long ago something was says so less often. */
export function tickAll() {
  const now = Date.now();
  for (const place of document.querySelectorAll("[data-since]")) tick(place, now);
  if (ticks++ % TICKS) return;
  for (const time of document.querySelectorAll("time[datetime]")) {
    const small = time.querySelector(".ago");
    const words = ago(Date.parse(time.dateTime), now);
    if (small && small.textContent !== words) small.textContent = words;
  }
}

function tick(place, now) {
  const passed = Math.max(0, (now - Date.parse(place.dataset.since)) / 1000);
  place.textContent = duration(passed < 60 ? Math.floor(passed * 10) / 10 : passed);
}
