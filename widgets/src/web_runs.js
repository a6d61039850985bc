// All runs: a filter, a page of the list, and whether anything has changed.
import { h } from "./form.js";
import { duration } from "./reduce.js";
import { get, keepLooking } from "./web_http.js";

const LIMIT = 50;
export const STATUS_WORDS = { in_progress: "in progress", completed: "completed", failed: "failed", canceled: "canceled" };

export function runsView(main) {
  const wanted = new URLSearchParams(location.search);
  const cursors = []; // of the pages before this one
  let cursor = null;
  let next = null;
  let shownText = "";

  const status = h("select", { id: "status", name: "status" }, h("option", { value: "" }, "any status"), Object.entries(STATUS_WORDS).map(([value, text]) => h("option", { value, selected: wanted.get("status") === value }, text)));
  const name = h("input", { id: "name", name: "name", type: "search", value: wanted.get("name") ?? "", placeholder: "all", autocomplete: "off" });
  const filter = h("form", { class: "filter", role: "search", "aria-label": "Filter the runs" }, h("label", { for: "status" }, "Status", status), h("label", { for: "name" }, "Workflow", name), h("button", { type: "submit" }, "Show"));
  const body = h("tbody");
  const head = h("thead", {}, h("tr", {}, ["Workflow", "Status", "Started", "Took", "Id"].map((text) => h("th", { scope: "col" }, text))));
  const table = h("table", { class: "runs" }, h("caption", { class: "hidden" }, "Runs, newest first"), head, body);
  const empty = h("p", { class: "faint", hidden: true }, "No runs");
  const older = h("button", { type: "button", onclick: () => (cursors.push(cursor), (cursor = next), looking.again()) }, "Older");
  const newer = h("button", { type: "button", onclick: () => ((cursor = cursors.pop() ?? null), looking.again()) }, "Newer");
  const problem = h("p", { class: "problem", role: "status" });
  main.append(filter, table, empty, h("nav", { class: "pages", "aria-label": "Pages" }, newer, older), problem);

  function go() {
    const query = new URLSearchParams();
    if (status.value) query.set("status", status.value);
    if (name.value.trim()) query.set("name", name.value.trim());
    history.replaceState(null, "", query.size ? `/?${query}` : "/");
    cursors.length = 0;
    cursor = null;
    looking.again();
  }
  filter.addEventListener("submit", (e) => (e.preventDefault(), go()));
  status.addEventListener("change", go);

  async function look() {
    const query = new URLSearchParams({ limit: LIMIT });
    if (status.value) query.set("status", status.value);
    if (name.value.trim()) query.set("name", name.value.trim());
    if (cursor) query.set("cursor", cursor);
    const { result } = await get(`/api/list?${query}`);
    next = result.cursor;
    newer.disabled = cursors.length === 0;
    older.disabled = result.is_done;
    empty.hidden = result.items.length > 0;
    table.hidden = result.items.length === 0;
    const text = JSON.stringify(result.items.map((r) => [r.run_id, r.status, r.completed_at]));
    if (text === shownText) return; // the row that has the focus stays what it is
    shownText = text;
    body.replaceChildren(...result.items.map(row));
  }

  const looking = keepLooking(look, (error) => (problem.textContent = error ? error.message : ""));
}

function row(run) {
  const began = new Date(run.created_at);
  const took = run.completed_at ? duration(new Date(run.completed_at) - began) : "";
  const link = h("a", { href: `/runs/${encodeURIComponent(run.run_id)}` }, run.name);
  return h("tr", { "data-status": run.status }, h("td", {}, link), h("td", { "data-label": "Status" }, h("span", { class: "mark" }, STATUS_WORDS[run.status])),
    h("td", { "data-label": "Started" }, began.toLocaleString()), h("td", { "data-label": "Took" }, took), h("td", { "data-label": "Id" }, h("code", {}, run.run_id)));
}
