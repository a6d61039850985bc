// What a card knows of its run, from the messages of the kernel. Pure: no DOM, no clock; a message gives a new state.
//
//   {k: "snap", seq, now, run, names, rows, path?}     everything; `path`: the [id, name] of the runs by which one came here
//   {k: "d", seq, now, run?, names?, rows?, live?}     what changed since seq - 1
//
// A row is [number, name, kind, status, attempts, scheduled, started, ended, due, tries, child, event]: `name` an index into
// `names`, times in milliseconds since run.t0 (null where unknown), `tries` the [start, end] of attempts that failed; what is null at
// its end is left out. `live` is [number, done, total, text, logLines] of steps that report progress.

export const KINDS = ["query", "mutation", "action", "workflow", "event", "sleep"];
export const STATUSES = ["scheduled", "running", "success", "failed", "canceled"];
export const [SCHEDULED, RUNNING, SUCCESS, FAILED, CANCELED] = STATUSES.keys();
export const EVENT = 4;
export const SLEEP = 5;

export const EMPTY = Object.freeze({
  seq: -1,
  isLoaded: false,
  now: 0, // the kernel's time of the last message, ms since run.t0
  run: {},
  path: [],
  names: [],
  steps: [], // by number; holes where a number is not known
  live: new Map(), // number -> {done, total, text, logLines}
  counts: [0, 0, 0, 0, 0], // by status
  waiting: [], // numbers of the steps that wait for an event, ascending
  last: 0, // the latest end, or start, of any step
});

/** The state after `message`, and `ask`: the message for the kernel where it must say everything again, else null. */
export function reduce(state, message) {
  if (message.k === "snap") return { state: snapshot(message), ask: null };
  if (message.k !== "d") return { state, ask: null };
  if (!state.isLoaded || message.seq <= state.seq) return { state, ask: null }; // a snapshot is on its way, or has told this
  if (message.seq !== state.seq + 1) return { state: { ...state, isLoaded: false }, ask: { k: "hello", seq: state.seq } };
  return { state: delta(state, message), ask: null };
}

function snapshot(message) {
  const blank = { ...EMPTY, seq: message.seq, isLoaded: true, now: message.now ?? 0, run: message.run, names: message.names, path: message.path ?? [] };
  return withLive(withRows(blank, message.rows), message.live);
}

function delta(state, message) {
  let next = { ...state, seq: message.seq, now: message.now ?? state.now };
  if (message.run) next.run = { ...state.run, ...message.run };
  if (message.names?.length) next.names = state.names.concat(message.names);
  if (message.rows?.length) next = withRows(next, message.rows);
  return withLive(next, message.live);
}

function withRows(state, rows) {
  const steps = state.steps.slice();
  const counts = state.counts.slice();
  let last = state.last;
  let touchesEvents = false;
  for (const row of rows) {
    const step = stepOf(row);
    const known = steps[step.number];
    if (known !== undefined) counts[known.status]--;
    counts[step.status]++;
    steps[step.number] = step;
    last = Math.max(last, step.ended ?? step.started ?? step.scheduled ?? 0);
    touchesEvents ||= step.kind === EVENT;
  }
  const waiting = touchesEvents ? waitingIn(steps) : state.waiting;
  return { ...state, steps, counts, last, waiting };
}

function stepOf(row) {
  const [number, name, kind, status, attempts = 0, scheduled, started, ended, due, tries, child, event] = row;
  return {
    number, name, kind, status, attempts,
    scheduled: scheduled ?? null, started: started ?? null, ended: ended ?? null, due: due ?? null,
    tries: tries ?? [], child: child ?? null, event: event ?? null,
  };
}

function waitingIn(steps) {
  const found = [];
  for (const step of steps) if (step?.kind === EVENT && step.status <= RUNNING) found.push(step.number);
  return found;
}

function withLive(state, live) {
  if (!live?.length) return state;
  const map = new Map(state.live);
  for (const [number, done, total, text, logLines] of live) map.set(number, { done, total, text, logLines });
  return { ...state, live: map };
}

export const isOver = (run) => run.status !== undefined && run.status !== "in_progress";

/** The steps that a filter lets through, by their numbers. `filter` is {status: index or null, text: ""}. */
export function visible(state, filter) {
  const found = [];
  const text = filter.text?.toLowerCase() ?? "";
  for (const step of state.steps) {
    if (step === undefined) continue;
    if (filter.status !== null && filter.status !== undefined && step.status !== filter.status) continue;
    if (text && !state.names[step.name].toLowerCase().includes(text) && String(step.number) !== text) continue;
    found.push(step.number);
  }
  return found;
}

/** 0.42 s, 12.3 s, 3 m 05 s, 2 h 10 m, 3 d 4 h */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "";
  const s = Math.max(0, ms) / 1000;
  if (s < 0.0995) return `${Math.round(s * 10000) / 10} ms`;
  if (s < 10) return `${s.toFixed(2)} s`;
  if (s < 60) return `${s.toFixed(1)} s`;
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} m ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}
