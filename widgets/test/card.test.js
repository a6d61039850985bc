import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { by, buttonOf, paint, press } from "./dom.js";
import { card } from "../src/card.js";
import { FAILED, RUNNING, SUCCESS } from "../src/reduce.js";

let open = [];
afterEach(() => {
  for (const c of open) {
    c.stop();
    c.el.remove();
  }
  open = [];
});

function opened(rows, run = {}, options = {}) {
  const sent = [];
  const view = card((m) => sent.push(m), options);
  open.push(view);
  document.body.append(view.el);
  view.hello();
  if (rows) view.receive({ k: "snap", seq: 0, now: 1000, run: { id: "r1", name: "trip", status: "in_progress", ...run }, names: ["fetch", "approval", "pay"], rows });
  let seq = 0;
  return { view, el: view.el, sent, delta: (d) => view.receive({ k: "d", seq: ++seq, now: 1100, ...d }), last: () => sent[sent.length - 1] };
}
const FETCHED = [0, 0, 2, SUCCESS, 1, 0, 5, 300];
const WAITS = [1, 1, 4, RUNNING, 0, 300, 300, null, null, null, null, "e1"];
const PAID = [2, 2, 2, FAILED, 3, 400, 500, 600, null, [[410, 420], [440, 450]]];

test("a card says hello, and shows the run once it is told", () => {
  const { el, sent } = opened([FETCHED, PAID]);
  assert.equal(sent[0].k, "hello");
  assert.equal(by(el, ".wf-name").textContent, "trip");
  assert.equal(by(el, ".wf-status").textContent, "in progress");
  assert.deepEqual([...el.querySelectorAll(".wf-chip:not([hidden])")].map((c) => c.textContent), ["1 failed", "1 done"]);
  const { texts } = paint();
  for (const text of ["fetch", "pay", "0.29 s", "×3  0.10 s"]) assert.ok(texts.includes(text), text);
});

test("a gap asks for everything again", () => {
  const { view, last } = opened([FETCHED]);
  view.receive({ k: "d", seq: 5, rows: [PAID] });
  assert.equal(last().k, "hello");
});

test("of ten thousand steps only those are drawn that are seen", () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => [i, i % 3, 2, i % 50 ? SUCCESS : FAILED, 1, i, i + 1, i + 9]);
  const { el } = opened(rows);
  const { texts } = paint();
  assert.ok(texts.filter((t) => ["fetch", "approval", "pay"].includes(t)).length <= 20);
  assert.ok(el.querySelectorAll("[role=option]").length <= 20);
  assert.equal(by(el, "[role=option]").getAttribute("aria-setsize"), "10000");
});

test("the list of steps is read out and moved through by keys", () => {
  const { el, last } = opened([FETCHED, WAITS, PAID]);
  paint();
  const list = by(el, "[role=listbox]");
  assert.equal(list.getAttribute("tabindex"), "0");
  assert.equal(by(el, "[role=option]").getAttribute("aria-label"), "Step 0, fetch, action, success, 0.29 s");
  press(list, "ArrowDown");
  press(list, "ArrowDown");
  paint();
  assert.equal(list.getAttribute("aria-activedescendant"), el.querySelector("[aria-selected=true]").id);
  assert.equal(el.querySelector("[aria-selected=true]").dataset.step, "1");
  assert.deepEqual([last().k, last().step], ["details", 1]);
  press(list, "End");
  assert.equal(last().step, 2);
  press(list, "Escape");
  assert.equal(by(el, ".wf-details").hidden, true);
});

test("keys zoom and pan, and Home shows all again", () => {
  const { el } = opened([FETCHED, PAID], { status: "completed", ended: 600 });
  paint();
  const list = by(el, "[role=listbox]");
  const zoom = () => by(el, ".wf-timeline").dataset.zoom;
  press(list, "+");
  const [from, to] = zoom().split(" ").map(Number);
  assert.ok(Math.abs(to - from - 360) < 1);
  press(list, "ArrowRight");
  assert.ok(Number(zoom().split(" ")[0]) > from);
  press(list, "Home");
  assert.equal(zoom(), "all");
  press(list, "-");
  assert.equal(zoom(), "all");
});

