import assert from "node:assert/strict";
import { test } from "node:test";
import { by, buttonOf } from "./dom.js";
import { approval } from "../src/approval.js";

const STATE = { k: "approval", run: { id: "r1", name: "trip" }, step: 1, about: [["city", "'Rome'"]], event: "ok", type: "bool", form: { kind: "bool" }, help: null, over: null };

function opened(options = {}) {
  const sent = [];
  const view = approval((m) => sent.push(m), options);
  document.body.append(view.el);
  view.hello();
  return { view, el: view.el, sent };
}

test("a form says what it is for, sends one command that says all, and then what was sent", () => {
  const { view, el, sent } = opened();
  assert.equal(sent[0].k, "hello");
  view.receive(STATE);
  assert.equal(by(el, ".wf-name").textContent, "trip");
  assert.equal(by(el, ".wf-about dd").textContent, "'Rome'");
  buttonOf(el, "Approve").click();
  const { id, ...command } = sent[1];
  assert.deepEqual(command, { k: "cmd", cmd: "send", event: "ok", json: '{"value":true}' });
  assert.equal(buttonOf(el, "Approve").disabled, true);
  view.receive({ k: "ack", id, ok: true, msg: "Sent ok" });
  assert.equal(by(el, ".wf-live").textContent, "Sent ok");
  view.receive({ ...STATE, over: { tone: "good", text: "Sent True at 12:00" } });
  assert.equal(by(el, ".wf-over").textContent, "Sent True at 12:00");
  assert.equal(buttonOf(el, "Approve"), undefined);
  view.stop();
});

test("what the kernel refuses is shown, and can be sent again", () => {
  const { view, el, sent } = opened();
  view.receive(STATE);
  buttonOf(el, "Reject").click();
  view.receive({ k: "ack", id: sent[1].id, ok: false, msg: "no" });
  assert.equal(by(el, ".wf-form [role=alert]").textContent, "no");
  assert.equal(buttonOf(el, "Reject").disabled, false);
  view.stop();
});

test("a saved notebook shows how it ended", () => {
  const { view, el } = opened({ snapshot: { ...STATE, over: { tone: "good", text: "Sent True" } } });
  assert.equal(by(el, ".wf-over").textContent, "Sent True");
  view.stop();
});

test("a form whose kernel has gone says so, and takes no answer", () => {
  const { view, el } = opened();
  view.receive(STATE);
  view.gone();
  assert.match(el.querySelector(".wf-gone").textContent, /The kernel has gone.*Run the notebook's cells again/s);
  assert.deepEqual([...el.querySelectorAll("button, input, textarea, select")].filter((x) => !x.disabled), []);
});
