// What a run's page draws, from what the server says.
import assert from "node:assert/strict";
import { test } from "node:test";
import "./dom.js";
import { EMPTY, STATUSES, reduce } from "../src/reduce.js";
import { snapshot } from "../src/web_run.js";

const step = (n, more) => ({ step_number: n, name: "fetch", kind: "action", status: "success", attempts: 1, scheduled_at: null, started_at: null, completed_at: null, ...more });

test("the server's steps are drawn as a kernel's would be", () => {
  const t0 = Date.parse("2026-01-01T00:00:00Z");
  const run = { run_id: "r1", name: "trip", status: "in_progress", completed_at: null };
  const steps = [
    step(0, { scheduled_at: "2026-01-01T00:00:01Z", started_at: "2026-01-01T00:00:02Z", completed_at: "2026-01-01T00:00:03.5Z" }),
    step(1, { kind: "event", name: "ok", status: "running", scheduled_at: "2026-01-01T00:00:04Z" }),
  ];
  const { state } = reduce(EMPTY, snapshot({ run, steps }, t0));
  assert.deepEqual(state.names, ["fetch", "ok"]);
  assert.deepEqual([state.steps[0].scheduled, state.steps[0].started, state.steps[0].ended], [1000, 2000, 3500]);
  assert.equal(STATUSES[state.steps[1].status], "running");
  assert.deepEqual(state.waiting, [1]);
  assert.equal(state.run.ended, null);
  assert.equal(state.last, 4000);
});

test("of a run that begins late in its list, the numbers stay", () => {
  const run = { run_id: "r1", name: "trip", status: "completed", completed_at: "2026-01-01T00:00:09Z" };
  const { state } = reduce(EMPTY, snapshot({ run, steps: [step(40), step(41)] }, Date.parse("2026-01-01T00:00:00Z")));
  assert.equal(state.steps.length, 42);
  assert.equal(state.steps[41].number, 41);
  assert.equal(state.run.ended, 9000);
});
