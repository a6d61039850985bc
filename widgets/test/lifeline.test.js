import assert from "node:assert/strict";
import { test } from "node:test";
import "./dom.js";
import { GONE, lifeline } from "../src/lifeline.js";

/** As anywidget hands it on; `kernel` is what JupyterLab's widget manager has besides. */
function made({ isSaved = false, send = () => {} } = {}) {
  const heard = new Map();
  const signal = { slots: new Set(), connect: (slot) => signal.slots.add(slot), disconnect: (slot) => signal.slots.delete(slot) };
  const model = { send, on: (name, f) => heard.set(name, f), off: (name) => heard.delete(name), widget_manager: { kernel: { statusChanged: signal } } };
  const el = document.createElement("div");
  if (isSaved) el.className = "jupyter-widgets jupyter-widgets-disconnected";
  const line = lifeline({ model, el });
  let times = 0;
  const unwatch = line.watch(() => times++);
  return { line, heard, signal, unwatch, times: () => times };
}

test("a restart that ipywidgets tells of is told once", () => {
  const { heard, signal, times } = made();
  assert.equal(times(), 0);
  heard.get("comm_live_update")();
  for (const slot of signal.slots) slot(null, "restarting");
  assert.equal(times(), 1);
});

test("a kernel that died by itself is told of by JupyterLab's connection", () => {
  const { signal, times } = made();
  for (const status of ["busy", "idle", "unknown"]) for (const slot of signal.slots) slot(null, status);
  assert.equal(times(), 0);
  for (const slot of signal.slots) slot(null, "autorestarting");
  assert.equal(times(), 1);
});

test("a message that cannot be sent says that the kernel has gone, and is no error of the page", () => {
  let tries = 0;
  const { line, times } = made({ send: () => { tries++; throw new Error("Cannot send"); } });
  line.send({ k: "cmd" });
  line.send({ k: "cmd" });
  assert.deepEqual([times(), tries], [1, 1]);
});

test("a widget that is drawn from a saved notebook never had a kernel", () => {
  assert.equal(made({ isSaved: true }).times(), 1);
});

test("a view that was taken away listens no more", () => {
  const { heard, signal, unwatch } = made();
  unwatch();
  assert.deepEqual([heard.size, signal.slots.size], [0, 0]);
});

test("a page without JupyterLab's manager will do", () => {
  const model = { send() {}, on() {}, off() {} };
  lifeline({ model, el: document.createElement("div") }).watch(() => assert.fail("nothing has gone"))();
  assert.match(GONE, /kernel/);
});
