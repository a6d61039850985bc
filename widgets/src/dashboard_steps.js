// How long the steps of one workflow took over time: a table, with a small chart in each row. Draws what it is told.
import { lines, percent, stepsOf } from "./dashboard_reduce.js";
import { h } from "./form.js";
import { instant } from "./instants.js";
import { duration } from "./reduce.js";

const WIDTH = 220;
const HEIGHT = 30;
const SVG = "http://www.w3.org/2000/svg";

const NUMBERS = ["Ended", "Failed", "p50", "p95"];
const heads = (titles) => h("thead", {}, h("tr", {}, titles.map((title) => h(NUMBERS.includes(title) ? "th.right" : "th", { scope: "col" }, title))));

/** `choose(name)` is called for another workflow. */
export function stepsPanel(choose) {
  const select = h("select.text", { "aria-label": "Workflow", onchange: () => choose(select.value) });
  const caption = h("p.help");
  const place = h("div.steps-table", { tabindex: "0", role: "region", "aria-label": "Durations of steps" });
  const el = h("section.steps", { hidden: true, "aria-label": "Durations of steps over time" },
    h("div.steps-head", {}, h("strong", {}, "How long steps took"), select, caption), place);
  let told = null;
  let isOpen = false; // the numbers over time

  function show(message, names) {
    told = message;
    if (document.activeElement !== select) select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    select.value = told.name;
    if (told.problem) return place.replaceChildren(h("p.error", {}, told.problem));
    const steps = stepsOf(told.times);
    if (!steps.length) {
      caption.textContent = "";
      return place.replaceChildren(h("p.help", {}, `No step of ${told.name} has ended yet`));
    }
    const last = Math.max(...steps.flatMap((step) => step.buckets.map((b) => b.bucket)));
    caption.replaceChildren(h("i.key50", { "aria-hidden": "true" }), " median (p50) ", h("i.key95", { "aria-hidden": "true" }), ` 95 of 100 took less (p95) · from ${instant(told.start)}, ${duration(told.width)} a point`);
    const rows = steps.map((step) => h("tr", {},
      h("th.cut", { scope: "row", title: step.name }, step.name), h("td.right", {}, step.ended.toLocaleString("en")),
      h("td.right", { title: percent(step.failed / step.ended) }, step.failed.toLocaleString("en")),
      h("td.right", {}, duration(step.p50)), h("td.right", {}, duration(step.p95)), h("td", {}, chart(step, last))));
    const more = told.left_out ? h("p.help", {}, `and ${told.left_out.toLocaleString("en")} more steps`) : null;
    const table = h("table.grid", {}, heads(["Step", "Ended", "Failed", "p50", "p95", "Over time"]), h("tbody", {}, rows));
    const numbers = h("details", { open: isOpen, ontoggle: () => ((isOpen = numbers.open), fill()) }, h("summary", {}, "Numbers over time"));
    const fill = () => numbers.open && numbers.children.length === 1 && numbers.append(numbersOf(steps));
    place.replaceChildren(...[table, more, numbers].filter(Boolean));
    fill();
  }

  function numbersOf(steps) {
    const rows = steps.flatMap((step) => step.buckets.map((b) => h("tr", {}, h("th", { scope: "row" }, step.name), h("td", {}, instant(told.start + b.bucket * told.width)),
      ...[b.ended, b.failed].map((n) => h("td.right", {}, n.toLocaleString("en"))), ...[b.p50, b.p95].map((ms) => h("td.right", {}, duration(ms))))));
    return h("table.grid", {}, heads(["Step", "From", "Ended", "Failed", "p50", "p95"]), h("tbody", {}, rows));
  }

  return { el, show, get name() { return told?.name ?? null; } };

  function chart(step, last) {
    const label = `${step.name}: p50 ${duration(step.p50)}, p95 ${duration(step.p95)}; the numbers over time are in the table below`;
    const svg = s("svg", { class: "wf-chart", viewBox: `-3 -3 ${WIDTH + 6} ${HEIGHT + 6}`, width: WIDTH, height: HEIGHT + 6, role: "img", "aria-label": label });
    const { parts } = lines(step.buckets, last, WIDTH, HEIGHT);
    for (const part of parts) {
      for (const key of ["p95", "p50"]) {
        if (part.length === 1) svg.append(s("circle", { class: `wf-dot-${key}`, cx: part[0].x.toFixed(1), cy: part[0][key].toFixed(1), r: key === "p50" ? 2.2 : 1.8 }));
        else svg.append(s("polyline", { class: `wf-line-${key}`, points: part.map((p) => `${p.x.toFixed(1)},${p[key].toFixed(1)}`).join(" ") }));
      }
    }
    const wide = last === 0 ? WIDTH : WIDTH / last;
    for (const b of step.buckets) {
      const at = last === 0 ? 0 : (b.bucket / last) * WIDTH - wide / 2;
      const text = `${instant(told.start + b.bucket * told.width)}: p50 ${duration(b.p50)}, p95 ${duration(b.p95)}, ${b.ended} ended${b.failed ? `, ${b.failed} failed` : ""}`;
      svg.append(s("rect", { class: "wf-spot", x: at.toFixed(1), y: -3, width: wide.toFixed(1), height: HEIGHT + 6 }, s("title", {}, text)));
    }
    return svg;
  }
}

function s(tag, props, ...children) {
  const el = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(props)) el.setAttribute(key, String(value));
  el.append(...children);
  return el;
}
