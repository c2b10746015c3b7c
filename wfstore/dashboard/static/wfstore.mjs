// Keeps a page fresh from the event stream: small changes are patched into their elements, for larger ones a part of the
// page is fetched as the server draws it. Without this script the same page is there, as of when it was loaded.

import * as actions from "./actions.mjs";
import * as drawing from "./drawing.mjs";
import { number } from "./format.mjs";
import * as parts from "./parts.mjs";
import * as patch from "./patch.mjs";

const page = document.body.dataset.page;
const workflowId = document.body.dataset.workflow ?? null;
const live = document.getElementById("live");
const banner = document.getElementById("banner");
const found = { rows: new Map(), nodes: new Map(), tasks: new Map() };

function remember() {
  const tables = { rows: ["part-workflows", "workflow"], nodes: ["part-dag", "task"], tasks: ["part-tasks", "task"] };
  for (const [name, [id, key]] of Object.entries(tables)) {
    const part = document.getElementById(id);
    if (part) found[name] = patch.index(part, key);
  }
}

// -- what changed ------------------------------------------------------------------------------------------------------

// What came while the server drew a part: its drawing may be older than that.
const meanwhile = [];

function changed(changes) {
  if (!parts.busy()) meanwhile.length = 0;
  else meanwhile.push({ at: performance.now(), changes });
  if (page === "overview") overview(changes);
  else if (page === "workflow") workflow(changes);
  else if (changes.deleted.includes(workflowId) && !changes.workflows.length) ended();
  else if (changes.tasks.length || changes.workflows.length) parts.refresh("task", 500);
}

function again(element, began) {
  remember();
  pending(element);
  for (const { at, changes } of meanwhile) if (at >= began) apply(changes);
}

/** What the server is still working out is asked for again. */
function pending(element) {
  for (const { dataset } of element.querySelectorAll("[data-again]")) setTimeout(() => parts.refresh(dataset.again, parts.MISSED), 1000);
}

/** Forget what was deleted, then put rows into what is shown of them. */
function apply({ workflows, tasks, deleted }) {
  forget(deleted);
  const head = document.getElementById("head");
  for (const row of workflows) {
    const element = page === "overview" ? found.rows.get(row.workflow_id) : row.workflow_id === workflowId ? head : null;
    if (element) patch.workflow(element, row);
  }
  for (const row of page === "workflow" ? tasks : []) {
    if (row.workflow_id !== workflowId) continue;
    const [node, line] = [found.nodes.get(row.task_id), found.tasks.get(row.task_id)];
    if (node) patch.node(node, row);
    if (line) patch.task(line, row);
  }
}

/** Whoever has such an id now is another one, and is drawn by the server. */
function forget(deleted) {
  if (page !== "overview") return;
  for (const id of deleted) {
    found.rows.get(id)?.remove();
    found.rows.delete(id);
  }
}

function overview(changes) {
  const { workflows, deleted } = changes;
  const fresh = workflows.some((row) => !found.rows.has(row.workflow_id));
  const moved = fresh || deleted.length > 0 || workflows.some((row) => found.rows.get(row.workflow_id).dataset.status !== row.status);
  apply(changes);
  const filtered = new URLSearchParams(location.search).size > 0;
  if (fresh || deleted.length || (filtered && moved)) parts.refresh("workflows");
  if (workflows.length || deleted.length) parts.refresh("summary", moved ? 1000 : 5000);
}

function workflow(changes) {
  const row = changes.workflows.find((one) => one.workflow_id === workflowId);
  const mine = changes.tasks.filter((one) => one.workflow_id === workflowId);
  if (changes.deleted.includes(workflowId)) {
    if (!row) return ended();
    parts.refreshAll(); // it was submitted anew
  }
  const before = document.getElementById("head").dataset.status;
  apply(changes);
  if (row) header(row, before);
  if (mine.length) changedTasks(mine);
}

/** There is nothing to ask for any more. */
function ended() {
  parts.stop();
  source.close();
  clearTimeout(silence);
  for (const button of document.querySelectorAll("[data-action]")) button.disabled = true;
  warn("This workflow was deleted. What you see is how it was before.");
}

