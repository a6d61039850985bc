// The run card: what the state says, as DOM; what the user does, as messages. `send` takes a message for the kernel.
import { argumentsForm, eventForm, h } from "./form.js";
import { clockTime, precise, zoneAt } from "./instants.js";
import { GONE, SLOW, still } from "./lifeline.js";
import { CANCELED, EMPTY, FAILED, KINDS, RUNNING, SCHEDULED, STATUSES, SUCCESS, duration, isOver, reduce, visible } from "./reduce.js";
import { timeline } from "./timeline.js";

const RUN_WORDS = { in_progress: "in progress", completed: "completed", failed: "failed", canceled: "canceled", deleted: "deleted" };
const SIGNS = { in_progress: "▸", completed: "✓", failed: "✕", canceled: "–" };
const COUNT_WORDS = { [FAILED]: "failed", [RUNNING]: "running", [SCHEDULED]: "waiting", [SUCCESS]: "done", [CANCELED]: "canceled" };
const TAGS = { log: "log", stdout: "out", stderr: "err", display: "show" };
const TAKEN_OVER = "Steps that are taken over keep the arguments they ran with: where your change alters one of them, fork from step 0 instead.";
const MOST_FORMS = 3;
const PATIENCE = 10_000; // ms without an answer before the user is told so
const DETAILS_EVERY = 400; // ms

let commands = 0;

/** An error in full: its text keeps its lines. */
function errorOf({ type, message, traceback }, isOpen) {
  const parts = [h(message.includes("\n") ? "p.message.code" : "p.message", {}, h("b.failed", {}, type), `: ${message}`)];
  if (traceback) parts.push(h("details", { open: isOpen }, h("summary", {}, "Traceback"), h("pre.code.trace", { tabindex: "0" }, traceback)));
  return parts;
}

