import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, FAILED, RUNNING, SUCCESS, duration, reduce, visible } from "../src/reduce.js";

const snap = (extra = {}) => ({
  k: "snap", seq: 3, now: 50, run: { id: "r1", name: "trip", status: "in_progress" }, names: ["fetch", "ok?"],
  rows: [[0, 0, 2, SUCCESS, 1, 0, 1, 20], [1, 1, 4, RUNNING, 0, 20, 20, null, null, null, null, "e1"]], ...extra,
});
const loaded = (extra) => reduce(EMPTY, snap(extra)).state;

test("a snapshot replaces whatever was known", () => {
  const first = loaded();
  const { state, ask } = reduce(first, snap({ seq: 9, rows: [[4, 0, 2, FAILED, 2]] }));
  assert.equal(ask, null);
  assert.equal(state.seq, 9);
  assert.deepEqual(visible(state, { status: null }), [4]);
  assert.deepEqual(state.counts, [0, 0, 0, 1, 0]);
  assert.deepEqual(state.waiting, []);
});

test("a delta changes the steps that it names and leaves the old state as it was", () => {
  const before = loaded();
  const { state } = reduce(before, { k: "d", seq: 4, now: 80, names: ["pay"], rows: [[1, 1, 4, SUCCESS, 0, 20, 20, 70], [2, 2, 2, RUNNING, 1, 70, 71]] });
  assert.equal(state.steps[1].status, SUCCESS);
  assert.equal(state.names[state.steps[2].name], "pay");
  assert.deepEqual(state.counts, [0, 1, 2, 0, 0]);
  assert.deepEqual(state.waiting, []);
  assert.equal(state.last, 71);
  assert.equal(before.steps[1].status, RUNNING);
  assert.equal(before.steps.length, 2);
  assert.deepEqual(before.waiting, [1]);
});

test("a delta of the run keeps what it does not name", () => {
  const { state } = reduce(loaded(), { k: "d", seq: 4, run: { status: "completed" } });
  assert.deepEqual(state.run, { id: "r1", name: "trip", status: "completed" });
});

test("a gap asks for everything again, once, and what comes meanwhile is not believed", () => {
  const { state, ask } = reduce(loaded(), { k: "d", seq: 6, rows: [[7, 0, 2, FAILED]] });
  assert.deepEqual(ask, { k: "hello", seq: 3 });
  assert.equal(state.steps[7], undefined);
  const next = reduce(state, { k: "d", seq: 7, rows: [[8, 0, 2, FAILED]] });
  assert.equal(next.ask, null);
  assert.equal(next.state, state);
  assert.equal(reduce(next.state, snap({ seq: 7 })).state.isLoaded, true);
});

test("a delta that a snapshot has told already changes nothing", () => {
  const before = loaded();
  for (const seq of [2, 3]) assert.equal(reduce(before, { k: "d", seq, rows: [[0, 0, 2, FAILED]] }).state, before);
});

test("deltas before the first snapshot, and other messages, change nothing", () => {
  assert.equal(reduce(EMPTY, { k: "d", seq: 0, rows: [[0, 0, 2, FAILED]] }).state, EMPTY);
  assert.equal(reduce(EMPTY, { k: "ack", id: "1" }).state, EMPTY);
});

test("any way of cutting a history into deltas gives the same steps", () => {
  const rows = Array.from({ length: 60 }, (_, i) => [i % 20, i % 2, 2, i % 5, 1, i, i + 1]);
  const whole = reduce(loaded(), { k: "d", seq: 4, rows }).state;
  let seed = 7;
  for (let round = 0; round < 50; round++) {
    let state = loaded();
    for (let i = 0; i < rows.length; ) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      const n = 1 + (seed % 9);
      state = reduce(state, { k: "d", seq: state.seq + 1, rows: rows.slice(i, i + n) }).state;
      i += n;
    }
    assert.deepEqual(state.steps, whole.steps);
    assert.deepEqual(state.counts, whole.counts);
  }
});

test("progress is kept by step", () => {
  const { state } = reduce(loaded(), { k: "d", seq: 4, live: [[1, 3, 10, "rows", 2]] });
  assert.deepEqual(state.live.get(1), { done: 3, total: 10, text: "rows", logLines: 2 });
});

test("a filter by status and by name", () => {
  const state = loaded();
  assert.deepEqual(visible(state, { status: RUNNING, text: "" }), [1]);
  assert.deepEqual(visible(state, { status: null, text: "FET" }), [0]);
  assert.deepEqual(visible(state, { status: null, text: "1" }), [1]);
});

test("durations are short", () => {
  const cases = [[0, "0 ms"], [3.24, "3.2 ms"], [420, "0.42 s"], [12340, "12.3 s"], [185000, "3 m 05 s"], [7800000, "2 h 10 m"], [273600000, "3 d 4 h"], [null, ""]];
  for (const [ms, text] of cases) assert.equal(duration(ms), text);
});
