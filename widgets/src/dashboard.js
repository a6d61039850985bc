// The dashboard: what the state says, as DOM; what the user does, as messages. `send` takes a message for the kernel; `embed(id, place)`
// puts the view of another widget in place, and returns a promise of what takes it away.
import { EMPTY, STATUSES, done, failureRate, looking, pageCount, percent, reduce, selecting, sortedBy, toggled } from "./dashboard_reduce.js";
import { stepsPanel } from "./dashboard_steps.js";
import { h } from "./form.js";
import { instant, zoneAt } from "./instants.js";
import { GONE, SLOW, still } from "./lifeline.js";
import { duration } from "./reduce.js";

const WORDS = { in_progress: "in progress", completed: "completed", failed: "failed", canceled: "canceled" };
const SIGNS = { in_progress: "▸", completed: "✓", failed: "✕", canceled: "–" };
const COLUMNS = [["status", "Status"], [null, "Run"], ["name", "Workflow"], ["created", "Started"], ["duration", "Took"], [null, "Note"]];
const TYPING = 250; // ms after a key before we search
const PATIENCE = 10_000; // ms without an answer before the user is told so
const STEPS_EVERY = 5_000; // ms between looks at the durations of steps
const SHARE = 10; // ... or this many times what the last one took
const MOST_RESULTS = 100;
const BULK = {
  cancel: { text: "Cancel", ask: (n) => `Cancel ${n} and their children? Steps that run are stopped.`, yes: (n) => `Cancel ${n}`, no: "Keep them running" },
  restart: { text: "Restart" },
  cleanup: { text: "Clean up", ask: (n) => `Delete ${n} from the journal, with their steps, events and children? This cannot be undone.`, yes: (n) => `Delete ${n}`, no: "Keep them" },
};

let commands = 0;