export function card(send, { snapshot = null } = {}) {
  let state = EMPTY;
  let filter = { status: null, text: "" };
  let shown = [];
  let skew = 0; // the kernel's time minus ours
  let goneAt = null; // when the kernel was found gone, ms since run.t0
  let details = null;
  let asked = { step: null, at: 0, for: null };
  let detailsTimer = 0;
  const viewId = Math.random().toString(36).slice(2, 10);
  const pending = new Map(); // command id -> {done(ack), timer}
  const forms = new Map(); // step number -> form, or null while it is asked for
  const selections = new Map(); // run id -> the step that was selected when we turned to another run
  let forkFrom; // the step that a fork's form was asked for; null: the whole run; undefined: none

  const nowOf = () => {
    if (goneAt !== null) return goneAt;
    if (isOver(state.run)) return state.run.ended ?? state.last;
    return state.seq < 0 ? 0 : performance.now() + skew;
  };

  // -- the frame --

  const trail = h("nav.trail", { "aria-label": "Back to", hidden: true });
  const sign = h("span.sign", { "aria-hidden": "true" });
  const name = h("strong.name");
  const id = h("code.id", { title: "The run's id" });
  const status = h("span.status");
  const elapsed = h("span.elapsed", { title: "Elapsed" });
  const note = h("span.note", { hidden: true });
  const loss = h("p.gone", { role: "alert", hidden: true });
  const live = h("div.live", { role: "status", "aria-live": "polite" });
  const made = h("button.quiet", { type: "button", hidden: true, title: "Show the new run here", onclick: () => open(made.dataset.run) }, "Open it");
  const counts = h("div.counts", { role: "group", "aria-label": "Show only steps that are" });
  const search = h("input.search", { type: "search", placeholder: "Find step", "aria-label": "Show only steps whose name contains", oninput: () => filterBy({ text: search.value.trim() }) });
  const button = (text, title, act, cls = "button") => h(cls, { type: "button", title, onclick: act }, text);
  const sendButton = button("Send event", "Send this run an event by name", () => toggleSender());
  const cancelButton = button("Cancel", "Cancel this run", () => confirmCancel());
  const resumeButton = button("Resume", "Run again the failed and canceled steps that nothing followed", () => command({ cmd: "resume" }), "button.primary");
  const forkButton = button("Fork", "A new run with this one's steps", () => askFork(null));
  const zoomIn = button("+", "Zoom in (+)", () => tl.zoom(0.6), "button.icon");
  const zoomOut = button("−", "Zoom out (−)", () => tl.zoom(1 / 0.6), "button.icon");
  const fit = button("⤢", "Show all (Home)", () => tl.fit(), "button.icon");
  for (const [b, label] of [[zoomIn, "Zoom in"], [zoomOut, "Zoom out"], [fit, "Show all"]]) b.setAttribute("aria-label", label);
  const header = h("header.header", {}, h("div.title", {}, trail, sign, name, id, status, elapsed, note), h("div.actions", {}, sendButton, resumeButton, forkButton, cancelButton));
  const tools = h("div.tools", {}, counts, h("span.grow"), search, h("div.zoom", { role: "group", "aria-label": "Zoom" }, zoomOut, zoomIn, fit));
  const ask = h("div.ask", { hidden: true });
  const sender = h("div.sender", { hidden: true });
  const approvals = h("div.approvals", { hidden: true });
  const forker = h("div.sender.forker", { hidden: true });
  const outcome = h("div.outcome", { hidden: true });
  const pane = h("section.details", { hidden: true, "aria-label": "Details of the selected step" });
  const tl = timeline({ onselect: select, onopen: openChild, onback: () => state.path.length && open(state.path.at(-1)[0]), nowOf });
  const main = h("div.main", {}, h("div.left", {}, tools, tl.el), pane);
  const el = h("article.card", { "aria-label": "Workflow run", "data-view": viewId }, header, loss, ask, approvals, sender, forker, outcome, main, h("footer.foot", {}, live, made));

  // -- messages --

  function receive(message) {
    if (message.k === "ack") return acknowledged(message);
    if (message.k === "details") return message.step === tl.selected ? showDetails(message) : undefined;
    if (message.k === "form") return showForm(message);
    if (message.k === "fork") return showFork(message);
    const { state: next, ask: request } = reduce(state, message);
    if (request) send({ ...request, view: viewId });
    if (next === state) return;
    if (next.isLoaded) skew = next.now - performance.now();
    show(next);
  }

  function show(next) {
    const isTurned = state.run.id !== undefined && next.run.id !== state.run.id;
    if (isTurned) leave();
    const before = isTurned ? EMPTY : state;
    state = next;
    if (!state.isLoaded) return;
    const isNew = next.steps !== before.steps;
    if (isNew || !before.isLoaded) {
      const unfiltered = filter.status === null && !filter.text;
      if (!unfiltered || next.steps.length !== before.steps.length || before.seq < 0 || next.seq < before.seq) shown = visible(state, filter);
      showCounts();
    }
    tl.update(state, shown);
    showHeader(before);
    showApprovals();
    const number = tl.selected;
    if (number !== null && (state.steps[number] !== before.steps[number] || state.live.get(number) !== before.live.get(number))) refreshDetails();
    if (number !== null && state.steps[number] === undefined) tl.select(null);
    if (isTurned) arrive();
    el.dataset.seq = state.seq;
    el.dataset.status = state.run.status ?? "";
    el.dataset.steps = state.counts.reduce((a, b) => a + b, 0);
    el.dataset.counts = state.counts.join(" ");
  }

  function showHeader(before) {
    const run = state.run;
    const over = isOver(run);
    sign.textContent = SIGNS[run.status] ?? "·";
    name.textContent = run.name ?? "";
    id.textContent = run.id ?? "";
    if (state.path !== before.path) {
      trail.hidden = state.path.length === 0;
      trail.replaceChildren(...state.path.flatMap(([above, title]) => [h("button.quiet", { type: "button", title: `Back to ${title} ${above} (Backspace)`, onclick: () => open(above) }, title), h("span", { "aria-hidden": "true" }, "›")]));
    }
    status.textContent = run.canceling && !over ? "canceling" : (RUN_WORDS[run.status] ?? "");
    note.hidden = !run.deleted && (!run.note || over);
    note.textContent = note.title = run.deleted ? "it was deleted from the journal" : (run.note ?? "");
    el.setAttribute("aria-label", `Workflow run ${run.name} ${run.id}`);
    showElapsed();
    sendButton.hidden = cancelButton.hidden = over;
    cancelButton.disabled = !!run.canceling;
    resumeButton.hidden = !over || run.status === "completed" || run.deleted;
    forkButton.hidden = !!run.deleted;
    outcome.hidden = !over || run.status === "deleted" || (!run.error && run.result === undefined);
    if (run !== before.run) {
      outcome.replaceChildren(...(run.error ? errorOf(run.error, !state.counts[FAILED]) : [h("span.key", {}, "result"), h("code.value", {}, run.result ?? "None")]));
      if (run.status !== before.run.status) {
        if (before.run.status !== undefined && !run.deleted) say(`${run.name} ${RUN_WORDS[run.status]}`, run.status === "failed" ? "bad" : "good");
        closeAsk();
        if (over) toggleSender(false);
        if (run.deleted) closeFork();
        if (tl.selected !== null && state.steps[tl.selected]) renderDetails();
      }
    }
  }

  function showElapsed() {
    const text = state.run.status === "deleted" ? "" : duration(nowOf());
    if (elapsed.textContent !== text) elapsed.textContent = text;
  }

  function showCounts() {
    const order = [FAILED, RUNNING, SCHEDULED, SUCCESS, CANCELED];
    const chips = new Map([...counts.children].map((c) => [Number(c.dataset.status), c]));
    for (const s of order) {
      const n = state.counts[s];
      let chip = chips.get(s);
      if (!chip) {
        chip = h("button.chip", { type: "button", "data-status": String(s), onclick: () => filterBy({ status: filter.status === s ? null : s }) }, h("i", { "aria-hidden": "true" }), h("b"), ` ${COUNT_WORDS[s]}`);
        counts.append(chip);
      }
      chip.hidden = n === 0 && filter.status !== s;
      const text = n.toLocaleString("en");
      const b = chip.querySelector("b");
      if (b.textContent !== text) b.textContent = text;
      chip.setAttribute("aria-pressed", String(filter.status === s));
    }
    tools.hidden = state.steps.length === 0;
    search.hidden = state.steps.length < 15 && !filter.text;
  }

  function filterBy(change) {
    filter = { ...filter, ...change };
    shown = visible(state, filter);
    showCounts();
    tl.update(state, shown);
  }

  // -- from run to run: all views of the card turn together --

  const open = (run) => command({ cmd: "open", other: run });

  function openChild(number) {
    const child = state.steps[number]?.child;
    if (child) open(child);
  }

  let hadFocus = false;
  function leave() {
    hadFocus = el.contains(document.activeElement);
    selections.set(state.run.id, tl.selected);
    tl.select(null);
    tl.fit();
    for (const form of forms.values()) form?.el.remove();
    forms.clear();
    filter = { status: null, text: "" };
    search.value = "";
    closeAsk();
    closeFork();
    toggleSender(false);
    made.hidden = true;
    say("");
  }

  function arrive() {
    const again = selections.get(state.run.id) ?? null;
    if (again !== null && state.steps[again]) tl.select(again);
    if (hadFocus) tl.focus();
  }

  // -- commands --

  function command(body, answered = () => {}) {
    if (goneAt !== null) return;
    const id = `${viewId}-${++commands}`;
    const timer = setTimeout(() => say(SLOW, "bad"), PATIENCE);
    pending.set(id, { answered, timer });
    say("…");
    send({ k: "cmd", id, run: state.run.id, ...body });
    return id;
  }

  function acknowledged(message) {
    const waiting = pending.get(message.id);
    if (!waiting) return; // another view's
    pending.delete(message.id);
    clearTimeout(waiting.timer);
    say(message.msg ?? "", message.ok ? "good" : "bad");
    made.hidden = !message.made;
    made.dataset.run = message.made ?? "";
    live.dataset.ack = message.id;
    waiting.answered(message);
  }

  // -- the kernel has gone: what is shown stays, as it was then --

  function gone() {
    if (goneAt !== null) return;
    goneAt = nowOf();
    const isOpen = !isOver(state.run);
    loss.textContent = `${GONE} ${isOpen ? "Run the notebook's cells again: the run goes on from where it was." : "Show the run again to resume or to fork it."}`;
    loss.hidden = false;
    el.dataset.gone = "true";
    if (!state.isLoaded) return (main.hidden = true), still(header);
    if (isOpen) status.textContent = `last seen ${status.textContent}`;
    for (const { timer } of pending.values()) clearTimeout(timer);
    clearTimeout(detailsTimer);
    pending.clear();
    closeAsk();
    closeFork();
    toggleSender(false);
    made.hidden = true;
    say("");
    still(header);
    still(approvals);
    showElapsed();
    if (tl.selected !== null) renderDetails();
    tl.invalidate();
  }

  function say(text, tone = "") {
    live.textContent = text;
    live.dataset.tone = tone;
  }

  function confirmCancel() {
    const yes = h("button.danger", { type: "button", onclick: () => {
      closeAsk();
      command({ cmd: "cancel" });
    } }, "Cancel the run");
    const no = h("button", { type: "button", onclick: () => (closeAsk(), cancelButton.focus()) }, "Keep it running");
    ask.replaceChildren(h("span", {}, "Cancel this run and its children? Steps that run are stopped."), yes, no);
    ask.setAttribute("role", "alertdialog");
    ask.setAttribute("aria-label", "Cancel this run?");
    ask.hidden = false;
    no.focus();
  }
  ask.addEventListener("keydown", (e) => e.key === "Escape" && (closeAsk(), cancelButton.focus()));
  const closeAsk = () => ((ask.hidden = true), ask.replaceChildren());

  // -- events --

  function showApprovals() {
    const wanted = isOver(state.run) ? [] : state.waiting.slice(0, MOST_FORMS);
    for (const [number, form] of forms) {
      if (!wanted.includes(number)) {
        form?.el.remove();
        forms.delete(number);
      }
    }
    for (const number of wanted) {
      if (forms.has(number)) continue;
      forms.set(number, null);
      send({ k: "form", step: number, view: viewId });
    }
    const rest = isOver(state.run) ? 0 : state.waiting.length - wanted.length;
    more.textContent = rest > 0 ? `and ${rest.toLocaleString("en")} more steps that wait for events` : "";
    approvals.hidden = wanted.length === 0 || ![...forms.values()].some(Boolean);
  }
  const more = h("p.more");
  approvals.append(more);

  function showForm(message) {
    if (!forms.has(message.step) || forms.get(message.step)) return;
    const form = eventForm(message, (text) => command({ cmd: "send", step: message.step, event: message.event, json: `{"value":${text}}` }, (ack) => form.answer(ack)));
    form.el.dataset.step = message.step;
    forms.set(message.step, form);
    const later = [...approvals.querySelectorAll("form")].find((f) => Number(f.dataset.step) > message.step);
    approvals.insertBefore(form.el, later ?? more);
    approvals.hidden = false;
  }

  function toggleSender(open = sender.hidden) {
    sender.hidden = !open;
    sendButton.setAttribute("aria-expanded", String(open));
    if (!open) return;
    const waiting = [...new Set(state.waiting.map((n) => state.names[state.steps[n].name]))];
    const form = h("form.form", { "aria-label": "Send an event" });
    const listId = `wf-ev-${viewId}`;
    const event = h("input.text", { type: "text", required: true, list: listId, value: waiting[0] ?? "", id: `${listId}-n`, autocomplete: "off" });
    const value = h("textarea.text.code", { rows: 2, spellcheck: "false", placeholder: 'JSON, e.g. {"ok": true}', id: `${listId}-v` });
    const error = h("p.error", { hidden: true, role: "alert" });
    const fail = (text) => ((error.textContent = text), (error.hidden = false));
    form.append(
      h("datalist", { id: listId }, waiting.map((w) => h("option", { value: w }))),
      h("div.field", {}, h("label.label", { for: event.id }, "Event"), h("div.input", {}, event)),
      h("div.field", {}, h("label.label", { for: value.id }, "Value"), h("div.input", {}, value, error)),
      h("div.buttons", {}, h("button.primary", { type: "submit" }, "Send"), h("button", { type: "button", onclick: () => toggleSender(false) }, "Close")),
    );
    form.noValidate = true;
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      error.hidden = true;
      const text = value.value.trim() || "null";
      try {
        JSON.parse(text);
      } catch (problem) {
        return fail(`This is no JSON: ${problem.message}`);
      }
      if (!event.value.trim()) return fail("Give the event's name");
      command({ cmd: "send", step: null, event: event.value.trim(), json: `{"value":${text}}` }, (ack) => (ack.ok ? toggleSender(false) : fail((ack.errors ?? []).map((x) => x.msg).join("; ") || ack.msg)));
    });
    sender.replaceChildren(form);
    event.focus();
  }

  // -- forks --

  function askFork(step) {
    forkFrom = step;
    send({ k: "fork", step, view: viewId });
  }

  function showFork(message) {
    if (message.step !== forkFrom || (message.run ?? state.run.id) !== state.run.id) return; // another view's, or too late
    if (message.problem) {
      closeFork();
      return say(message.problem, "bad");
    }
    if (message.form.fields.length === 0) {
      closeFork();
      return command({ cmd: "fork", step: message.step });
    }
    const title = message.step === null ? "Fork: a new run with all its steps" : `Fork from step ${message.step} ${state.names[state.steps[message.step]?.name] ?? ""}`;
    const form = argumentsForm({ title, help: message.step === 0 ? null : TAKEN_OVER, form: message.form, action: "Fork" }, (json) => command({ cmd: "fork", step: message.step, json }, (ack) => (ack.ok ? closeFork() : form.answer(ack))), closeFork);
    forker.replaceChildren(form.el);
    forker.hidden = false;
    form.focus();
  }

  function closeFork() {
    forkFrom = undefined;
    forker.hidden = true;
    forker.replaceChildren();
  }
  forker.addEventListener("keydown", (e) => e.key === "Escape" && (closeFork(), forkButton.focus()));

  // -- the selected step --

  function select(number) {
    details = null;
    pane.hidden = number === null;
    main.dataset.split = String(number !== null);
    if (number === null) return;
    renderDetails();
    askDetails(number);
    tl.invalidate();
  }

  function askDetails(number) {
    asked = { step: number, at: performance.now() };
    send({ k: "details", step: number, view: viewId });
  }

  function refreshDetails() {
    if (detailsTimer) return;
    detailsTimer = setTimeout(() => {
      detailsTimer = 0;
      if (tl.selected !== null) askDetails(tl.selected);
    }, Math.max(0, asked.at + DETAILS_EVERY - performance.now()));
    renderProgress();
  }

  function showDetails(message) {
    details = message;
    renderDetails();
  }

  const bar = h("div.bar", {}, h("i"));
  const progress = h("div.progress", { role: "progressbar", "aria-label": "Progress", hidden: true }, bar, h("span.progress-text"));

  function renderProgress() {
    const step = state.steps[tl.selected];
    const at = state.live.get(tl.selected) ?? details?.progress;
    progress.hidden = !at || step === undefined || (at.done ?? null) === null;
    if (progress.hidden) return;
    const part = at.total ? Math.min(1, at.done / at.total) : null;
    bar.firstChild.style.width = part === null ? "100%" : `${(part * 100).toFixed(1)}%`;
    bar.dataset.endless = String(part === null && step.status === RUNNING);
    progress.setAttribute("aria-valuemin", "0");
    if (part !== null) {
      progress.setAttribute("aria-valuemax", String(at.total));
      progress.setAttribute("aria-valuenow", String(at.done));
    }
    const numbers = at.total ? `${at.done.toLocaleString("en")} of ${at.total.toLocaleString("en")}` : at.done.toLocaleString("en");
    progress.lastChild.textContent = [numbers, at.text].filter(Boolean).join("  ");
  }

  function factsOf(step) {
    const now = nowOf();
    const took = duration((step.ended ?? now) - (step.started ?? step.scheduled ?? now));
    return [KINDS[step.kind], STATUSES[step.status], step.attempts > 1 ? `${step.attempts} attempts` : null, took].filter(Boolean).join(" · ");
  }

  function renderDetails() {
    const number = tl.selected;
    const step = state.steps[number];
    if (step === undefined) return;
    const stick = pane.querySelector(".wf-log");
    const wasAtEnd = !stick || stick.scrollTop + stick.clientHeight >= stick.scrollHeight - 8;
    const over = isOver(state.run);
    const act = (text, cmd, title) => h("button", { type: "button", disabled: cmd === "restart" && !over, title: cmd === "restart" && !over ? "While the run is in progress it cannot be restarted: cancel it first" : title, onclick: () => command({ cmd, step: number }) }, text);
    const head = h("div.details-head", {}, h("span.number", {}, `${number}`), h("strong", {}, state.names[step.name]), h("button.icon", { type: "button", title: "Close (Esc)", "aria-label": "Close the details", onclick: () => (tl.select(null), tl.focus()) }, "×"));
    const parts = [head, h("p.facts", { "data-status": STATUSES[step.status] }, factsOf(step)), progress];
    const section = (title, ...content) => parts.push(h("h4.section", {}, title), ...content);
    if (details === null) {
      parts.push(h("p.help", {}, goneAt === null ? "…" : "Its values are in the journal: show the run again"));
    } else {
      if (details.problem) parts.push(h("p.error", {}, details.problem));
      if (details.error) {
        section("Error", ...errorOf(details.error, true));
      }
      if (details.args?.length) section("Arguments", h("dl.values", {}, details.args.flatMap(([key, text]) => [h("dt", {}, key), h("dd", {}, h("pre.code", {}, text))])));
      if (details.result !== undefined && details.result !== null) section("Result", h("pre.code", { tabindex: "0" }, details.result));
      if (details.log?.length) section("Log", h("div.log", { role: "log", tabindex: "0", "aria-label": "Log of the step" }, details.log.map(([at, text, kind = "log"]) => h("div", { "data-kind": kind }, h("time", { title: `${precise(at)} (${zoneAt(at)})` }, clockTime(at)), h("i", {}, TAGS[kind] ?? kind), h("span", {}, text)))));
      const more = [];
      if (details.child) more.push([h("dt", {}, "child run"), h("dd", {}, h("code", {}, details.child))]);
      if (details.event_id) more.push([h("dt", {}, "event id"), h("dd", {}, h("code", {}, details.event_id))]);
      if (details.tries?.length) more.push(...details.tries.map(([n, text]) => [h("dt", {}, `attempt ${n}`), h("dd", {}, text)]));
      if (details.times?.length) more.push(...details.times.map(([key, at]) => [h("dt", {}, key), h("dd", {}, h("time", { title: zoneAt(at) }, precise(at)))]));
      if (more.length) section("More", h("dl.values.small", {}, more.flat()));
    }
    const opener = step.child ? h("button.primary", { type: "button", title: "Show the child run here (Enter)", onclick: () => open(step.child) }, "Open child run") : null;
    const fork = h("button", { type: "button", title: "A new run with the steps before this one, and other arguments if you like", onclick: () => askFork(number) }, "Fork from here");
    const buttons = h("div.buttons", { hidden: !!state.run.deleted }, opener, act("Restart from here", "restart", "Drop this step and later ones, and go on from here"), fork);
    if (goneAt !== null) still(buttons);
    parts.push(buttons);
    const top = pane.scrollTop;
    const hadFocus = pane.contains(document.activeElement) ? document.activeElement.textContent : null;
    pane.replaceChildren(...parts);
    pane.scrollTop = top;
    if (hadFocus) [...pane.querySelectorAll("button")].find((b) => b.textContent === hadFocus)?.focus();
    pane.dataset.step = number;
    pane.dataset.loaded = String(details !== null);
    const log = pane.querySelector(".wf-log");
    if (log && wasAtEnd) log.scrollTop = log.scrollHeight;
    renderProgress();
  }
  pane.addEventListener("keydown", (e) => e.key === "Escape" && (e.stopPropagation(), tl.select(null), tl.focus()));
  // Jupyter's command mode listens on the document: what is typed here is not for it
  el.addEventListener("keydown", (e) => e.target.matches?.("input, textarea, select, [contenteditable]") && e.stopPropagation());
  el.dataset.lmSuppressShortcuts = "true";

  const clock = setInterval(() => {
    if (goneAt !== null || isOver(state.run) || state.seq < 0 || document.hidden) return;
    showElapsed();
    const step = state.steps[tl.selected];
    if (step && step.ended === null) pane.querySelector(".wf-facts").textContent = factsOf(step);
    tl.invalidate();
  }, 100);

  if (snapshot?.run) receive({ ...snapshot, k: "snap" });
  else tl.update(state, shown);

  return {
    el, receive, gone,
    hello: () => send({ k: "hello", seq: state.seq, view: viewId }),
    retheme: tl.retheme,
    invalidate: tl.invalidate,
    stop() {
      clearInterval(clock);
      clearTimeout(detailsTimer);
      for (const { timer } of pending.values()) clearTimeout(timer);
      tl.stop();
      send({ k: "bye", view: viewId });
    },
    get state() { return state; },
  };
}