function header(row, before) {
  const moved = before !== row.status;
  const count = document.querySelector("[data-n=tasks]");
  const grown = count && count.textContent !== number(row.tasks);
  if (grown) {
    count.textContent = number(row.tasks);
    parts.refresh("dag");
    parts.refresh("tasks");
  }
  const attempts = document.querySelector("[data-n=attempts]");
  if (attempts && attempts.textContent !== number(row.attempts)) attempts.textContent = number(row.attempts);
  parts.refresh("head", moved ? 0 : 5000);
  // What begins is told of bit by bit, and its nodes are patched. What goes on was not heard of for a while; what has
  // ended is looked at now.
  const runs = row.status === "RUNNING";
  const begins = runs && before === "PENDING";
  const stale = begins ? ["timeline", "attempts"] : ["dag", "timeline", "errors", "attempts", "events"];
  if (moved) for (const name of stale) parts.refresh(name, begins ? 3000 : runs ? 1000 : 300);
}

function changedTasks(rows) {
  const failed = rows.some((row) => row.error_type);
  const unknown = rows.some((row) => !found.nodes.has(row.task_id));
  if (unknown) parts.refresh("dag");
  // Its nodes are patched. Only the critical path may be another one, and to lay out a large drawing anew takes a while.
  else parts.refresh("dag", 5000 + 25 * found.nodes.size);
  parts.refresh("timeline", 5000);
  if (failed) parts.refresh("errors");
  if (filteredTasks()) parts.refresh("tasks", 2000);
  if (document.querySelector("#part-attempts details[open]")) parts.refresh("attempts", 2000);
  if (document.querySelector("#part-events table")) parts.refresh("events", 2000);
}

function filteredTasks() {
  return [...new URLSearchParams(location.search).keys()].some((key) => key.startsWith("task_"));
}

// -- the stream --------------------------------------------------------------------------------------------------------

const SILENCE_MS = 25_000; // a heartbeat comes every 10 s
let cursor = null;
let lost = null;
let silence = null;
let source = null;

function connect() {
  source?.close();
  const query = new URLSearchParams();
  if (workflowId === null) query.set("tasks", "0");
  else query.set("workflow_id", workflowId);
  if (cursor !== null) query.set("since", cursor);
  source = new EventSource(`/api/stream?${query}`);
  const on = (name, then) => source.addEventListener(name, (event) => {
    cursor = event.lastEventId || cursor;
    listen();
    then(JSON.parse(event.data));
  });
  on("ready", ({ as_of_seq: seq }) => {
    if (seq > Number(document.body.dataset.seq)) parts.refreshAll();
    document.body.dataset.seq = "Infinity"; // from here on the cursor says what was seen
    connected();
  });
  on("changes", (changes) => { connected(); changed(changes); });
  on("snapshot-needed", () => { connected(); parts.refreshAll(parts.MISSED); });
  on("heartbeat", connected);
  on("unavailable", ({ message }) => warn(message));
  source.onerror = () => {
    disconnected();
    // a browser tries again by itself, unless the server refused
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

/** Nothing for too long is a lost connection, too: a machine that went away says no farewell. */
function listen() {
  clearTimeout(silence);
  silence = setTimeout(() => { disconnected(); connect(); }, SILENCE_MS);
}

function connected() {
  clearTimeout(lost);
  lost = null;
  if (live.dataset.state === "on" && banner.hidden) return;
  banner.hidden = true;
  live.dataset.state = "on";
  live.textContent = "Live";
}

function disconnected() {
  live.dataset.state = "off";
  live.textContent = "Not connected";
  // a moment without connection is no news
  lost ??= setTimeout(() => warn("The connection to the dashboard is lost. What you see is as of then; it goes on by itself as soon as the server answers."), 1500);
}

function warn(words) {
  banner.textContent = words;
  banner.hidden = false;
  live.dataset.state = "off";
  live.textContent = "Not connected";
}

// -- links to other pages of a table, orders, groups: only their part is fetched -----------------------------------------

function turn(event) {
  const link = event.target instanceof Element ? event.target.closest("[data-part] a[href^='?']") : null;
  if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.getAttribute("href").split("#")[0]);
  if (page === "overview") parts.refreshAll();
  else parts.refresh(link.closest("[data-part]").id.slice(5), 0);
}

// -- start -------------------------------------------------------------------------------------------------------------

parts.enable(document);
parts.drawn("", again);
parts.drawn("dag", drawing.dag);
parts.drawn("timeline", drawing.timeline);
for (const [name, draw] of [["dag", drawing.dag], ["timeline", drawing.timeline]]) {
  const part = document.getElementById(`part-${name}`);
  if (part) draw(part);
}
pending(document);
document.addEventListener("click", turn);
addEventListener("popstate", () => parts.refreshAll());
remember();
actions.listen();
setInterval(patch.tickAll, 1000);
connect();
addEventListener("pagehide", () => source.close());
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