export function dashboard(send, { embed }) {
  let state = EMPTY;
  let skew = 0; // the kernel's time minus ours
  let isSeen = true;
  let isGone = false; // the kernel
  let typing = 0;
  let patience = 0;
  let isTroubled = false; // no page came, and the user was told so
  let anchor = null; // the run whose box was last ticked, for shift and click
  const steps = { isOpen: false, name: null, n: 0, askedAt: 0, nextAt: 0, timer: 0 };
  const viewId = Math.random().toString(36).slice(2, 10);
  const pending = new Map(); // command id -> {timer, from: the button}
  const rows = new Map(); // run id -> parts of its row
  const opened = new Map(); // run id -> {el, place, close}
  const n = (count) => count.toLocaleString("en");
  const runsOf = (count) => `${n(count)} ${count === 1 ? "run" : "runs"}`;
  const nowOf = () => performance.now() + skew;

  // -- the frame --

  const button = (text, title, act, cls = "button", more = {}) => h(cls, { type: "button", title, onclick: act, ...more }, text);
  const path = h("code.id", { title: "The journal" });
  const told = h("span.told");
  const stepsButton = button("Step durations", "How long the steps of a workflow took, over time", () => toggleSteps(), "button", { "aria-expanded": "false" });
  const chips = h("div.counts", { role: "group", "aria-label": "Show only runs that are" });
  const namesButton = button("", "Show only runs of some workflows", () => toggleNames(), "button.chip", { "aria-expanded": "false" });
  const names = h("div.names", { hidden: true, role: "group", "aria-label": "Show only runs of" });
  const search = h("input.search", { type: "search", placeholder: "Find id, name, error", "aria-label": "Show only runs whose id, workflow or error contains", oninput: () => searchSoon(TYPING) });
  const loss = h("p.gone", { role: "alert", hidden: true }, `${GONE} Run the cell again for the runs as they are now.`);
  const chosen = h("span.chosen", { "aria-live": "polite" });
  const bulk = Object.entries(BULK).map(([cmd, { text }]) => button(text, `${text} the selected runs`, () => begin(cmd), "button", { "data-cmd": cmd }));
  const clear = button("Clear", "Select no run", () => (change(selecting(state, [...state.selected], false)), all.focus()), "button.quiet");
  const ask = h("div.ask", { hidden: true });
  const results = h("div.results", { hidden: true });
  const all = h("input", { type: "checkbox", "aria-label": "Select all runs of this page", onchange: () => change(selecting(state, idsOnPage(), all.checked)) });
  const sorts = COLUMNS.map(([sort, text]) => h(sort === "duration" ? "th.right" : "th", { scope: "col", "data-sort": sort }, sort ? button(text, `Sort by ${text.toLowerCase()}`, () => question(sortedBy(state, sort)), "button.sort") : text));
  const body = h("tbody");
  const table = h("table.grid.runs", { "aria-label": "Runs" }, h("thead", {}, h("tr", {}, h("th.tick", { scope: "col" }, all), sorts)), body);
  const empty = h("p.empty-list", { hidden: true });
  const range = h("span.range", { "aria-live": "polite" });
  const turn = (text, title, to) => button(text, title, () => question(looking(state, { page: to(state.look.page) })), "button.icon", { "aria-label": title });
  const first = turn("⇤", "First page", () => 0);
  const previous = turn("←", "Previous page (Page Up)", (p) => p - 1);
  const next = turn("→", "Next page (Page Down)", (p) => p + 1);
  const lastPage = turn("⇥", "Last page", () => pageCount(state.page) - 1);
  const number = h("input.text.page-number", { type: "number", min: "1", "aria-label": "Page", onchange: () => turnTo(Number(number.value)) });
  const pages = h("span.pages");
  const pager = h("nav.pager", { "aria-label": "Pages" }, range, h("span.grow"), first, previous, number, pages, next, lastPage);
  const panel = stepsPanel((name) => askSteps(name));
  const cards = h("section.opened", { hidden: true, "aria-label": "Opened runs" });
  const live = h("div.live", { role: "status", "aria-live": "polite" });
  const el = h("article.card.dashboard", { "aria-label": "All runs", "data-view": viewId },
    h("header.header", {}, h("div.title", {}, h("strong.name", {}, "Runs"), path, told), h("div.actions", {}, stepsButton)), loss,
    h("div.tools", {}, chips, namesButton, h("span.grow"), search), names, panel.el,
    h("div.bulk", { role: "group", "aria-label": "With the selected runs" }, chosen, bulk, clear), ask, results,
    h("div.scroll", {}, table, empty), pager, live, cards);

  // -- asking --

  function question(asked) {
    if (isGone) return;
    change(asked);
    send({ k: "look", view: viewId, n: state.n, look: state.look });
    clearTimeout(patience);
    patience = setTimeout(() => {
      isTroubled = true;
      slow();
    }, PATIENCE);
  }

  function refresh() {
    if (state.isStale && !state.isAsking && isSeen && !document.hidden) question(looking(state));
  }

  function searchSoon(after) {
    clearTimeout(typing);
    typing = setTimeout(() => {
      const text = search.value.trim();
      if (text !== state.look.text) question(looking(state, { text }));
    }, after);
  }
  search.addEventListener("keydown", (e) => e.key === "Enter" && searchSoon(0));

  function turnTo(page) {
    if (!state.page || !Number.isFinite(page)) return;
    question(looking(state, { page: Math.min(pageCount(state.page), Math.max(1, Math.round(page))) - 1 }));
  }

  // -- messages --

  function receive(message) {
    if (message.k === "ack" || message.k === "progress") return message.k === "ack" ? acknowledged(message) : progressed(message);
    if (message.view !== viewId) return;
    if (message.k === "opened") return placeCard(message);
    if (message.k === "steps") return showSteps(message);
    const after = reduce(state, message);
    if (after === state) return;
    const isAnswer = message.k === "page";
    if (isAnswer && !message.problem) skew = message.now - performance.now();
    if (isAnswer) clearTimeout(patience);
    if (isAnswer && message.problem) say(message.problem, "bad");
    else if (isAnswer && isTroubled) say(""); // it is over; what a command came to stays
    if (isAnswer) isTroubled = !!message.problem;
    change(after);
    if (isAnswer && steps.isOpen) stepsSoon();
    refresh();
  }

  // -- showing --

  function change(after) {
    const before = state;
    state = after;
    if (state.page && state.page !== before.page) {
      showCounts();
      showRows();
    }
    if (state.page && (state.page !== before.page || state.look !== before.look)) {
      showFilters();
      showPager();
    }
    if (state.selected !== before.selected || state.page !== before.page) showSelection();
    el.dataset.asking = String(state.isAsking);
    el.dataset.n = state.page?.n ?? "";
  }

  function showCounts() {
    const { counts, path: where } = state.page;
    path.textContent = where;
    const rate = failureRate(counts);
    told.textContent = rate === null ? "" : `${percent(rate)} failed`;
    told.title = `Of ${n(counts.failed + counts.completed)} that completed or failed, ${n(counts.failed)} failed; canceled ones are not counted`;
    for (const status of STATUSES) {
      let chip = [...chips.children].find((c) => c.dataset.state === status);
      if (!chip) {
        chip = h("button.chip", { type: "button", "data-state": status, onclick: () => question(looking(state, { statuses: toggled(state.look.statuses, status) })) }, h("span.state-sign", { "aria-hidden": "true" }, SIGNS[status]), h("b"), ` ${WORDS[status]}`);
        chips.append(chip);
      }
      put(chip.querySelector("b"), n(counts[status]));
    }
    const known = new Map([...names.children].map((c) => [c.dataset.name, c]));
    for (const [name, count] of state.page.names) {
      let chip = known.get(name);
      known.delete(name);
      if (!chip) {
        chip = h("button.chip", { type: "button", "data-name": name, onclick: () => question(looking(state, { names: toggled(state.look.names, name) })) }, h("b"), ` ${name}`);
        names.append(chip);
      }
      put(chip.querySelector("b"), n(count));
    }
    for (const chip of known.values()) chip.remove();
  }

  function showFilters() {
    const { look } = state;
    for (const chip of chips.children) chip.setAttribute("aria-pressed", String(look.statuses.includes(chip.dataset.state)));
    for (const chip of names.children) chip.setAttribute("aria-pressed", String(look.names.includes(chip.dataset.name)));
    put(namesButton, `${look.names.length === 0 ? "All workflows" : look.names.length === 1 ? look.names[0] : `${look.names.length} workflows`} ${names.hidden ? "▾" : "▴"}`);
    namesButton.dataset.some = String(look.names.length > 0);
    for (const th of sorts) {
      if (!th.dataset.sort) continue;
      const isIt = th.dataset.sort === look.sort;
      th.setAttribute("aria-sort", isIt ? (look.desc ? "descending" : "ascending") : "none");
    }
  }

  function showRows() {
    const focused = el.contains(document.activeElement) ? document.activeElement : null;
    const ids = idsOnPage();
    for (const [id, row] of rows) {
      if (ids.includes(id)) continue;
      row.tr.remove();
      rows.delete(id);
    }
    for (const run of state.page.rows) {
      if (!rows.has(run.id)) rows.set(run.id, rowFor(run.id));
      fillRow(rows.get(run.id), run);
    }
    const wanted = ids.map((id) => rows.get(id).tr);
    if (wanted.some((tr, i) => tr !== body.children[i])) body.replaceChildren(...wanted);
    if (focused && focused !== document.activeElement) (focused.isConnected ? focused : all).focus();
    const { look, page } = state;
    const isFiltered = look.text || look.names.length || look.statuses.length;
    empty.hidden = page.rows.length > 0;
    empty.textContent = isFiltered ? "No run is like that" : "There are no runs yet";
  }

  function rowFor(id) {
    const tick = h("input", { type: "checkbox", "aria-label": `Select run ${id}`, onclick: (e) => tickBox(id, e) });
    const sign = h("span.state-sign", { "aria-hidden": "true" });
    const word = h("span");
    const open = h("button.link", { type: "button", title: "Open its card", "aria-expanded": String(opened.has(id)), onclick: () => (opened.has(id) ? closeCard(id) : openCard(id)) }, id);
    const parts = { tick, sign, word, open, name: h("td.cut"), created: h("time"), took: h("td.right"), note: h("td.cut.note") };
    const state_ = h("td.state", {}, sign, " ", word);
    parts.tr = h("tr", { "data-run": id }, h("td.tick", {}, tick), state_, h("th", { scope: "row" }, open), parts.name, h("td", {}, parts.created), parts.took, parts.note);
    return parts;
  }

  function fillRow(row, run) {
    row.run = run;
    row.tr.dataset.state = run.status;
    put(row.sign, SIGNS[run.status]);
    put(row.word, WORDS[run.status]);
    put(row.name, run.name);
    put(row.created, instant(run.created));
    row.created.setAttribute("datetime", new Date(run.created).toISOString());
    row.created.title = zoneAt(run.created);
    put(row.note, run.note ?? "");
    row.name.title = run.name;
    row.note.title = run.note ?? "";
    showTook(row);
  }

  function showTook({ run, took }) {
    if (run.ended !== null) return put(took, duration(run.ended - run.created));
    const s = Math.max(0, Math.floor((nowOf() - run.created) / 1000)); // it ticks once a second
    put(took, s < 60 ? `${s} s` : duration(s * 1000));
  }
  const put = (place, text) => place.textContent !== text && (place.textContent = text);
  const idsOnPage = () => state.page?.rows.map((run) => run.id) ?? [];

  function showPager() {
    const { page } = state;
    const from = page.page * page.size;
    const last = pageCount(page) - 1;
    put(range, page.total ? `${n(from + 1)}–${n(from + page.rows.length)} of ${runsOf(page.total)}` : "no runs");
    put(pages, `of ${n(last + 1)}`);
    if (document.activeElement !== number) number.value = String(page.page + 1);
    number.max = String(last + 1);
    const hadFocus = document.activeElement;
    first.disabled = previous.disabled = state.look.page <= 0;
    next.disabled = lastPage.disabled = state.look.page >= last;
    if (hadFocus?.disabled && pager.contains(hadFocus)) number.focus();
    pager.hidden = page.total <= page.size;
  }

  function showSelection() {
    const ids = idsOnPage();
    const ticked = ids.filter((id) => state.selected.has(id)).length;
    all.checked = ids.length > 0 && ticked === ids.length;
    all.indeterminate = ticked > 0 && ticked < ids.length;
    for (const [id, row] of rows) {
      row.tick.checked = state.selected.has(id);
      row.tr.dataset.selected = String(row.tick.checked);
    }
    const count = state.selected.size;
    const elsewhere = count - ticked;
    put(chosen, count ? `${runsOf(count)} selected${elsewhere ? ` (${n(elsewhere)} on other pages)` : ""}` : "No run selected");
    for (const b of bulk) b.disabled = count === 0 || pending.size > 0;
    clear.hidden = count === 0;
    if (count === 0) closeAsk();
  }

  function tickBox(id, event) {
    const ids = idsOnPage();
    const [a, b] = [ids.indexOf(anchor), ids.indexOf(id)];
    const chosenIds = event.shiftKey && a >= 0 ? ids.slice(Math.min(a, b), Math.max(a, b) + 1) : [id];
    anchor = id;
    change(selecting(state, chosenIds, rows.get(id).tick.checked));
  }

  function toggleNames() {
    names.hidden = !names.hidden;
    namesButton.setAttribute("aria-expanded", String(!names.hidden));
    if (state.page) showFilters();
  }

  // -- what is done with several runs --

  function begin(cmd) {
    const ids = [...state.selected];
    const from = bulk.find((b) => b.dataset.cmd === cmd);
    const { ask: text, yes, no } = BULK[cmd];
    if (!text) return command(cmd, ids, from);
    const keep = () => (closeAsk(), from.focus());
    const refuse = h("button", { type: "button", onclick: keep }, no);
    const agree = h("button.danger", { type: "button", onclick: () => (closeAsk(), command(cmd, ids, from)) }, yes(runsOf(ids.length)));
    ask.replaceChildren(h("span", {}, text(runsOf(ids.length))), agree, refuse);
    ask.onkeydown = (e) => e.key === "Escape" && (e.stopPropagation(), keep());
    ask.setAttribute("role", "alertdialog");
    ask.setAttribute("aria-label", text(runsOf(ids.length)));
    ask.hidden = false;
    refuse.focus();
  }
  const closeAsk = () => ((ask.hidden = true), ask.replaceChildren());

  function command(cmd, runs, from) {
    const id = `${viewId}-${++commands}`;
    pending.set(id, { timer: setTimeout(slow, PATIENCE), from });
    results.hidden = true;
    say("…");
    showSelection();
    send({ k: "cmd", id, cmd, runs });
  }
  const slow = () => say(SLOW, "bad");

  function progressed(message) {
    const waiting = pending.get(message.id);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    waiting.timer = setTimeout(slow, PATIENCE * 4);
    say(`${n(message.done)} of ${runsOf(message.total)} …`);
  }

  function acknowledged(message) {
    const waiting = pending.get(message.id);
    if (!waiting) return; // another view's
    pending.delete(message.id);
    clearTimeout(waiting.timer);
    say(message.msg ?? "", message.ok ? "good" : "bad");
    live.dataset.ack = message.id;
    const told_ = message.results ?? [];
    const refused = told_.filter(([, ok]) => !ok);
    results.hidden = refused.length === 0;
    if (refused.length) {
      const items = refused.slice(0, MOST_RESULTS).map(([run, , text]) => h("li", {}, h("code", {}, run), ` ${text}`));
      const more = refused.length - items.length;
      if (more > 0) items.push(h("li", {}, `and ${n(more)} more`));
      const close = h("button.icon", { type: "button", "aria-label": "Close", title: "Close", onclick: () => ((results.hidden = true), all.focus()) }, "×");
      results.replaceChildren(h("details", {}, h("summary", {}, `${runsOf(refused.length)} not done`), h("ul", {}, items)), close);
    }
    change(done(state, told_));
    showSelection();
    waiting.from.disabled ? all.focus() : waiting.from.focus();
  }

  function say(text, tone = "") {
    live.textContent = text;
    live.dataset.tone = tone;
  }

  // -- cards --

  function openCard(id) {
    const place = h("div");
    const close = h("button.icon", { type: "button", "aria-label": `Close the card of run ${id}`, title: "Close", onclick: () => closeCard(id) }, "×");
    const box = h("div.box", { "data-run": id }, close, place);
    opened.set(id, { box, place, close, take: null });
    cards.prepend(box);
    cards.hidden = false;
    rows.get(id)?.open.setAttribute("aria-expanded", "true");
    send({ k: "open", view: viewId, run: id });
  }

  async function placeCard(message) {
    const found = opened.get(message.run);
    if (!found || found.take) return;
    if (message.problem) {
      say(message.problem, "bad");
      return closeCard(message.run);
    }
    try {
      const take = await embed(message.card, found.place);
      if (opened.get(message.run) !== found) return take();
      found.take = take;
      requestAnimationFrame(() => found.box.scrollIntoView?.({ block: "nearest" })); // once it has its height
      say(`The card of run ${message.run} is open below`);
    } catch (error) {
      console.warn("wfkernel: no card can be put into the dashboard here", error);
      closeCard(message.run);
      send({ k: "open", view: viewId, run: message.run, below: true });
      say(`The card of run ${message.run} is shown below the cell`);
    }
  }

  function closeCard(id) {
    const found = opened.get(id);
    if (!found) return;
    const hadFocus = found.box.contains(document.activeElement);
    found.take?.();
    found.box.remove();
    opened.delete(id);
    cards.hidden = opened.size === 0;
    const open = rows.get(id)?.open;
    open?.setAttribute("aria-expanded", "false");
    if (hadFocus) (open ?? all).focus();
  }

  // -- steps --

  function toggleSteps() {
    steps.isOpen = panel.el.hidden;
    panel.el.hidden = !steps.isOpen;
    stepsButton.setAttribute("aria-expanded", String(steps.isOpen));
    if (steps.isOpen) askSteps();
  }

  function askSteps(name = steps.name) {
    const known = state.page?.names ?? [];
    const most = known.reduce((a, b) => (b[1] > (a?.[1] ?? 0) ? b : a), null);
    steps.name = name ?? state.look.names[0] ?? most?.[0] ?? null;
    if (steps.name === null) return;
    steps.askedAt = performance.now();
    steps.nextAt = Infinity;
    send({ k: "steps", view: viewId, n: ++steps.n, name: steps.name });
  }

  function stepsSoon() {
    if (steps.timer || steps.nextAt === Infinity) return;
    steps.timer = setTimeout(() => {
      steps.timer = 0;
      if (steps.isOpen) askSteps();
    }, Math.max(0, steps.nextAt - performance.now()));
  }

  function showSteps(message) {
    if (message.n !== steps.n) return;
    const now = performance.now();
    steps.nextAt = now + Math.max(STEPS_EVERY, SHARE * (now - steps.askedAt));
    panel.show(message, (state.page?.names ?? []).map(([name]) => name));
  }

  // -- the kernel has gone: what is shown stays, as it was then --

  function gone() {
    isGone = true;
    for (const timer of [typing, patience, steps.timer]) clearTimeout(timer);
    for (const { timer } of pending.values()) clearTimeout(timer);
    closeAsk();
    say("");
    loss.hidden = false;
    still(el);
  }

  // -- keys --

  table.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const tr = e.target.closest?.("tbody tr");
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (tr && step) {
      const other = body.children[[...body.children].indexOf(tr) + step];
      other?.querySelector(e.target.type === "checkbox" ? "input" : ".wf-link").focus();
      e.preventDefault();
    } else if (e.key === "PageDown" || e.key === "PageUp") {
      const to = e.key === "PageDown" ? next : previous;
      if (!to.disabled) to.click();
      e.preventDefault();
    } else return;
    e.stopPropagation();
  });
  // Jupyter's command mode listens on the document: what is typed here is not for it
  el.addEventListener("keydown", (e) => e.target.matches?.("input, textarea, select, button, [contenteditable]") && e.stopPropagation());
  el.dataset.lmSuppressShortcuts = "true";

  const clock = setInterval(() => {
    if (document.hidden || !isSeen || isGone) return;
    for (const row of rows.values()) if (row.run.ended === null) showTook(row);
  }, 1000);
  document.addEventListener("visibilitychange", refresh);
  showSelection();

  return {
    el, receive, gone,
    hello: () => question(looking(state)),
    see: (is) => ((isSeen = is), refresh()),
    retheme() {},
    invalidate() {},
    stop() {
      clearInterval(clock);
      for (const timer of [typing, patience, steps.timer]) clearTimeout(timer);
      for (const { timer } of pending.values()) clearTimeout(timer);
      document.removeEventListener("visibilitychange", refresh);
      for (const id of [...opened.keys()]) closeCard(id);
      send({ k: "bye", view: viewId });
    },
    get state() { return state; },
  };
}