test("details show arguments, error with its traceback, log and progress", () => {
  const { el, view, delta } = opened([FETCHED, PAID]);
  press(by(el, "[role=listbox]"), "End");
  view.receive({ k: "details", step: 0, result: "another step's" });
  view.receive({ k: "details", step: 2, args: [["amount", "12"]], error: { type: "ValueError", message: "<b>no</b>", traceback: "Traceback …" }, log: [[0, "asked"]], tries: [[1, "Timeout"]] });
  const pane = by(el, ".wf-details");
  for (const text of ["amount", "12", "ValueError: <b>no</b>", "Traceback …", "asked", "attempt 1"]) assert.ok(pane.textContent.includes(text), text);
  assert.ok(!pane.textContent.includes("another step's"));
  assert.equal(by(pane, ".wf-message b").textContent, "ValueError");
  delta({ live: [[2, 3, 12, "rows", 1]] });
  const bar = by(pane, "[role=progressbar]");
  assert.deepEqual(["aria-valuenow", "aria-valuemax"].map((a) => bar.getAttribute(a)), ["3", "12"]);
});

test("a step that waits for a bool is answered by one click and one message", () => {
  const { el, view, sent, last } = opened([FETCHED, WAITS]);
  assert.deepEqual([last().k, last().step], ["form", 1]);
  view.receive({ k: "form", step: 1, event: "approval", type: "bool", form: { kind: "bool" } });
  buttonOf(el, "Approve").click();
  const message = last();
  assert.deepEqual({ ...message, id: "" }, { k: "cmd", id: "", run: "r1", cmd: "send", step: 1, event: "approval", json: '{"value":true}' });
  assert.equal(buttonOf(el, "Approve").disabled, true);
  const count = sent.length;
  buttonOf(el, "Approve").click();
  assert.equal(sent.length, count);
  view.receive({ k: "ack", id: message.id, ok: false, msg: "it was answered already" });
  assert.equal(by(el, ".wf-live").textContent, "it was answered already");
  assert.equal(buttonOf(el, "Approve").disabled, false);
});

test("the form goes when the event has come", () => {
  const { el, view, delta } = opened([WAITS]);
  view.receive({ k: "form", step: 1, event: "approval", type: "bool", form: { kind: "bool" } });
  assert.ok(by(el, "form"));
  delta({ rows: [[1, 1, 4, SUCCESS, 0, 300, 300, 700]] });
  assert.equal(by(el, "form"), null);
  assert.equal(by(el, ".wf-approvals").hidden, true);
});

test("cancel asks first", () => {
  const { el, sent, last } = opened([FETCHED]);
  const count = sent.length;
  buttonOf(el, "Cancel").click();
  assert.equal(sent.length, count);
  assert.equal(by(el, "[role=alertdialog]").hidden, false);
  buttonOf(el, "Keep it running").click();
  assert.equal(by(el, ".wf-ask").hidden, true);
  buttonOf(el, "Cancel").click();
  buttonOf(el, "Cancel the run").click();
  assert.equal(last().cmd, "cancel");
});

test("a step is restarted from once the run has ended, and forked from any time", () => {
  const { el, view, delta, last } = opened([FETCHED, PAID]);
  press(by(el, "[role=listbox]"), "End");
  assert.equal(buttonOf(el, "Restart from here").disabled, true);
  buttonOf(el, "Fork from here").click();
  assert.deepEqual([last().k, last().step], ["fork", 2]);
  view.receive({ k: "fork", step: 2, run: "r1", form: { kind: "object", fields: [] } });
  assert.deepEqual([last().cmd, last().step], ["fork", 2]);
  delta({ run: { status: "failed", ended: 700, error: { type: "ValueError", message: "no" } } });
  assert.equal(by(el, ".wf-status").textContent, "failed");
  assert.equal(by(el, ".wf-outcome").textContent, "ValueError: no");
  buttonOf(el, "Restart from here").click();
  assert.deepEqual([last().cmd, last().step], ["restart", 2]);
  buttonOf(el, "Resume").click();
  assert.equal(last().cmd, "resume");
  assert.equal(buttonOf(el, "Cancel"), undefined);
});

