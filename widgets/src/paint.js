// Colours, hatches and shapes of bars. Okabe and Ito's palette, as in wfkernel/notebook/plots.py: told apart with every common
// colour blindness; and never colour alone: failed is crossed, canceled slanted, running open, waiting thin.
import { CANCELED, EVENT, FAILED, RUNNING, SCHEDULED, SLEEP } from "./reduce.js";

const KIND = ["#56B4E9", "#009E73", "#0072B2", "#CC79A7", "#E69F00", "#F0E442"];
const KIND_DARK = ["#56B4E9", "#12A983", "#3B93D1", "#CC79A7", "#E69F00", "#F0E442"];

/** The card's colours, read from the CSS that JupyterLab's theme (or the system's) sets. */
export function themeOf(el) {
  const style = getComputedStyle(el);
  const get = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  const paper = get("--wf-paper", "#fff");
  const isDark = luminance(paper, el) < 0.4;
  return {
    isDark, paper,
    ink: get("--wf-ink", isDark ? "#e0e0e0" : "#222"),
    faint: get("--wf-faint", "#777"),
    line: get("--wf-line", "#ddd"),
    accent: get("--wf-accent", "#0072B2"),
    font: style.fontFamily || "sans-serif",
    good: get("--wf-good", "#007a58"),
    kinds: isDark ? KIND_DARK : KIND,
    failed: isDark ? "#F07B34" : "#D55E00",
    canceled: isDark ? "#8a8a8a" : "#9a9a9a",
    wait: isDark ? "#5b5b5b" : "#c4c4c4",
    select: isDark ? "rgba(120,170,255,.16)" : "rgba(0,114,178,.09)",
    stripe: isDark ? "rgba(255,255,255,.025)" : "rgba(0,0,0,.018)",
    cut: isDark ? "rgba(0,0,0,.42)" : "rgba(255,255,255,.55)",
    patterns: new Map(),
  };
}

function luminance(color, el) {
  const probe = document.createElement("span");
  probe.style.color = color;
  el.append(probe);
  const [r, g, b] = (getComputedStyle(probe).color.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  probe.remove();
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}

export function colorOf(theme, step) {
  if (step.status === FAILED) return theme.failed;
  if (step.status === CANCELED) return theme.canceled;
  if (step.status === SCHEDULED) return theme.wait;
  return theme.kinds[step.kind] ?? theme.kinds[2];
}

const TILE = 6;
function pattern(g, theme, kind) {
  let made = theme.patterns.get(kind);
  if (made) return made;
  const ratio = g.getTransform().a || 1;
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(TILE * ratio);
  const t = tile.getContext("2d");
  const n = tile.width;
  t.strokeStyle = theme.cut;
  t.lineWidth = 1.2 * ratio;
  t.beginPath();
  for (const shift of [-n, 0, n]) {
    t.moveTo(shift, n);
    t.lineTo(shift + n, 0);
    if (kind === "cross") {
      t.moveTo(shift, 0);
      t.lineTo(shift + n, n);
    }
  }
  t.stroke();
  made = g.createPattern(tile, "repeat");
  made.setTransform?.(new DOMMatrix([1 / ratio, 0, 0, 1 / ratio, 0, 0]));
  theme.patterns.set(kind, made);
  return made;
}

function block(g, theme, x0, x1, y, height, color, hatch) {
  const width = Math.max(2, x1 - x0);
  g.fillStyle = color;
  g.beginPath();
  if (width > 4 && g.roundRect) g.roundRect(x0, y, width, height, 2);
  else g.rect(x0, y, width, height);
  g.fill();
  if (hatch && width > 3) {
    g.fillStyle = pattern(g, theme, hatch);
    g.fill();
  }
}

function diamond(g, x, y, r) {
  g.beginPath();
  g.moveTo(x, y - r);
  g.lineTo(x + r, y);
  g.lineTo(x, y + r);
  g.lineTo(x - r, y);
  g.closePath();
}

/** One step in its row. `x(ms)` gives pixels; `mid` is the middle of the row; [left, right] what is seen. */
export function drawStep(g, theme, step, x, mid, left, right, now) {
  const isIdle = step.kind === EVENT || step.kind === SLEEP;
  const begin = step.scheduled ?? step.started;
  if (begin === null) return;
  const isOpen = step.status <= RUNNING;
  const end = isOpen ? now : (step.ended ?? step.started ?? begin);
  const clamp = (px) => Math.min(right + 4, Math.max(left - 4, px));
  const at = (ms) => clamp(x(ms));
  if (x(end) < left - 8 || x(begin) > right + 8) return;
  const firstRun = step.tries.length ? step.tries[0][0] : (step.started ?? end);
  const color = colorOf(theme, step);

  g.fillStyle = theme.wait; // it waits: for a slot, for its time, for the next attempt
  const waitsUntil = step.status === SCHEDULED ? end : (step.started ?? end);
  if (waitsUntil > begin) g.fillRect(at(begin), mid - 1, Math.max(1, at(waitsUntil) - at(begin)), 2);
  if (firstRun > begin) g.fillRect(at(begin), mid - 4, 1, 8);
  for (const [from, to] of step.tries) block(g, theme, at(from), at(to), mid - 5, 10, theme.failed, "cross");
  if (step.due !== null && isOpen && step.due > now) {
    g.setLineDash([2, 3]);
    g.strokeStyle = theme.wait;
    g.lineWidth = 1.5;
    g.beginPath();
    g.moveTo(at(end), mid);
    g.lineTo(at(step.due), mid);
    g.stroke();
    g.setLineDash([]);
  }
  if (step.status === SCHEDULED || (step.started === null && step.status === CANCELED)) {
    if (step.status === CANCELED) block(g, theme, at(begin), at(end), mid - 2, 4, color, "slant");
    return;
  }
  const from = step.started ?? begin;
  const half = isIdle ? 3 : 6;
  const hatch = step.status === FAILED ? "cross" : step.status === CANCELED ? "slant" : null;
  const x0 = at(from);
  const x1 = Math.max(x0 + 2, at(end));
  if (step.status === RUNNING && !isIdle) {
    g.globalAlpha = 0.45;
    block(g, theme, x0, x1, mid - half, half * 2, color, "slant");
    g.globalAlpha = 1;
    g.fillStyle = color;
    g.fillRect(x0, mid - half, 2, half * 2);
    g.fillRect(x1 - 1.5, mid - half, 2.5, half * 2);
  } else {
    block(g, theme, x0, x1, mid - half, half * 2, color, hatch);
  }
  if (step.kind === SLEEP && !theme.isDark && x1 - x0 > 3) { // yellow on white needs an edge
    g.strokeStyle = "rgba(0,0,0,.22)";
    g.lineWidth = 0.75;
    g.strokeRect(x0 + 0.5, mid - half + 0.5, x1 - x0 - 1, half * 2 - 1);
  }
  if (step.child) { // a run of its own: a frame in the bar
    g.strokeStyle = theme.cut;
    g.lineWidth = 1.5;
    if (x1 - x0 > 8) g.strokeRect(x0 + 2.5, mid - half + 2.5, x1 - x0 - 5, half * 2 - 5);
  }
  if (step.kind === EVENT && x1 <= right + 4) {
    diamond(g, x1, mid, 5);
    g.fillStyle = isOpen ? theme.paper : color;
    g.fill();
    g.lineWidth = 1.75;
    g.strokeStyle = color;
    g.stroke();
  }
}
