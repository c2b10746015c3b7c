// Parts of the page as the server draws them: fetched again when more has changed than can be patched.

const states = new Map();
const LONGEST_PAUSE = 10_000;
let stopped = false;
const listeners = new Map();

/** Call `then(element)` after the part of that name was drawn anew; "" is for every part, called last, with
 * (element, when the server was asked). */
export function drawn(name, then) {
  listeners.set(name, then);
}

/** A gap for what somebody waits for, and one for what was missed: again and again, where a page cannot keep up. */
export const NOW = 0, MISSED = 1;

// What can wait waits longer where nobody looks: it is fetched as soon as somebody scrolls there.
const PATIENT = 2000;
const OUT_OF_SIGHT = 6;
const inSight = new Set();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const name = target.id.slice(5);
    if (!isIntersecting) inSight.delete(name);
    else if (inSight.add(name) && states.get(name)?.timer) refresh(name, states.get(name).gap);
  }
});
for (const part of document.querySelectorAll("[data-part]")) sight.observe(part);

/** Fetch a part again: soon, but not more often than every `gap` milliseconds, nor so often that drawing is all that is
 * done. Calls meanwhile are one. */
export function refresh(name, gap = 1000) {
  const element = document.getElementById(`part-${name}`);
  if (!element || stopped) return;
  // 0 is when the page was loaded: it came with all its parts
  const state = states.get(name) ?? { timer: null, due: 0, gap: Infinity, busy: false, again: Infinity, last: 0, cost: 0 };
  states.set(name, state);
  if (state.busy) {
    state.again = Math.min(state.again, gap);
    return;
  }
  const apart = gap < PATIENT || inSight.has(name) ? gap : gap * OUT_OF_SIGHT;
  const wait = gap === NOW ? 0 : Math.max(0, state.last + Math.max(apart, pause(gap)) - performance.now());
  const due = performance.now() + wait;
  if (state.timer !== null && state.due <= due) return;
  clearTimeout(state.timer);
  state.due = due;
  state.gap = gap;
  state.timer = setTimeout(() => turn(name, element, state, gap), wait);
}

/** Milliseconds that leave the server four fifths of its time for others (of what was missed half of it), however many
 * parts there are. */
function pause(gap) {
  let cost = 0;
  for (const state of states.values()) cost += state.cost;
  return Math.min(LONGEST_PAUSE, gap === MISSED ? cost : 4 * cost);
}

/** One part at a time, but for what somebody waits for: answers asked for together are all late. */
function turn(name, element, state, gap) {
  if (gap !== NOW && busy()) state.timer = setTimeout(() => turn(name, element, state, gap), 50);
  else run(name, element, state);
}

/** Is the server drawing anything just now? */
export function busy() {
  return [...states.values()].some((state) => state.busy);
}

/** Fetch nothing any more. */
export function stop() {
  stopped = true;
  for (const state of states.values()) {
    clearTimeout(state.timer);
    state.timer = null;
  }
}

/** Fetch nothing until `resume`, and wait for what is under way. */
export async function pauseAll() {
  stop();
  while (busy()) await new Promise((then) => setTimeout(then, 20));
}

export function resume() {
  stopped = false;
  refreshAll();
}

/** All parts of the page. */
export function refreshAll(gap = NOW) {
  for (const element of document.querySelectorAll("[data-part]")) refresh(element.id.slice(5), gap);
}

async function run(name, element, state) {
  state.timer = null;
  if (stopped) return;
  state.busy = true;
  const began = performance.now();
  try {
    const response = await fetch(address(element), { headers: { Accept: "text/html" } });
    if (response.ok) swap(name, element, await response.text(), began);
    else if (response.status >= 500) state.again = Math.min(state.again, 1000); // the manager is away, or the disk
  } catch {
    state.again = Infinity; // the stream notices a lost connection, and asks for everything when it is back
  }
  state.last = performance.now();
  state.cost = state.last - began;
  state.busy = false;
  if (state.again < Infinity) {
    const wanted = state.again;
    state.again = Infinity;
    refresh(name, wanted);
  }
}

function address(element) {
  const url = new URL(element.dataset.part, location.href);
  for (const [key, value] of new URLSearchParams(location.search)) {
    if (key !== "id" && key !== "task" && key !== "fragment") url.searchParams.append(key, value);
  }
  if (element.id === "part-task") url.searchParams.set("fragment", "1");
  return url;
}

/** Put what the server drew in place, and keep what the reader did and was told: focus, scrolling, what is unfolded,
 * what became of an action. */
function swap(name, element, html, began) {
  const focused = element.contains(document.activeElement) ? mark(document.activeElement) : null;
  const scrolls = [...element.querySelectorAll(".scroll, pre")].map((one) => [one.scrollTop, one.scrollLeft]);
  const unfolded = [...element.querySelectorAll("details")].map((one) => one.open);
  const told = element.querySelector("[data-said]");
  const made = document.createElement("template");
  made.innerHTML = html; // from our own server, which escaped it
  element.replaceChildren(made.content);
  if (told) element.querySelector("[data-said]")?.replaceWith(told);
  element.querySelectorAll("details").forEach((one, at) => { if (unfolded[at]) one.open = true; });
  element.querySelectorAll(".scroll, pre").forEach((one, at) => { if (scrolls[at]) [one.scrollTop, one.scrollLeft] = scrolls[at]; });
  enable(element);
  listeners.get(name)?.(element);
  listeners.get("")?.(element, began);
  if (focused) find(element, focused)?.focus({ preventScroll: true });
}

function mark(element) {
  return { href: element.getAttribute("href"), id: element.id, label: element.getAttribute("aria-label"), text: element.textContent };
}

function find(element, wanted) {
  if (wanted.id) return document.getElementById(wanted.id);
  return [...element.querySelectorAll("a, button, summary, [tabindex]")].find((one) =>
    one.getAttribute("href") === wanted.href && one.getAttribute("aria-label") === wanted.label &&
    (wanted.label !== null || wanted.href !== null || one.textContent === wanted.text));
}

/** Show what works only with a script. */
export function enable(element) {
  for (const one of element.querySelectorAll("[data-needs-script]")) one.hidden = false;
}