test("an event is sent by name with JSON; what is none is not sent", () => {
  const { el, view, sent, last } = opened([FETCHED]);
  buttonOf(el, "Send event").click();
  const form = by(el, ".wf-sender form");
  const [name, value] = form.querySelectorAll("input, textarea");
  name.value = "go";
  value.value = "{bad";
  const count = sent.length;
  form.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  assert.equal(sent.length, count);
  assert.match(by(form, "[role=alert]").textContent, /no JSON/);
  value.value = '{"a": 1}';
  form.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  assert.deepEqual({ ...last(), id: "" }, { k: "cmd", id: "", run: "r1", cmd: "send", step: null, event: "go", json: '{"value":{"a": 1}}' });
  view.receive({ k: "ack", id: last().id, ok: true, msg: "Sent go" });
  assert.equal(by(el, ".wf-sender").hidden, true);
});

const GUEST = { kind: "object", fields: [{ name: "age", title: "Age", kind: "int", required: true }] };
const ARGUMENTS = { kind: "object", fields: [
  { name: "city", title: "city", kind: "text", now: '"Rome"', required: true },
  { name: "days", title: "days", kind: "int", now: "3" },
  { name: "guests", title: "guests", kind: "list", item: GUEST, items: [{ ...GUEST, fields: [{ ...GUEST.fields[0], now: "4" }] }], now: '[{"age":4}]' },
  { name: "model", title: "model", kind: "kept", text: "<Model>" },
] };

test("a fork is sent with the arguments that were changed, and none other", () => {
  const { el, view, last, sent } = opened([FETCHED, PAID]);
  buttonOf(el, "Fork").click();
  assert.deepEqual({ ...last(), view: "" }, { k: "fork", step: null, view: "" });
  view.receive({ k: "fork", step: 2, run: "r1", form: ARGUMENTS });
  assert.equal(by(el, ".wf-forker").hidden, true, "another view's");
  view.receive({ k: "fork", step: null, run: "r1", form: ARGUMENTS });
  const form = by(el, ".wf-forker form");
  assert.ok(form.textContent.includes("<Model>"));
  const [city, days, age] = form.querySelectorAll("input");
  assert.deepEqual([city.value, days.value, age.value], ["Rome", "3", "4"]);
  days.value = "";
  age.value = "5";
  const submit = () => form.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  submit();
  const message = last();
  assert.deepEqual({ ...message, id: "" }, { k: "cmd", id: "", run: "r1", cmd: "fork", step: null, json: '{"args":{"guests":[{"age":5}]},"unset":["days"]}' });
  assert.equal(buttonOf(form, "Fork").disabled, true);
  view.receive({ k: "ack", id: message.id, ok: false, msg: "no", errors: [{ loc: ["guests", 0, "age"], msg: "too young" }] });
  assert.equal(age.getAttribute("aria-invalid"), "true");
  assert.ok(form.textContent.includes("too young"));
  submit();
  view.receive({ k: "ack", id: last().id, ok: true, msg: "Forked as r2", made: "r2" });
  assert.equal(by(el, ".wf-forker").hidden, true);
  assert.equal(by(el, ".wf-live").textContent, "Forked as r2");
  buttonOf(el, "Open it").click();
  assert.deepEqual([last().cmd, last().other, last().run], ["open", "r2", "r1"]);
  assert.ok(sent.length > 0);
});

test("a run that cannot be forked says why", () => {
  const { el, view } = opened([FETCHED]);
  buttonOf(el, "Fork").click();
  view.receive({ k: "fork", step: null, problem: "run its cell" });
  assert.equal(by(el, ".wf-live").textContent, "run its cell");
  assert.equal(by(el, ".wf-forker").hidden, true);
});

const CALLS = [1, 1, 3, RUNNING, 0, 300, 300, null, null, null, "r2"];
const CHILD = { k: "snap", seq: 40, now: 9, run: { id: "r2", name: "leg", status: "completed", ended: 8, result: "1" }, names: ["ride"], rows: [[0, 0, 2, SUCCESS, 1, 0, 1, 7]], path: [["r1", "trip"]] };

