import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { by, buttonOf, press } from "./dom.js";
import { dashboard } from "../src/dashboard.js";

const ROWS = [["r1", "order", "failed", 1000, 3000, "ValueError: no <b>table</b>"], ["r2", "order", "in_progress", 2000, null, "waits for event go"], ["r3", "report", "completed", 500, 1500, null]];
const COUNTS = { failed: 1, in_progress: 1, canceled: 0, completed: 1 };

const views = [];
afterEach(() => views.splice(0).forEach((view) => view.stop())); // else its clock keeps the process

function opened({ embed = async () => () => {}, ...more } = {}) {
  const sent = [];
  const view = dashboard((m) => sent.push(m), { embed });
  views.push(view);
  document.body.append(view.el);
  const el = view.el;
  const answer = (change = {}) => view.receive({ k: "page", view: el.dataset.view, n: view.state.n, now: 5000, path: "journal.duckdb", page: view.state.look.page, size: 50, total: 3, rows: ROWS, counts: COUNTS, names: [["order", 2], ["report", 1]], ...more, ...change });
  view.hello();
  answer();
  return { view, el, sent, answer, last: () => sent.at(-1) };
}
const cells = (el) => [...el.querySelectorAll(".wf-runs tbody tr")].map((tr) => [...tr.children].slice(1).map((td) => td.textContent.trim()));
const tick = (el, id) => by(el, `tr[data-run=${id}] input`).click();

test("a page is a table that assistive technology can read", () => {
  const { view, el, sent } = opened();
  assert.deepEqual(sent[0], { k: "look", view: el.dataset.view, n: 1, look: { names: [], statuses: [], text: "", sort: "created", desc: true, page: 0 } });
  const [first, second] = cells(el);
  assert.deepEqual([first[0], first[1], first[2], first[4], first[5]], ["✕ failed", "r1", "order", "2.00 s", "ValueError: no <b>table</b>"]);
  assert.equal(second[4], "3 s", "one in progress has lasted until the kernel's now");
  assert.deepEqual([...el.querySelectorAll(".wf-runs thead th")].map((th) => th.getAttribute("scope")), Array(7).fill("col"));
  assert.equal(by(el, "tr[data-run=r1] th").getAttribute("scope"), "row");
  assert.equal(by(el, "th[data-sort=created]").getAttribute("aria-sort"), "descending");
  assert.equal(by(el, "th[data-sort=name]").getAttribute("aria-sort"), "none");
  assert.equal(by(el, "tr[data-run=r1] input").getAttribute("aria-label"), "Select run r1");
  assert.equal(by(el, ".wf-told").textContent, "50 % failed");
  assert.equal(by(el, ".wf-counts [data-state=failed]").textContent, "✕1 failed");
  assert.equal(by(el, ".wf-pager").hidden, true);
  views.pop().stop();
  assert.equal(sent.at(-1).k, "bye");
});

test("filters, orders and pages are asked for, and shown once they are answered", () => {
  const { view, el, last, answer } = opened({ total: 120 });
  by(el, ".wf-counts [data-state=failed]").click();
  assert.deepEqual([last().look.statuses, last().n], [["failed"], 2]);
  answer();
  assert.equal(by(el, ".wf-counts [data-state=failed]").getAttribute("aria-pressed"), "true");
  by(el, ".wf-names [data-name=report]").click();
  assert.deepEqual(last().look.names, ["report"]);
  buttonOf(el, "Took").click();
  assert.deepEqual([last().look.sort, last().look.desc], ["duration", true]);
  answer();
  assert.equal(by(el, "th[data-sort=duration]").getAttribute("aria-sort"), "descending");
  by(el, "[aria-label='Last page']").click();
  assert.equal(last().look.page, 2);
  answer();
  assert.equal(by(el, ".wf-range").textContent, "101–103 of 120 runs");
  assert.equal(by(el, "[aria-label='Last page']").disabled, true);
  press(by(el, "tr[data-run=r1] .wf-link"), "PageUp");
  assert.equal(last().look.page, 1);
});

test("typing asks once, after a moment", () => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const { view, el, sent } = opened();
  const search = by(el, ".wf-search");
  for (const text of ["r", "ra", "rates "]) {
    search.value = text;
    search.dispatchEvent(new Event("input"));
    mock.timers.tick(100);
  }
  assert.equal(sent.length, 1);
  mock.timers.tick(250);
  assert.deepEqual([sent.length, sent[1].look.text], [2, "rates"]);
  mock.timers.tick(10_000);
  assert.match(by(el, ".wf-live").textContent, /^The kernel has not answered yet; it may be busy, or was restarted/);
  mock.timers.reset();
});

