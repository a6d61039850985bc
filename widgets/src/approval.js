// The form of `approve(run, event)`: what a run waits for, and the answer. The kernel tells the whole state each time it changes:
// {k: "approval", run: {id, name, status}, about: [[label, text]], event, type, form, help, over: null or {tone, text}}.
import { eventForm, h } from "./form.js";
import { GONE, SLOW, still } from "./lifeline.js";

const PATIENCE = 10_000; // ms without an answer before the user is told so

let commands = 0;

export function approval(send, { snapshot = null } = {}) {
  const viewId = Math.random().toString(36).slice(2, 10);
  const pending = new Map(); // command id -> timer
  let form = null;
  let state = null;

  const name = h("strong.name");
  const id = h("code.id", { title: "The run's id" });
  const about = h("dl.values.small");
  const place = h("div.approvals");
  const over = h("p.over", { hidden: true });
  const loss = h("p.gone", { role: "alert", hidden: true }, `${GONE} Run the notebook's cells again: the run goes on from where it was, and can be answered here.`);
  const live = h("div.live", { role: "status", "aria-live": "polite" });
  const header = h("header.header", {}, h("div.title", {}, name, id));
  const el = h("article.card.approval", { "data-view": viewId }, header, h("div.about", {}, about), loss, place, over, live);
  el.addEventListener("keydown", (e) => e.target.matches?.("input, textarea, select, [contenteditable]") && e.stopPropagation());
  el.dataset.lmSuppressShortcuts = "true";

  function say(text, tone = "") {
    live.textContent = text;
    live.dataset.tone = tone;
  }

  function receive(message) {
    if (message.k === "ack") return acknowledged(message);
    if (message.k !== "approval") return;
    state = message;
    name.textContent = state.run.name;
    id.textContent = state.run.id;
    el.setAttribute("aria-label", `Event ${state.event} of run ${state.run.name} ${state.run.id}`);
    about.replaceChildren(...state.about.flatMap(([key, text]) => [h("dt", {}, key), h("dd", {}, h("pre.code", {}, text))]));
    about.parentNode.hidden = state.about.length === 0;
    if (!form && !state.over) {
      form = eventForm(state, answer);
      place.replaceChildren(form.el);
    }
    place.hidden = state.over !== null;
    over.hidden = state.over === null;
    over.textContent = state.over?.text ?? "";
    over.dataset.tone = state.over?.tone ?? "";
    el.dataset.over = String(state.over !== null);
  }

  function answer(text) {
    const command = `${viewId}-${++commands}`;
    pending.set(command, setTimeout(() => say(SLOW, "bad"), PATIENCE));
    say("…");
    send({ k: "cmd", id: command, cmd: "send", event: state.event, json: `{"value":${text}}` });
  }

  function acknowledged(message) {
    if (!pending.has(message.id)) return; // another view's
    clearTimeout(pending.get(message.id));
    pending.delete(message.id);
    say(message.msg ?? "", message.ok ? "good" : "bad");
    live.dataset.ack = message.id;
    form?.answer(message);
  }

  function gone() {
    for (const timer of pending.values()) clearTimeout(timer);
    pending.clear();
    say("");
    loss.hidden = !!state?.over; // it was answered: nothing is left to do
    still(el);
  }

  if (snapshot?.run) receive({ ...snapshot, k: "approval" });

  return {
    el, receive, gone,
    hello: () => send({ k: "hello", view: viewId }),
    retheme() {},
    invalidate() {},
    stop() {
      for (const timer of pending.values()) clearTimeout(timer);
      send({ k: "bye", view: viewId });
    },
  };
}
