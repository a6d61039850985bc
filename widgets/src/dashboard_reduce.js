// What a dashboard knows and asks. Pure: no DOM, no clock; a message or a click gives a new state.
//
// `look` is the question, `page` the latest answer to it: {now, path, page, size, total, rows, counts, names}. A row is
// [id, name, status, created, ended, note], instants in Unix milliseconds. Answers to older questions are let go.

export const STATUSES = ["failed", "in_progress", "canceled", "completed"];
export const FIRST_UP = { created: false, duration: false, status: true, name: true }; // the direction of a first click

export const EMPTY = Object.freeze({
  n: 0,
  look: Object.freeze({ names: [], statuses: [], text: "", sort: "created", desc: true, page: 0 }),
  page: null,
  problem: null, // why there is no answer
  isStale: false, // there are news that were not asked for yet
  isAsking: false,
  selected: new Set(), // run ids, also of other pages
});

export const rowOf = ([id, name, status, created, ended = null, note = null]) => ({ id, name, status, created, ended, note });

/** Another question. All but `page` begin again at the first page. */
export function looking(state, change = {}) {
  const page = change.page ?? (Object.keys(change).length ? 0 : state.look.page);
  return { ...state, n: state.n + 1, look: { ...state.look, ...change, page: Math.max(0, page) }, isAsking: true, isStale: false };
}

export function sortedBy(state, sort) {
  const desc = state.look.sort === sort ? !state.look.desc : !FIRST_UP[sort];
  return looking(state, { sort, desc });
}

export function toggled(list, item) {
  return list.includes(item) ? list.filter((x) => x !== item) : [...list, item];
}

export function reduce(state, message) {
  if (message.k === "news") return { ...state, isStale: true };
  if (message.k !== "page" || message.n !== state.n) return state;
  if (message.problem) return { ...state, isAsking: false, problem: message.problem };
  const page = { ...message, rows: message.rows.map(rowOf) };
  return { ...state, isAsking: false, problem: null, page, look: { ...state.look, page: message.page } };
}

/** Selects these runs, or lets them go; all of `ids` the same way. */
export function selecting(state, ids, isSelected) {
  const selected = new Set(state.selected);
  for (const id of ids) isSelected ? selected.add(id) : selected.delete(id);
  return { ...state, selected };
}

/** After a command: runs with which it was done, or that are gone, are let go; the others stay selected, for another try. */
export function done(state, results) {
  return selecting(state, results.filter(([, ok, text]) => ok || text === "gone already").map(([id]) => id), false);
}

export function pageCount(page) {
  return Math.max(1, Math.ceil(page.total / page.size));
}

/** How many of the runs that came to an end by themselves failed: 0 to 1, or null where none did. Canceled ones are no verdict. */
export function failureRate(counts) {
  const ended = counts.failed + counts.completed;
  return ended ? counts.failed / ended : null;
}

export function percent(part) {
  if (part === null) return "";
  const p = part * 100;
  return `${p === 0 || p === 100 ? p : p < 0.1 ? "< 0.1" : p.toFixed(p < 10 ? 1 : 0)} %`;
}

// -- steps --

/** From [name, bucket, ended, failed, p50, p95] rows (ms; bucket null for all time): one for each step, its buckets within. */
export function stepsOf(times) {
  const steps = [];
  for (const [name, bucket, ended, failed, p50, p95] of times) {
    const numbers = { ended, failed, p50, p95 };
    if (bucket === null) steps.push({ name, ...numbers, buckets: [] });
    else steps.at(-1).buckets.push({ bucket, ...numbers });
  }
  return steps;
}

/** Where the lines of a step's chart go, in a box of this size: points of p50 and p95, broken where a bucket has no step. */
export function lines(buckets, last, width, height) {
  const top = Math.max(...buckets.map((b) => b.p95), 1e-9);
  const x = (bucket) => (last === 0 ? width / 2 : (bucket / last) * width);
  const y = (ms) => height - (ms / top) * height;
  const parts = [];
  for (const b of buckets) {
    const part = parts.at(-1);
    const at = { x: x(b.bucket), p50: y(b.p50), p95: y(b.p95), bucket: b.bucket };
    if (part && part.at(-1).bucket === b.bucket - 1) part.push(at);
    else parts.push([at]);
  }
  return { top, parts };
}