test("news are asked for at once, but by a page that nobody sees only when it is seen again", () => {
  const { view, el, sent, answer } = opened();
  const news = { k: "news", view: el.dataset.view };
  view.receive({ ...news, view: "another" });
  assert.equal(sent.length, 1);
  view.receive(news);
  assert.equal(sent.length, 2);
  answer();
  view.see(false);
  view.receive(news);
  assert.equal(sent.length, 2);
  view.see(true);
  assert.equal(sent.length, 3);
});

test("rows keep their place, their tick and the focus when the page is told again", () => {
  const { view, el, answer } = opened();
  tick(el, "r2");
  const tr = by(el, "tr[data-run=r2]");
  by(tr, ".wf-link").focus();
  const rows = [["r4", "order", "in_progress", 9000, null, null], ROWS[1].with(2, "completed").with(4, 9500), ROWS[0]];
  view.receive({ k: "news", view: el.dataset.view });
  answer({ rows });
  assert.equal(by(el, "tr[data-run=r2]"), tr);
  assert.equal(by(tr, "td.wf-state").textContent, "✓ completed");
  assert.equal(document.activeElement, by(tr, ".wf-link"));
  assert.equal(by(tr, "input").checked, true);
  assert.deepEqual(cells(el).map((row) => row[1]), ["r4", "r2", "r1"]);
  press(document.activeElement, "ArrowDown");
  assert.equal(document.activeElement, by(el, "tr[data-run=r1] .wf-link"));
});

test("all of a page are selected by one tick, and others stay selected", () => {
  const { view, el, answer } = opened({ total: 120 });
  by(el, "thead input").click();
  assert.equal(by(el, ".wf-chosen").textContent, "3 runs selected");
  by(el, "[aria-label='Next page (Page Down)']").click();
  answer({ rows: [["r9", "order", "completed", 1, 2, null]] });
  assert.equal(by(el, ".wf-chosen").textContent, "3 runs selected (3 on other pages)");
  assert.equal(by(el, "thead input").checked, false);
  buttonOf(el, "Clear").click();
  assert.equal(by(el, ".wf-chosen").textContent, "No run selected");
  assert.equal(buttonOf(el, "Cancel").disabled, true);
});

test("cancel asks first, and the answer says what happened to each", () => {
  const { view, el, sent, last, answer } = opened();
  tick(el, "r1");
  tick(el, "r2");
  buttonOf(el, "Cancel").click();
  assert.equal(sent.length, 1);
  assert.equal(by(el, ".wf-ask").getAttribute("role"), "alertdialog");
  assert.equal(document.activeElement.textContent, "Keep them running");
  press(document.activeElement, "Escape");
  assert.equal(by(el, ".wf-ask").hidden, true);
  buttonOf(el, "Cancel").click();
  buttonOf(el, "Cancel 2 runs").click();
  const { id, ...command } = last();
  assert.deepEqual(command, { k: "cmd", cmd: "cancel", runs: ["r1", "r2"] });
  assert.equal(buttonOf(el, "Restart").disabled, true, "one command at a time");
  view.receive({ k: "progress", id, done: 1, total: 2 });
  assert.equal(by(el, ".wf-live").textContent, "1 of 2 runs …");
  view.receive({ k: "ack", id: "another", ok: true, msg: "x", results: [] });
  view.receive({ k: "ack", id, ok: false, msg: "1 canceled, 1 had ended already", results: [["r2", true, "canceled"], ["r1", false, "had ended already"]] });
  assert.equal(by(el, ".wf-live").textContent, "1 canceled, 1 had ended already");
  assert.equal(by(el, ".wf-results li").textContent, "r1 had ended already");
  assert.equal(by(el, ".wf-chosen").textContent, "1 run selected", "what was not done stays selected");
  assert.equal(buttonOf(el, "Restart").disabled, false);
  view.receive({ k: "news", view: el.dataset.view });
  answer();
  assert.equal(by(el, ".wf-live").textContent, "1 canceled, 1 had ended already", "the next page does not wipe it away");
});

test("restart does not ask, clean up does", () => {
  const { view, el, last } = opened();
  tick(el, "r1");
  buttonOf(el, "Restart").click();
  assert.deepEqual([last().cmd, last().runs], ["restart", ["r1"]]);
  view.receive({ k: "ack", id: last().id, ok: true, msg: "1 restarted", results: [["r1", true, "restarted"]] });
  tick(el, "r3");
  buttonOf(el, "Clean up").click();
  assert.match(by(el, ".wf-ask").textContent, /^Delete 1 run from the journal.*cannot be undone/);
  buttonOf(el, "Delete 1 run").click();
  assert.deepEqual([last().cmd, last().runs], ["cleanup", ["r3"]]);
});