test("a child run is opened in the card and left again, by keys or by buttons", () => {
  const { el, view, last, delta } = opened([FETCHED, CALLS, PAID]);
  paint();
  const list = by(el, "[role=listbox]");
  press(list, "ArrowDown");
  const count = () => last().id;
  const before = count();
  press(list, "Enter");
  assert.equal(count(), before, "an action has no run to open");
  press(list, "ArrowDown");
  buttonOf(el, "Open child run").click();
  assert.deepEqual([last().cmd, last().other, last().run], ["open", "r2", "r1"]);
  press(list, "Enter");
  assert.deepEqual([last().cmd, last().other], ["open", "r2"]);
  view.receive(CHILD);
  assert.deepEqual([by(el, ".wf-name").textContent, by(el, ".wf-status").textContent, by(el, ".wf-outcome").textContent], ["leg", "completed", "result1"]);
  assert.equal(by(el, ".wf-details").hidden, true);
  assert.equal(by(el, ".wf-live").textContent, "");
  paint();
  assert.equal(el.querySelectorAll("[role=option]").length, 1);
  view.receive({ k: "d", seq: 41, now: 10, run: { status: "in_progress", ended: null } });
  assert.equal(by(el, ".wf-status").textContent, "in progress");
  press(list, "Backspace");
  assert.deepEqual([last().cmd, last().other, last().run], ["open", "r1", "r2"]);
  buttonOf(el, "trip").click();
  assert.deepEqual([last().cmd, last().other], ["open", "r1"]);
  view.receive({ k: "snap", seq: 1, now: 1100, run: { id: "r1", name: "trip", status: "in_progress" }, names: ["fetch", "approval", "pay"], rows: [FETCHED, CALLS, PAID], path: [] });
  assert.equal(by(el, ".wf-trail").hidden, true);
  assert.equal(by(el, ".wf-details").dataset.step, "1", "the step that one came from");
  delta({ rows: [PAID] });
  assert.equal(by(el, ".wf-name").textContent, "trip");
});

test("the log says of each line where it comes from", () => {
  const { el, view } = opened([FETCHED]);
  press(by(el, "[role=listbox]"), "End");
  view.receive({ k: "details", step: 0, log: [[0, "asked", "log"], [1, "printed", "stdout"], [2, "warned", "stderr"]] });
  assert.deepEqual([...el.querySelectorAll(".wf-log div")].map((d) => [d.dataset.kind, ...[...d.children].slice(1).map((part) => part.textContent)]), [["log", "log", "asked"], ["stdout", "out", "printed"], ["stderr", "err", "warned"]]);
});

test("a chip filters by status, and again shows all", () => {
  const { el } = opened([FETCHED, WAITS, PAID]);
  const chip = [...el.querySelectorAll(".wf-chip")].find((c) => c.textContent.includes("failed"));
  chip.click();
  paint();
  assert.equal(chip.getAttribute("aria-pressed"), "true");
  assert.equal(el.querySelectorAll("[role=option]").length, 1);
  chip.click();
  paint();
  assert.equal(el.querySelectorAll("[role=option]").length, 3);
});

test("a saved snapshot is shown while no kernel answers", () => {
  const snapshot = { seq: 9, now: 10, run: { id: "r1", name: "saved", status: "completed", ended: 300 }, names: ["fetch"], rows: [FETCHED] };
  const { el } = opened(null, {}, { snapshot });
  assert.equal(by(el, ".wf-name").textContent, "saved");
  assert.equal(by(el, ".wf-status").textContent, "completed");
});

test("another view's answers are not this one's", () => {
  const { el, view } = opened([FETCHED]);
  view.receive({ k: "ack", id: "other-1", ok: false, msg: "no" });
  assert.equal(by(el, ".wf-live").textContent, "");
});

test("a closed view says bye", () => {
  const { view, last } = opened([FETCHED]);
  view.stop();
  assert.equal(last().k, "bye");
});

// -- the kernel has gone --

test("a card whose kernel has gone says so, stops its clock and takes no clicks", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  let now = performance.now();
  t.mock.method(performance, "now", () => now);
  const { view, el, sent } = opened([FETCHED, WAITS]);
  view.receive({ k: "form", step: 1, event: "approval", type: "bool", form: { kind: "bool" } });
  now += 2000;
  view.gone();
  now += 5000;
  t.mock.timers.tick(1000);
  assert.equal(by(el, ".wf-gone").hidden, false);
  assert.match(by(el, ".wf-gone").textContent, /The kernel has gone.*the run goes on from where it was/s);
  assert.equal(by(el, ".wf-status").textContent, "last seen in progress");
  assert.equal(by(el, ".wf-elapsed").textContent, "3.00 s");
  assert.deepEqual([...el.querySelectorAll(".wf-header button, .wf-approvals button, .wf-approvals input")].filter((x) => !x.disabled && !x.hidden), []);
  const before = sent.length;
  press(by(el, "[role=listbox]"), "Backspace");
  assert.equal(sent.length, before);
});

