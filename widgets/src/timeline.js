// The timeline: a strip with every step, an axis, and one row a step. Rows are drawn on a canvas, only those that are seen, once a
// frame at most; beside it lies a list of the same rows for the keyboard and for screen readers.
import { h } from "./form.js";
import { CANCELED, FAILED, KINDS, RUNNING, SCHEDULED, STATUSES, SUCCESS, duration, isOver } from "./reduce.js";
import { colorOf, drawStep, themeOf } from "./paint.js";

const ROW = 20;
const AXIS = 20;
const STRIP = 44;
const MAX_ROWS = 14; // rows that are seen without scrolling
const TIME = 84; // the column of durations
const GAP = 10;
const MIN_SPAN = 0.5; // ms; deeper zoom shows nothing more
const HELP = "Up and Down choose a step, Left and Right move in time, + and − zoom, Home shows all, Enter opens a child run, Backspace goes back.";

/** `onselect(number)` is told of a choice, `onopen(number)` of Enter, `onback()` of Backspace; `nowOf()` gives the kernel's time, ms since run.t0. */
export function timeline({ onselect, onopen = () => {}, onback = () => {}, nowOf }) {
  const strip = h("canvas.strip", { "aria-hidden": "true" });
  const canvas = h("canvas.bars", { "aria-hidden": "true" });
  const spacer = h("div.spacer");
  const list = h("div.list", { role: "listbox", tabindex: "0", "aria-label": `Steps. ${HELP}`, title: "" }, spacer);
  const empty = h("p.empty", {}, "No steps yet");
  const rows = h("div.rows", {}, canvas, list, empty);
  const el = h("div.timeline", {}, strip, rows);

  let state = null;
  let numbers = []; // of the steps shown, top to bottom
  let place = new Map(); // number -> index in `numbers`
  let selected = null;
  let view = null; // [from, to] in ms, or null: everything
  let theme = null;
  let frame = 0;
  let width = 0;
  let follows = true; // stays at the bottom while new steps come
  let stripIsStale = true;
  let stripDrawn = 0;
  const options = []; // the DOM of the rows that are seen, used again and again
  const texts = new Map(); // a name and a width -> what fits

  const wholeSpan = () => {
    let end = Math.max(state.last, isOver(state.run) ? (state.run.ended ?? 0) : nowOf());
    return [0, Math.max(end * (isOver(state.run) ? 1 : 1.02), 1)];
  };
  const span = () => view ?? wholeSpan();
  const labelWidth = () => Math.round(Math.min(230, Math.max(96, width * 0.24)));
  const numberWidth = () => 26 + 7 * Math.max(2, String(state.steps.length).length); // of the column of step numbers and marks
  const left = () => numberWidth() + labelWidth() + GAP;
  const right = () => Math.max(left() + 40, width - TIME - GAP);

  function update(next, shown) {
    const wasAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - ROW;
    const grew = shown.length > numbers.length;
    if (next !== state || shown !== numbers) stripIsStale = true;
    if (shown !== numbers) {
      numbers = shown;
      place = new Map(shown.map((n, i) => [n, i]));
      spacer.style.height = `${shown.length * ROW}px`;
      rows.style.height = `${AXIS + Math.max(2, Math.min(MAX_ROWS, shown.length)) * ROW + 4}px`;
      empty.hidden = shown.length > 0;
    }
    state = next;
    empty.textContent = state.isLoaded ? (state.steps.length ? "No step is like this" : isOver(state.run) ? "No steps" : "No steps yet") : "Waiting for the kernel …";
    strip.hidden = numbers.length <= MAX_ROWS && view === null;
    if (grew && follows && wasAtEnd && selected === null && !isOver(state.run)) list.scrollTop = spacer.offsetHeight;
    invalidate();
  }

  function invalidate() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    if (state === null || !el.isConnected) return;
    if (rows.clientWidth === 0) return;
    if (width !== rows.clientWidth) stripDrawn = 0; // at once: it would be stretched meanwhile
    stripIsStale ||= width !== rows.clientWidth;
    width = rows.clientWidth;
    theme ??= themeOf(el);
    const began = performance.now();
    drawRows();
    const isLive = !isOver(state.run);
    if (!strip.hidden && (stripIsStale || isLive) && began - stripDrawn > (stripIsStale ? 90 : 450)) drawStrip();
    else if (!strip.hidden && stripIsStale) setTimeout(invalidate, 100);
    placeOptions();
    el.dataset.frame = (performance.now() - began).toFixed(2);
  }

  function size(target, w, hgt) {
    const ratio = window.devicePixelRatio || 1;
    if (target.width !== Math.round(w * ratio) || target.height !== Math.round(hgt * ratio)) {
      target.width = Math.round(w * ratio);
      target.height = Math.round(hgt * ratio);
      target.style.height = `${hgt}px`;
      theme.patterns.clear();
      if (target === strip) stripIsStale = true;
    }
    const g = target.getContext("2d");
    g?.setTransform(ratio, 0, 0, ratio, 0, 0);
    return g;
  }

  function drawRows() {
    const height = rows.clientHeight;
    const g = size(canvas, width, height);
    if (!g) return;
    g.clearRect(0, 0, width, height);
    const [from, to] = span();
    const [l, r] = [left(), right()];
    const x = (ms) => l + ((ms - from) / (to - from)) * (r - l);
    g.font = `11px ${theme.font}`;
    g.textBaseline = "middle";
    drawAxis(g, x, from, to, l, r, height);
    g.save();
    g.beginPath();
    g.rect(0, AXIS, width, height - AXIS);
    g.clip();
    const top = list.scrollTop;
    const first = Math.max(0, Math.floor(top / ROW));
    const last = Math.min(numbers.length - 1, Math.ceil((top + height - AXIS) / ROW));
    const now = nowOf();
    for (let i = first; i <= last; i++) {
      const step = state.steps[numbers[i]];
      const y = AXIS + i * ROW - top;
      if (numbers[i] === selected) {
        g.fillStyle = theme.select;
        g.fillRect(0, y, width, ROW);
        g.fillStyle = theme.accent;
        g.fillRect(0, y, 2.5, ROW);
      } else if (i % 2) {
        g.fillStyle = theme.stripe;
        g.fillRect(0, y, width, ROW);
      }
      drawLabel(g, step, y + ROW / 2 + 0.5, now);
    }
    g.save();
    g.beginPath();
    g.rect(l - 6, AXIS, r - l + 12, height - AXIS);
    g.clip();
    for (let i = first; i <= last; i++) {
      const step = state.steps[numbers[i]];
      const mid = AXIS + i * ROW - top + ROW / 2;
      drawStep(g, theme, step, x, mid, l, r, now);
      if (view !== null) drawArrow(g, step, mid, l, r, now);
    }
    g.restore();
    g.restore();
  }

  function drawLabel(g, step, mid, now) {
    const NUMBER = numberWidth();
    g.textAlign = "right";
    g.fillStyle = theme.faint;
    g.fillText(String(step.number), NUMBER - 14, mid);
    drawMark(g, step, NUMBER - 3, mid);
    g.textAlign = "left";
    g.fillStyle = step.status === FAILED ? theme.failed : step.status === SCHEDULED || step.status === CANCELED ? theme.faint : theme.ink;
    g.fillText(fitting(g, state.names[step.name], labelWidth() - 10), NUMBER + 8, mid);
    g.textAlign = "right";
    g.fillStyle = theme.faint;
    const from = step.started ?? step.scheduled;
    const time = step.status === SCHEDULED ? (step.due !== null && step.due > now ? `in ${duration(step.due - now)}` : "waits") : duration((step.ended ?? now) - from);
    g.fillText(step.attempts > 1 ? `×${step.attempts}  ${time}` : time, width - 8, mid);
  }

  /** Where the bar is that is not seen. */
  function drawArrow(g, step, mid, l, r, now) {
    const [begin, end] = extent(step, now);
    const side = end < view[0] ? -1 : begin > view[1] ? 1 : 0;
    if (side === 0) return;
    const x = side < 0 ? l : r;
    g.fillStyle = colorOf(theme, step);
    g.beginPath();
    g.moveTo(x, mid - 4);
    g.lineTo(x, mid + 4);
    g.lineTo(x + 5 * side, mid);
    g.closePath();
    g.fill();
  }
  const extent = (step, now) => [step.scheduled ?? step.started ?? 0, step.status <= RUNNING ? now : (step.ended ?? step.started ?? 0)];

  /** What became of the step, as a shape before its name. */
  function drawMark(g, step, x, y) {
    g.lineWidth = 1.6;
    g.strokeStyle = g.fillStyle = step.status === SUCCESS ? theme.good : step.status === RUNNING ? theme.accent : step.status === FAILED ? theme.failed : theme.faint;
    g.beginPath();
    if (step.status === FAILED) {
      g.moveTo(x - 3, y - 3.5); g.lineTo(x + 3, y + 2.5); g.moveTo(x + 3, y - 3.5); g.lineTo(x - 3, y + 2.5);
    } else if (step.status === CANCELED) {
      g.moveTo(x - 3.5, y - 0.5); g.lineTo(x + 3.5, y - 0.5);
    } else if (step.status === RUNNING) {
      g.moveTo(x - 2.5, y - 4); g.lineTo(x + 3.5, y - 0.5); g.lineTo(x - 2.5, y + 3); g.closePath();
      g.fill();
      return;
    } else if (step.status === SCHEDULED) {
      g.arc(x, y - 0.5, 3, 0, 7);
    } else {
      g.moveTo(x - 3.5, y - 0.5); g.lineTo(x - 1, y + 2.2); g.lineTo(x + 3.5, y - 3.5);
    }
    g.stroke();
  }

  function fitting(g, text, room) {
    const key = `${room} ${text}`;
    let fits = texts.get(key);
    if (fits === undefined) {
      fits = text;
      if (g.measureText(text).width > room) {
        let n = text.length;
        while (n > 1 && g.measureText(`${text.slice(0, n)}…`).width > room) n = n > 60 ? n >> 1 : n - 1;
        fits = `${text.slice(0, n)}…`;
      }
      if (texts.size > 5000) texts.clear();
      texts.set(key, fits);
    }
    return fits;
  }

  function drawAxis(g, x, from, to, l, r, height) {
    const tick = tickOf(to - from, Math.max(2, (r - l) / 90));
    g.textAlign = "center";
    g.lineWidth = 1;
    for (let n = Math.ceil(from / tick - 1e-9); n * tick <= to + 1e-9; n++) {
      const px = Math.round(x(n * tick)) + 0.5;
      g.strokeStyle = theme.line;
      g.beginPath();
      g.moveTo(px, AXIS - 4);
      g.lineTo(px, height);
      g.stroke();
      g.fillStyle = theme.faint;
      const text = axisText(n * tick, tick);
      const half = g.measureText(text).width / 2;
      g.fillText(text, Math.min(r + GAP - half, Math.max(l + half - 2, px)), AXIS / 2 - 1);
    }
    g.strokeStyle = theme.line;
    g.beginPath();
    g.moveTo(0, AXIS - 0.5);
    g.lineTo(width, AXIS - 0.5);
    g.stroke();
  }

  function drawStrip() {
    stripDrawn = performance.now();
    stripIsStale = false;
    const g = size(strip, width, STRIP);
    if (!g) return;
    g.clearRect(0, 0, width, STRIP);
    const [, to] = wholeSpan();
    const now = nowOf();
    const [l, r] = [left(), right()];
    const scale = (r - l) / to;
    const tall = (STRIP - 8) / Math.max(numbers.length, 1);
    const bar = Math.max(1, Math.min(6, tall * 0.8));
    const paths = new Map(); // one fill a colour: failed last, so that it is never hidden
    for (let i = 0; i < numbers.length; i++) {
      const step = state.steps[numbers[i]];
      const begin = step.started ?? step.scheduled;
      if (begin === null) continue;
      const end = step.status <= RUNNING ? now : (step.ended ?? begin);
      const color = colorOf(theme, step);
      let path = paths.get(color);
      if (!path) paths.set(color, (path = new Path2D()));
      path.rect(l + begin * scale, 4 + i * tall, Math.max(1.5, (end - begin) * scale), bar);
    }
    for (const [color, path] of [...paths].sort(([a], [b]) => (a === theme.failed) - (b === theme.failed))) {
      g.fillStyle = color;
      g.fill(path);
    }
    g.fillStyle = theme.faint;
    g.font = `11px ${theme.font}`;
    g.textBaseline = "middle";
    g.fillText(`${numbers.length.toLocaleString("en")} steps`, 8, STRIP / 2);
    stripWindow = [l, to, scale, tall];
    drawWindow(g);
  }
  let stripWindow = null;
  function drawWindow(g) { // what the rows show of it all
    const [l, to, scale, tall] = stripWindow;
    const [from, until] = span();
    const y = 4 + (list.scrollTop / ROW) * tall;
    const hgt = Math.max(5, (list.clientHeight / ROW) * tall);
    const x0 = l + Math.max(0, from) * scale;
    const x1 = l + Math.min(to, until) * scale;
    g.strokeStyle = theme.ink;
    g.globalAlpha = 0.75;
    g.lineWidth = 1;
    g.strokeRect(Math.round(x0) - 1.5, Math.round(Math.min(y, STRIP - hgt - 2)) + 0.5, Math.max(4, Math.round(x1 - x0) + 3), Math.round(hgt));
    g.globalAlpha = 1;
  }

  /** The list's own rows: transparent, over the canvas; only as many as are seen. */
  function placeOptions() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW));
    const count = Math.min(numbers.length - first, Math.ceil(list.clientHeight / ROW) + 1);
    while (options.length < count) {
      const option = h("div.option", { role: "option" });
      options.push(option);
      list.append(option);
    }
    while (options.length > Math.max(count, 0)) options.pop().remove();
    let active = null;
    for (let k = 0; k < count; k++) {
      const option = options[k];
      const step = state.steps[numbers[first + k]];
      option.style.top = `${(first + k) * ROW}px`;
      const isSelected = step.number === selected;
      const signature = `${step.number} ${step.status} ${step.attempts} ${isSelected} ${numbers.length}`;
      if (isSelected) active = option;
      if (option.dataset.is === signature) continue;
      option.dataset.is = signature;
      option.dataset.step = step.number;
      option.dataset.status = STATUSES[step.status];
      option.id = `${uid}-${step.number}`;
      option.setAttribute("aria-selected", String(isSelected));
      option.setAttribute("aria-posinset", String(first + k + 1));
      option.setAttribute("aria-setsize", String(numbers.length));
      option.setAttribute("aria-label", describe(step));
    }
    if (active) list.setAttribute("aria-activedescendant", active.id);
    else list.removeAttribute("aria-activedescendant");
  }
  const uid = `wf-tl${Math.random().toString(36).slice(2, 8)}`;

  function describe(step) {
    const time = step.ended !== null && step.started !== null ? `, ${duration(step.ended - step.started)}` : "";
    const tries = step.attempts > 1 ? `, ${step.attempts} attempts` : "";
    return `Step ${step.number}, ${state.names[step.name]}, ${KINDS[step.kind]}, ${STATUSES[step.status]}${tries}${time}`;
  }

  // -- moving about --

  function zoom(factor, at = 0.5) {
    const [from, to] = span();
    const whole = wholeSpan();
    const wanted = Math.max(MIN_SPAN, (to - from) * factor);
    if (wanted >= whole[1] - whole[0]) return show(null);
    const anchor = from + (to - from) * at;
    show([anchor - wanted * at, anchor + wanted * (1 - at)]);
  }
  function pan(part) {
    if (view === null) return;
    const by = (view[1] - view[0]) * part;
    show([view[0] + by, view[1] + by]);
  }
  function show(next) {
    if (next !== null) {
      const end = wholeSpan()[1];
      const length = next[1] - next[0];
      const from = Math.min(Math.max(next[0], -0.02 * end), end * 1.02 - length);
      next = [from, from + length];
    }
    view = next;
    strip.hidden = numbers.length <= MAX_ROWS && view === null;
    stripIsStale = true;
    el.dataset.zoom = view === null ? "all" : `${view[0].toFixed(2)} ${view[1].toFixed(2)}`;
    invalidate();
  }
  function reveal(index) {
    const top = index * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }
  function select(number, tell = true) {
    selected = number;
    if (number !== null && place.has(number)) reveal(place.get(number));
    if (number !== null && view !== null && state.steps[number]) {
      const [begin, end] = extent(state.steps[number], nowOf());
      if (end < view[0] || begin > view[1]) show([begin - (view[1] - view[0]) * 0.15, begin + (view[1] - view[0]) * 0.85]);
    }
    invalidate();
    if (tell) onselect(number);
  }
  function move(by) {
    if (!numbers.length) return;
    const at = place.get(selected);
    const next = at === undefined ? (by > 0 ? 0 : numbers.length - 1) : Math.min(numbers.length - 1, Math.max(0, at + by));
    select(numbers[next]);
  }
  const KEYS = {
    ArrowDown: () => move(1), ArrowUp: () => move(-1), PageDown: () => move(MAX_ROWS - 1), PageUp: () => move(1 - MAX_ROWS),
    ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6),
    Home: () => (show(null), (list.scrollTop = 0)), End: () => numbers.length && select(numbers[numbers.length - 1]), Escape: () => select(null),
    Enter: () => selected !== null && onopen(selected), Backspace: () => onback(),
  };
  list.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const act = KEYS[e.key];
    if (!act) return;
    e.preventDefault();
    e.stopPropagation(); // Jupyter's command mode has plans of its own for these keys
    act();
  });
  const fraction = (e) => {
    const box = rows.getBoundingClientRect();
    return Math.min(1, Math.max(0, (e.clientX - box.left - left()) / (right() - left())));
  };
  const wheel = (isStrip) => (e) => {
    const isZoom = e.ctrlKey || e.metaKey || isStrip;
    if (isZoom && e.deltaY) {
      e.preventDefault();
      zoom(Math.exp(Math.max(-60, Math.min(60, e.deltaY)) * 0.008), fraction(e));
    } else if ((e.shiftKey && e.deltaY) || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      if (view !== null) e.preventDefault();
      pan((e.deltaX || e.deltaY) / 800);
    }
  };
  rows.addEventListener("wheel", wheel(false), { passive: false });
  strip.addEventListener("wheel", wheel(true), { passive: false });
  list.addEventListener("scroll", () => {
    follows = list.scrollTop + list.clientHeight >= list.scrollHeight - ROW;
    stripIsStale = true;
    invalidate();
  });

  let drag = null;
  list.addEventListener("pointerdown", (e) => {
    if (e.button !== 0 || e.offsetX > list.clientWidth) return;
    drag = { x: e.clientX, y: e.clientY, top: list.scrollTop, view: span(), moved: false };
  });
  list.addEventListener("pointermove", (e) => {
    if (!drag || !(e.buttons & 1)) return;
    const [dx, dy] = [e.clientX - drag.x, e.clientY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    if (!drag.moved) list.setPointerCapture?.(e.pointerId);
    drag.moved = true;
    list.scrollTop = drag.top - dy;
    if (view !== null) {
      const by = (-dx / (right() - left())) * (drag.view[1] - drag.view[0]);
      show([drag.view[0] + by, drag.view[1] + by]);
    }
  });
  list.addEventListener("pointerup", (e) => {
    const was = drag;
    drag = null;
    if (!was || was.moved) return;
    const index = Math.floor((e.clientY - list.getBoundingClientRect().top + list.scrollTop) / ROW);
    if (index >= 0 && index < numbers.length) select(numbers[index] === selected ? null : numbers[index]);
  });
  list.addEventListener("dblclick", (e) => zoom(0.4, fraction(e)));
  const jump = (e) => { // to where one points in the strip
    const box = strip.getBoundingClientRect();
    list.scrollTop = ((e.clientY - box.top - 4) / (STRIP - 8)) * numbers.length * ROW - list.clientHeight / 2;
    if (view !== null) {
      const middle = wholeSpan()[1] * fraction(e);
      const half = (view[1] - view[0]) / 2;
      show([middle - half, middle + half]);
    }
    invalidate();
  };
  strip.addEventListener("pointerdown", (e) => (strip.setPointerCapture?.(e.pointerId), jump(e)));
  strip.addEventListener("pointermove", (e) => e.buttons & 1 && jump(e));

  return {
    el, update, invalidate, select, zoom, fit: () => show(null),
    get selected() { return selected; },
    focus: () => list.focus(),
    retheme: () => ((theme = null), (stripIsStale = true), invalidate()),
    stop: () => cancelAnimationFrame(frame),
  };
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
function tickOf(length, most) {
  const least = length / most;
  if (least < 1) return least < 0.1 ? 0.1 : least < 0.2 ? 0.2 : least < 0.5 ? 0.5 : 1;
  return STEPS.find((s) => s >= least) ?? Math.ceil(least / 864e5) * 864e5;
}
function axisText(ms, tick) {
  if (ms === 0) return "0";
  if (tick < 1000 && ms < 1000) return `${+ms.toFixed(1)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(tick < 10 ? 3 : tick < 100 ? 2 : tick < 1000 ? 1 : 0)} s`;
  if (tick < 1000) return `${Math.floor(ms / 60000)}:${((ms % 60000) / 1000).toFixed(tick < 100 ? 2 : 1).padStart(tick < 100 ? 5 : 4, "0")}`;
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (ms < 3_600_000) return `${Math.floor(ms / 60000)}:${two((ms % 60000) / 1000)} min`;
  if (ms < 86_400_000 || tick < 36e5) return `${Math.floor(ms / 3.6e6)}:${two((ms % 3.6e6) / 60000)} h`;
  return `${Math.floor(ms / 864e5)} d ${two((ms % 864e5) / 36e5)} h`;
}