test("a card is put in place, closed again, and shown below the cell where it cannot be", async () => {
  const taken = [];
  const { view, el, last } = opened({ embed: async (id, place) => {
    if (id === "bad") throw new Error("no manager");
    place.append(id);
    return () => taken.push(id);
  } });
  mock.method(console, "warn", () => {});
  const link = by(el, "tr[data-run=r1] .wf-link");
  link.click();
  assert.deepEqual(last(), { k: "open", view: el.dataset.view, run: "r1" });
  assert.equal(link.getAttribute("aria-expanded"), "true");
  await view.receive({ k: "opened", view: el.dataset.view, run: "r1", card: "m1" });
  assert.equal(by(el, ".wf-opened .wf-box").textContent, "×m1");
  by(el, "[aria-label='Close the card of run r1']").click();
  assert.deepEqual(taken, ["m1"]);
  assert.equal(by(el, ".wf-opened").hidden, true);
  link.click();
  await view.receive({ k: "opened", view: el.dataset.view, run: "r1", card: "bad" });
  assert.deepEqual(last(), { k: "open", view: el.dataset.view, run: "r1", below: true });
  assert.equal(link.getAttribute("aria-expanded"), "false");
});

test("durations of steps are a table with a chart in each row, and with the numbers of the chart", () => {
  const { view, el, last } = opened();
  buttonOf(el, "Step durations").click();
  assert.deepEqual(last(), { k: "steps", view: el.dataset.view, n: 1, name: "order" });
  const times = [["fetch", null, 3, 1, 2000, 4000], ["fetch", 0, 2, 0, 1000, 2000], ["fetch", 1, 1, 1, 4000, 4000], ["parse", null, 1, 0, 5, 5], ["parse", 1, 1, 0, 5, 5]];
  view.receive({ k: "steps", view: el.dataset.view, n: 1, name: "order", start: 0, width: 60_000, left_out: 0, times });
  const rows = [...el.querySelectorAll(".wf-steps tbody tr")].map((tr) => [...tr.children].slice(0, 5).map((c) => c.textContent));
  assert.deepEqual(rows, [["fetch", "3", "1", "2.00 s", "4.00 s"], ["parse", "1", "0", "5 ms", "5 ms"]]);
  const svg = by(el, ".wf-steps svg");
  assert.match(svg.getAttribute("aria-label"), /^fetch: p50 2.00 s, p95 4.00 s/);
  assert.equal(by(svg, ".wf-line-p50").getAttribute("points"), "0.0,22.5 220.0,0.0");
  const numbers = by(el, ".wf-steps details");
  numbers.open = true;
  numbers.dispatchEvent(new Event("toggle"));
  assert.deepEqual([...numbers.querySelectorAll("tbody tr")].map((tr) => [tr.children[0].textContent, tr.children[2].textContent, tr.children[5].textContent]), [["fetch", "2", "2.00 s"], ["fetch", "1", "4.00 s"], ["parse", "1", "5 ms"]]);
  view.receive({ k: "steps", view: el.dataset.view, n: 0, name: "report", start: 0, width: 1, left_out: 0, times: [] });
  assert.equal(by(el, ".wf-steps select").value, "order", "an old answer");
});

test("a journal without runs, and one that is closed, say so", () => {
  const { view, el, answer } = opened({ rows: [], total: 0, names: [] });
  assert.equal(by(el, ".wf-empty-list").textContent, "There are no runs yet");
  view.receive({ k: "news", view: el.dataset.view });
  view.receive({ k: "page", view: el.dataset.view, n: view.state.n, problem: "the journal is closed" });
  assert.equal(by(el, ".wf-live").textContent, "the journal is closed");
  assert.equal(by(el, ".wf-live").dataset.tone, "bad");
  view.receive({ k: "news", view: el.dataset.view });
  answer({ rows: [], total: 0 });
  assert.equal(by(el, ".wf-live").textContent, "");
});

test("a dashboard whose kernel has gone says so, stops its clock and takes no questions", (t) => {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  let now = performance.now();
  t.mock.method(performance, "now", () => now);
  const { view, el, sent } = opened();
  by(el, ".wf-search").value = "x";
  by(el, ".wf-search").dispatchEvent(new Event("input"));
  view.gone();
  const before = sent.length;
  now += 60_000;
  t.mock.timers.tick(60_000);
  assert.equal(sent.length, before);
  assert.equal(cells(el)[1][4], "3 s");
  assert.match(by(el, ".wf-gone").textContent, /The kernel has gone.*Run the cell again/s);
  assert.equal(by(el, ".wf-live").textContent, "");
  assert.deepEqual([...el.querySelectorAll("button, input")].filter((x) => !x.disabled), []);
});

test("when a run started is in the browser's time, with its zone in the tooltip", () => {
  const { el } = opened();
  assert.match(by(el, "tr[data-run=r1] time").title, /UTC[+−]\d\d:\d\d/);
});