test("a click that was on its way when the kernel went is not waited for", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { view, el } = opened([PAID], { status: "failed", ended: 700 });
  buttonOf(el, "Resume").click();
  assert.equal(by(el, ".wf-live").textContent, "…");
  view.gone();
  t.mock.timers.tick(60_000);
  assert.equal(by(el, ".wf-live").textContent, "");
  assert.match(by(el, ".wf-gone").textContent, /Show the run again/);
});

test("a step that is chosen after the kernel has gone shows what is known of it", () => {
  const { view, el } = opened([FETCHED, PAID], { status: "failed", ended: 700 });
  view.gone();
  paint();
  by(el, "[role=listbox]").focus();
  press(by(el, "[role=listbox]"), "ArrowDown");
  assert.match(by(el, ".wf-details").textContent, /action · success/);
  assert.match(by(el, ".wf-details").textContent, /Its values are in the journal/);
  assert.deepEqual([...el.querySelectorAll(".wf-details .wf-buttons button")].map((b) => b.disabled), [true, true]);
  assert.equal(by(el, ".wf-details [aria-label='Close the details']").disabled, false);
});

test("a saved card of a run that was in progress says nothing false", () => {
  const { view, el } = opened(null);
  view.gone();
  assert.equal(by(el, ".wf-main").hidden, true);
  assert.equal(by(el, ".wf-gone").hidden, false);
});

// -- the details of a run that failed, or was deleted --

test("an error of the body has its traceback, and keeps its lines", () => {
  const error = { type: "NondeterminismError", message: "the body has changed\n  recorded  a()\n  requested b()", traceback: "Traceback\n  Cell In[3], line 2, in trip\n" };
  const { el } = opened([], { status: "failed", ended: 5, error });
  assert.equal(by(el, ".wf-outcome .wf-message").textContent, `NondeterminismError: ${error.message}`);
  assert.equal(by(el, ".wf-outcome .wf-trace").textContent, error.traceback);
  assert.equal(by(el, ".wf-empty").textContent, "No steps");
});

test("a run that was deleted is shown as it was, with no button for it", () => {
  const { view, el, delta } = opened([FETCHED], { status: "completed", ended: 400 });
  assert.ok(buttonOf(el, "Fork"));
  delta({ run: { deleted: true } });
  assert.equal(by(el, ".wf-status").textContent, "completed");
  assert.match(by(el, ".wf-note").textContent, /deleted from the journal/);
  assert.equal(by(el, ".wf-note").hidden, false);
  assert.deepEqual([...el.querySelectorAll(".wf-actions button")].filter((b) => !b.hidden), []);
  assert.equal(by(el, ".wf-live").textContent, "");
  assert.equal(view.state.steps.length, 1);
});

test("a run of which nothing is known but that it was deleted says just that", () => {
  const { el } = opened([], { status: "deleted", deleted: true });
  assert.equal(by(el, ".wf-status").textContent, "deleted");
  assert.equal(by(el, ".wf-elapsed").textContent, "");
  assert.equal(by(el, ".wf-outcome").hidden, true);
});

test("the details of a running step tick", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  let now = performance.now();
  t.mock.method(performance, "now", () => now);
  const { el } = opened([[0, 0, 2, RUNNING, 1, 0, 0]]);
  paint();
  by(el, "[role=listbox]").focus();
  press(by(el, "[role=listbox]"), "ArrowDown");
  assert.equal(by(el, ".wf-facts").textContent, "action · running · 1.00 s");
  now += 1500;
  t.mock.timers.tick(100);
  assert.equal(by(el, ".wf-facts").textContent, "action · running · 2.50 s");
});

test("instants in the details are in the browser's own time, with its zone in the tooltip", () => {
  const { view, el } = opened([FETCHED]);
  paint();
  by(el, "[role=listbox]").focus();
  press(by(el, "[role=listbox]"), "ArrowDown");
  const at = new Date(2026, 10, 21, 2, 39, 46, 120).getTime();
  view.receive({ k: "details", step: 0, times: [["started", at]], log: [[at, "so far so good", "log"]] });
  const shown = by(el, ".wf-details .wf-small time");
  assert.equal(shown.textContent, "2026-11-21 02:39:46.120");
  assert.match(shown.title, /UTC[+−]\d\d:\d\d/);
  assert.equal(by(el, ".wf-log time").textContent, "02:39:46.120");
  assert.match(by(el, ".wf-log time").title, /^2026-11-21 02:39:46/);
});
