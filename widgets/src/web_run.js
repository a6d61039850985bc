// One run: what it is, what it waits for (with the form), its timeline, and the step that was chosen.
import { eventForm, h } from "./form.js";
import { EMPTY, KINDS, STATUSES, duration, reduce, visible } from "./reduce.js";
import { timeline } from "./timeline.js";
import { keepLooking, news, send } from "./web_http.js";
import { STATUS_WORDS } from "./web_runs.js";

export function runView(main, { run: id }) {
  let state = EMPTY;
  let shownSteps = "";
  let steps = new Map(); // number -> what the server says of it
  let offset = 0; // the server's clock, as far as it can be told, less ours
  const forms = new Map(); // event id -> {form, el}

  const title = h("h1", {}, "Run");
  const facts = h("dl");
  const questions = h("section", { "aria-label": "What the run waits for", class: "questions", hidden: true });
  const details = h("section", { "aria-label": "The chosen step", class: "details", hidden: true });
  const note = h("p", { class: "faint", hidden: true }, "Only the latest steps are shown.");
  const problem = h("p", { class: "problem", role: "status" });
  const chart = timeline({ onselect: choose, onopen: openChild, nowOf: () => Date.now() + offset - (state.run.t0 ?? 0) });
  const drawn = h("div", { class: "wf-card" }, chart.el);
  main.append(title, questions, facts, h("section", { "aria-label": "Timeline" }, h("h2", {}, "Timeline"), note, drawn, details), problem);
  new ResizeObserver(() => chart.invalidate()).observe(drawn);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.retheme());

  const latest = news(`/now/${encodeURIComponent(id)}`);

  async function look() {
    const now = await latest();
    chart.invalidate(); // the bars of what runs grow
    if (now === null) return;
    const t0 = Date.parse(now.run.created_at);
    offset = Math.max(offset, lastInstant(now) - Date.now());
    tell(now.run);
    ask(now.awaited);
    note.hidden = !now.is_cut;
    const text = JSON.stringify([now.run.status, now.steps]);
    if (text !== shownSteps) {
      shownSteps = text;
      steps = new Map(now.steps.map((s) => [s.step_number, s]));
      state = reduce(EMPTY, snapshot(now, t0)).state;
      chart.update(state, visible(state, {}));
      choose(chart.selected);
    }
    if (now.run.status !== "in_progress") looking?.stop();
  }

  function tell(run) {
    title.replaceChildren(run.name, " ", h("span", { class: "mark", "data-status": run.status }, STATUS_WORDS[run.status]));
    document.title = `${run.name}: ${STATUS_WORDS[run.status]}`;
    const pairs = [["Id", run.run_id], ["Started", new Date(run.created_at).toLocaleString()], ...run.args];
    if (run.waiting_for) pairs.push(["Waits for", run.waiting_for]);
    if (run.completed_at) pairs.push(["Took", duration(new Date(run.completed_at) - new Date(run.created_at))]);
    if (run.result !== null) pairs.push(["Result", run.result]);
    if (run.error) pairs.push(["Error", run.error]);
    facts.replaceChildren(...listed(pairs));
  }

  /** The forms stay as they are while their event is awaited: somebody may be writing. */
  function ask(awaited) {
    const wanted = new Set(awaited.map((a) => a.event_id));
    for (const [key, { el }] of forms) if (!wanted.has(key)) el.remove(), forms.delete(key);
    for (const a of awaited) {
      if (forms.has(a.event_id)) continue;
      const form = eventForm({ ...a, help: a.form.help }, async (text) => {
        try {
          await send("/api/send_event", `{"event":${JSON.stringify(a.event_id)},"value":${text}}`);
        } catch (error) {
          form.answer({ ok: false, msg: error.message, errors: error.facts?.fields });
          return;
        }
        looking.again();
      });
      const el = h("div", { class: "wf-card asked" }, form.el);
      forms.set(a.event_id, { form, el });
      questions.append(el);
    }
    questions.hidden = forms.size === 0;
  }

  function choose(number) {
    const step = number === null ? undefined : steps.get(number);
    details.hidden = step === undefined;
    if (step === undefined) return;
    const pairs = [["Kind", step.kind], ["Status", step.status]];
    if (step.attempts > 1) pairs.push(["Attempts", String(step.attempts)]);
    if (step.args !== null) pairs.push(["Arguments", step.args]);
    if (step.result !== null) pairs.push(["Result", step.result]);
    if (step.error) pairs.push(["Error", step.error]);
    const child = step.child_run_id ? [h("p", {}, h("a", { href: `/runs/${encodeURIComponent(step.child_run_id)}` }, "Open the child run"))] : [];
    details.replaceChildren(h("h3", {}, `Step ${step.step_number}, ${step.name}`), h("dl", {}, listed(pairs)), ...child);
  }

  function openChild(number) {
    const child = steps.get(number)?.child_run_id;
    if (child) location.assign(`/runs/${encodeURIComponent(child)}`);
  }

  let looking = null;
  looking = keepLooking(look, (error) => (problem.textContent = error ? error.message : ""));
}

const listed = (pairs) => pairs.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, h("pre", {}, text))]);

/** The server's steps as the kernel would tell them to a card: see reduce.js. */
export function snapshot({ run, steps }, t0) {
  const since = (text) => (text === null ? null : Date.parse(text) - t0);
  const names = [...new Set(steps.map((s) => s.name))];
  const rows = steps.map((s) => [s.step_number, names.indexOf(s.name), KINDS.indexOf(s.kind), STATUSES.indexOf(s.status), s.attempts, since(s.scheduled_at), since(s.started_at), since(s.completed_at)]);
  return { k: "snap", seq: 0, now: 0, run: { id: run.run_id, name: run.name, status: run.status, t0, ended: since(run.completed_at) }, names, rows };
}

function lastInstant({ steps }) {
  return Math.max(0, ...steps.flatMap((s) => [s.scheduled_at, s.started_at, s.completed_at]).filter(Boolean).map(Date.parse));
}
