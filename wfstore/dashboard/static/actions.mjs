// What changes workflows: asked for by POST with a header that no other site's page can send.

import { number, shown } from "./format.mjs";
import * as parts from "./parts.mjs";

/** Let the buttons of this page act. One listener: parts of the page are drawn anew all the time. */
export function listen() {
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("[data-action], [data-bulk]") : null;
    if (!button) return;
    if (button.hasAttribute("data-bulk")) bulk();
    else act(button.closest("[data-actions]").dataset.actions, button.dataset.action);
  });
}

async function act(id, action) {
  let body = {};
  if (action === "delete") {
    const words = "Its history and its stored values go for good. Its events stay in the log until they are compacted.";
    if (!(await ask("Delete this workflow?", words, "Delete", "danger"))) return;
  } else if (action === "resume") {
    const chosen = await ask("Resume this workflow?", "Finished tasks are not run again.", "Resume", "main", [
      ["stored", "with the code that it was submitted with"],
      ["current", "with the code as it is now where the manager runs"],
    ]);
    if (!chosen) return;
    body = { code: chosen };
  } else if (action === "cancel" && !(await ask("Cancel this workflow?", "A canceled workflow cannot be resumed.", "Cancel it", "danger"))) return;
  say(`${action}…`);
  // A part that is asked for in the moment of a deletion is not there any more.
  if (action === "delete") await parts.pauseAll();
  try {
    const answer = await post(`/api/workflows/${encodeURIComponent(id)}/${action}`, body);
    if (action === "delete") location.assign("/");
    else if (action === "rerun" && answer.workflow_id) location.assign(`/workflows/${encodeURIComponent(answer.workflow_id)}`);
    else say("Done.");
  } catch (error) {
    if (action === "delete") parts.resume();
    say(error.message, "bad");
  }
}

function say(words, kind = "good") {
  const place = document.querySelector("[data-said]");
  if (!place) return;
  place.textContent = words;
  place.dataset.kind = kind;
}

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Wfstore-Action": "1" },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message ?? `The server answered ${response.status}.`);
  return answer;
}

/** A question with a way out. Resolves to true or the chosen option, or to null. */
function ask(title, words, yes, kind, options = []) {
  const dialog = element("dialog", {}, [
    element("h2", { id: "ask-title" }, [title]),
    element("p", {}, [words]),
    ...options.map(([value, label], at) => element("p", {}, [
      element("label", {}, [element("input", { type: "radio", name: "option", value, ...(at ? {} : { checked: "" }) }), ` ${label}`]),
    ])),
  ]);
  dialog.setAttribute("aria-labelledby", "ask-title");
  return new Promise((resolve) => {
    const no = element("button", { type: "button" }, ["Not now"]);
    const go = element("button", { type: "button", class: kind }, [yes]);
    dialog.append(element("div", { class: "choices" }, [no, go]));
    document.body.append(dialog);
    no.onclick = () => dialog.close();
    go.onclick = () => dialog.close(dialog.querySelector("input:checked")?.value ?? "yes");
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue ? (options.length ? dialog.returnValue : true) : null);
    };
    dialog.showModal();
  });
}

/** One action on every workflow that the filters leave: first what would be done, then, when that is wanted, it. */
function bulk() {
  const filters = filtersOfPage();
  const select = element("select", { "aria-label": "Action" }, [
    ["cancel", "Cancel"], ["resume", "Resume"], ["rerun", "Run again"], ["delete", "Delete"],
  ].map(([value, label]) => element("option", { value }, [label])));
  const said = element("div", { class: "said", role: "status" }, []);
  const list = element("div", { class: "planned", hidden: "" }, []);
  const close = element("button", { type: "button" }, ["Close"]);
  const look = element("button", { type: "button" }, ["Preview"]);
  const go = element("button", { type: "button", class: "main", disabled: "" }, ["Do it"]);
  const dialog = element("dialog", { "aria-labelledby": "bulk-title" }, [
    element("h2", { id: "bulk-title" }, ["Act on all workflows that match the filters"]),
    element("p", { class: "quiet" }, [words(filters)]),
    element("p", {}, [select, " ", look]), said, list,
    element("div", { class: "choices" }, [close, go]),
  ]);
  const run = async (dry) => {
    said.dataset.kind = "good";
    said.textContent = dry ? "Looking…" : "Working…";
    go.disabled = true;
    try {
      const rows = (await post("/api/workflows/bulk", { action: select.value, filter: filters, dry_run: dry })).results;
      const fine = rows.filter((row) => !row.error);
      said.textContent = `${number(fine.length)} of ${number(rows.length)} ${dry ? "would be changed" : "done"}.${fine.length < rows.length ? " The last of the list are refused." : ""}`;
      list.hidden = rows.length === 0;
      list.replaceChildren(...[...fine, ...rows.filter((row) => row.error)].map((row) => element("div", {}, [`${shown(row.workflow_id, 80)} (${row.status})${row.error ? `: ${shown(row.error)}` : ""}`])));
      go.disabled = !dry || fine.length === 0;
    } catch (error) {
      said.dataset.kind = "bad";
      said.textContent = error.message;
    }
  };
  select.onchange = () => { go.disabled = true; list.hidden = true; said.textContent = ""; };
  look.onclick = () => run(true);
  go.onclick = () => run(false);
  close.onclick = () => dialog.close();
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
}

/** The filters of the address, as the API wants them. */
function filtersOfPage() {
  const said = new URLSearchParams(location.search);
  const found = {};
  for (const [key, name] of [["name", "name"], ["q", "id"], ["since", "since"], ["until", "until"]]) {
    if (said.get(key)) found[name] = said.get(key);
  }
  const statuses = said.getAll("status").filter(Boolean);
  if (statuses.length) found.status = statuses;
  if (said.get("metadata")) found.metadata = metadata(said.get("metadata"));
  return found;
}

function metadata(said) {
  return Object.fromEntries(said.split(",").map((pair) => {
    const [key, ...rest] = pair.split("=");
    const value = rest.join("=").trim();
    try {
      return [key.trim(), JSON.parse(value)];
    } catch {
      return [key.trim(), value];
    }
  }));
}

function words(filters) {
  const said = Object.entries(filters).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return said.length ? shown(said.join(", "), 400) : "No filter is set: that is every workflow.";
}

function element(name, attributes, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
