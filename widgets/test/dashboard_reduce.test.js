import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, done, failureRate, lines, looking, pageCount, percent, reduce, selecting, sortedBy, stepsOf, toggled } from "../src/dashboard_reduce.js";

const ROWS = [["r1", "order", "failed", 1000, 3000, "ValueError: no"], ["r2", "order", "in_progress", 2000, null, null]];
const page = (n, more = {}) => ({ k: "page", view: "v", n, now: 5000, path: "j", page: 0, size: 50, total: 2, rows: ROWS, counts: { failed: 1, in_progress: 1, completed: 0, canceled: 0 }, names: [["order", 2]], ...more });

test("an answer counts only if it is to the latest question", () => {
  const asked = looking(looking(EMPTY), { text: "x" });
  assert.equal(reduce(asked, page(1)), asked);
  const told = reduce(asked, page(2));
  assert.deepEqual(told.page.rows[1], { id: "r2", name: "order", status: "in_progress", created: 2000, ended: null, note: null });
  assert.equal(told.isAsking, false);
  assert.equal(EMPTY.page, null);
});

test("another filter or order begins at the first page, a refresh stays where it is", () => {
  const third = looking(EMPTY, { page: 2 });
  assert.equal(looking(third).look.page, 2);
  assert.equal(looking(third, { statuses: ["failed"] }).look.page, 0);
  assert.equal(sortedBy(third, "duration").look.page, 0);
  assert.equal(looking(third, { page: -1 }).look.page, 0);
  assert.equal(reduce(third, page(1, { page: 0 })).look.page, 0, "the page that was there instead");
});

test("a column is sorted the useful way first, then the other", () => {
  const once = sortedBy(EMPTY, "duration");
  assert.deepEqual([once.look.sort, once.look.desc], ["duration", true]);
  assert.equal(sortedBy(once, "duration").look.desc, false);
  assert.equal(sortedBy(once, "name").look.desc, false);
  assert.equal(sortedBy(EMPTY, "created").look.desc, false);
});

test("news make it stale until it asks; a problem keeps the last page", () => {
  const told = reduce(looking(EMPTY), page(1));
  const stale = reduce(told, { k: "news", view: "v" });
  assert.equal(stale.isStale, true);
  const asked = looking(stale);
  assert.deepEqual([asked.isStale, asked.isAsking], [false, true]);
  const failed = reduce(asked, { k: "page", view: "v", n: 2, problem: "closed" });
  assert.deepEqual([failed.problem, failed.page.total, failed.isAsking], ["closed", 2, false]);
});

test("runs stay selected over pages, and those with which something was done are let go", () => {
  const some = selecting(selecting(EMPTY, ["r1", "r2", "r3", "r4"], true), ["r2"], false);
  assert.deepEqual([...some.selected], ["r1", "r3", "r4"]);
  const after = done(some, [["r1", true, "canceled"], ["r3", false, "still in progress"], ["r4", false, "gone already"]]);
  assert.deepEqual([...after.selected], ["r3"]);
  assert.deepEqual([...EMPTY.selected], []);
});

test("numbers", () => {
  assert.equal(failureRate({ failed: 1, completed: 3, canceled: 7, in_progress: 1 }), 0.25);
  assert.equal(failureRate({ failed: 0, completed: 0, canceled: 7, in_progress: 1 }), null);
  assert.deepEqual([null, 0, 0.0001, 0.031, 0.25, 1].map(percent), ["", "0 %", "< 0.1 %", "3.1 %", "25 %", "100 %"]);
  assert.deepEqual([0, 1, 50, 51, 100_000].map((total) => pageCount({ total, size: 50 })), [1, 1, 1, 2, 2000]);
  assert.deepEqual(toggled(toggled([], "a"), "b"), ["a", "b"]);
  assert.deepEqual(toggled(["a", "b"], "a"), ["b"]);
});

test("steps gather their buckets, and a line is broken where there is none", () => {
  const steps = stepsOf([["fetch", null, 3, 1, 20, 40], ["fetch", 0, 1, 0, 10, 20], ["fetch", 1, 1, 0, 20, 30], ["fetch", 4, 1, 1, 40, 40], ["parse", null, 1, 0, 5, 5], ["parse", 4, 1, 0, 5, 5]]);
  assert.deepEqual(steps.map((s) => [s.name, s.ended, s.failed, s.buckets.length]), [["fetch", 3, 1, 3], ["parse", 1, 0, 1]]);
  const { top, parts } = lines(steps[0].buckets, 4, 100, 40);
  assert.equal(top, 40);
  assert.deepEqual(parts.map((part) => part.map((p) => [p.x, p.p50, p.p95])), [[[0, 30, 20], [25, 20, 10]], [[100, 0, 0]]]);
  assert.equal(lines(steps[1].buckets, 0, 100, 40).parts[0][0].x, 50, "one bucket alone stands in the middle");
});
