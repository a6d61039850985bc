// A form from the description that wfkernel/model/forms.py makes of a type. It reads to the JSON text of one value, and shows each
// error beside the field that it is about. Text, for our numbers are not Python's: 2**60 + 1 and 1.0 would not come back.
import { begunText, clock, datetimeText, isPlainNumber, numberText, shown, shownDatetime, stepOf, timeText, zoneWords } from "./form_texts.js";

let ids = 0;
const nextId = () => `wf-f${++ids}`;

/** An element: h("p.note", {title: "x"}, "text", child). Handlers are given as onclick and so on. */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const el = document.createElement(name || "div");
  if (classes.length) el.className = classes.map((c) => `wf-${c}`).join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "disabled") el[key] = value;
    else el.setAttribute(key, value === true ? "" : value);
  }
  el.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

const OMIT = undefined; // a field that was left empty: the type's default counts, or "Field required"
const WRONG = Symbol("wrong"); // what is in a field is no value: it says so, and nothing is sent

/**
 * A field for one value: {el, read(), isTouched(), mark(loc, msg), clear(), focus()}.
 * `read` gives JSON text, OMIT or WRONG. A field that is as it began gives what it began with, to the letter: `now`, or nothing,
 * if the type has a default. `mark` goes down `loc` as far as there are fields: pydantic names the variants of a union in between,
 * which are none.
 */
export function field(description, { label = null, isRoot = false } = {}) {
  const make = MAKERS[description.kind] ?? MAKERS.json;
  const made = make(description, label ?? description.title ?? "", isRoot);
  const first = JSON.stringify(made.state());
  const isTouched = () => JSON.stringify(made.state()) !== first;
  const begun = () => description.now ?? (description.required ? made.read() : OMIT);
  return { ...made, isTouched, read: () => (isTouched() ? made.read() : begun()) };
}

/** `state()`: what the user may change; `read(refuse)`: what that reads to, or `refuse(msg)` if it is no value. */
function labelled(description, label, input, { state, read, isInline = false }) {
  const id = nextId();
  input.id = id;
  const error = h("p.error", { id: `${id}-e`, hidden: true });
  const help = description.help ? h("p.help", { id: `${id}-h` }, description.help) : null;
  const describe = (isWrong) => {
    input.setAttribute("aria-invalid", String(isWrong));
    input.setAttribute("aria-describedby", [help && `${id}-h`, isWrong && `${id}-e`].filter(Boolean).join(" "));
  };
  const star = description.required ? h("span.star", { "aria-hidden": "true" }, " *") : null;
  if (description.required && !description.nullable && input.type !== "checkbox") input.setAttribute("aria-required", "true");
  const caption = label ? h("label.label", { for: id }, label, star) : null;
  if (!label) input.setAttribute("aria-label", description.title || "Value");
  const el = isInline ? h("div.field.check", {}, input, caption, help, error) : h("div.field", {}, caption, h("div.input", {}, input, help, error));
  const clear = () => ((error.hidden = true), (el.dataset.wrong = "false"), describe(false));
  const mark = (_loc, msg) => ((error.textContent = msg), (error.hidden = false), (el.dataset.wrong = "true"), describe(true), input);
  describe(false);
  input.addEventListener("input", clear);
  return { el, state, clear, mark, read: () => read((msg) => (mark([], msg), WRONG)), focus: () => input.focus() };
}

const emptyText = (d) => (d.nullable ? "null" : OMIT);
const isHalf = (input) => Boolean(input.validity?.badInput); // there is something, and the browser gives it as ""

function typed(type, { props = () => ({}), write = (text) => JSON.stringify(text), empty = emptyText, half = "This is incomplete" } = {}) {
  return (d, label) => {
    const input = h("input.text", { type, value: shown(d), placeholder: d.nullable ? "none" : d.example, autocomplete: "off", ...props(d) });
    const read = (refuse) => (isHalf(input) ? refuse(half) : input.value === "" ? empty(d) : write(input.value, d));
    return labelled(d, label, input, { state: () => [input.value, isHalf(input)], read });
  };
}

function number(step) {
  const about = { props: (d) => ({ min: d.min, max: d.max, step: d.step ?? step, inputmode: step === 1 ? "numeric" : "decimal" }), write: numberText, half: "This is no number" };
  return (d, label) => typed(isPlainNumber(d) ? "number" : "text", about)(d, label);
}

const MAKERS = {
  bool(d, label) {
    if (d.nullable || begunText(d) === undefined) return MAKERS.choice({ ...d, options: [{ label: "Yes", value: "true" }, { label: "No", value: "false" }] }, label);
    const input = h("input.checkbox", { type: "checkbox", checked: begunText(d) === "true" });
    return labelled(d, label || "Yes", input, { state: () => input.checked, read: () => String(input.checked), isInline: true });
  },

  choice(d, label) {
    const isSmall = d.options.length <= 5 && d.options.every((o) => o.label.length <= 24);
    const options = d.nullable ? [...d.options, { label: "none", value: "null" }] : d.options;
    const isBegun = (o) => o.value === begunText(d);
    const about = (picked) => ({ state: picked, read: (refuse) => (picked() === null ? refuse("Choose one") : options[Number(picked())].value) });
    if (!isSmall) {
      const select = h("select.text", {}, h("option", { value: "" }, "choose …"), options.map((o, i) => h("option", { value: String(i), selected: isBegun(o) }, o.label)));
      return labelled(d, label, select, about(() => (select.value === "" ? null : select.value)));
    }
    const name = nextId();
    const group = h("div.choices", { role: "radiogroup", tabindex: "-1" });
    options.forEach((o, i) => group.append(h("label.choice", {}, h("input", { type: "radio", name, value: String(i), checked: isBegun(o) }), h("span", {}, o.label))));
    const made = labelled(d, label, group, about(() => group.querySelector("input:checked")?.value ?? null));
    group.setAttribute("aria-label", label || d.title || "Value");
    made.focus = () => (group.querySelector("input:checked") ?? group.querySelector("input")).focus();
    return made;
  },

  int: number(1),
  number: number("any"),
  decimal: typed("text", { props: () => ({ inputmode: "decimal" }) }),
  date: typed("date"),
  time: typed("time", { props: (d) => ({ value: clock(shown(d)), step: stepOf(clock(shown(d))) ?? 1 }), write: timeText }),
  datetime(d, label) {
    const props = () => ({ value: shownDatetime(d), step: stepOf(shownDatetime(d)) });
    return typed("datetime-local", { props, write: datetimeText })({ ...d, help: [d.help, zoneWords(d)].filter(Boolean).join("; ") }, label);
  },

  text(d, label) {
    const empty = () => (d.nullable ? "null" : '""');
    if (d.secret || !(d.multiline || /[\r\n]/.test(shown(d)))) return typed(d.secret ? "password" : "text", { empty })(d, label);
    const area = h("textarea.text", { rows: 3, value: shown(d) });
    return labelled(d, label, area, { state: () => area.value, read: () => (area.value === "" ? empty() : JSON.stringify(area.value)) });
  },

  const: (d) => ({ el: h("div.field", {}, d.value === "null" ? null : [d.title ? h("span.label", {}, d.title) : null, h("code", {}, d.value)]), state: () => null, read: () => d.value, clear() {}, focus() {}, mark: () => null }),

  kept: (d, label) => ({ el: h("div.field", {}, h("span.label", {}, label), h("div.input", {}, h("code.value.kept", {}, d.text), h("p.help", {}, "kept as it is"))), state: () => null, read: () => OMIT, clear() {}, focus() {}, mark: () => null }),

  json(d, label) {
    const text = begunText(d) ?? "null";
    const area = h("textarea.text.code", { rows: 2, spellcheck: "false", placeholder: "JSON", value: text === "null" ? "" : text });
    const read = (refuse) => {
      if (area.value.trim() === "") return emptyText(d);
      try {
        JSON.parse(area.value);
      } catch (problem) {
        return refuse(`This is no JSON: ${problem.message}`);
      }
      return area.value;
    };
    return labelled(d, label, area, { state: () => area.value, read });
  },

  object(d, label, isRoot) {
    const fields = new Map(d.fields.map((f) => [f.name, field(f)]));
    const title = !isRoot && label ? h("legend.legend", {}, label) : null;
    const error = h("p.error", { hidden: true });
    const el = h(isRoot ? "div.object" : "fieldset.object.nested", {}, title, d.help && !isRoot ? h("p.help", {}, d.help) : null, [...fields.values()].map((f) => f.el), error);
    return {
      el,
      state: () => [...fields.values()].map((f) => f.state()),
      read() {
        const parts = [...fields].map(([name, f]) => [name, f.read()]);
        if (parts.some(([, text]) => text === WRONG)) return WRONG;
        return `{${parts.filter(([, text]) => text !== OMIT).map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;
      },
      clear: () => ((error.hidden = true), fields.forEach((f) => f.clear())),
      focus: () => fields.values().next().value?.focus(),
      mark(loc, msg) {
        const at = loc.findIndex((part) => fields.has(part));
        if (at >= 0) return fields.get(loc[at]).mark(loc.slice(at + 1), msg);
        error.textContent = msg;
        error.hidden = false;
        return el;
      },
    };
  },

  list(d, label) {
    const items = [];
    const list = h("div.items");
    const error = h("p.error", { hidden: true });
    const add = (form) => {
      const item = field({ ...form, required: true }, { label: "" });
      const row = h("div.item", {}, item.el, h("button.icon", { type: "button", title: "Remove", "aria-label": "Remove this item", onclick: () => {
        items.splice(items.findIndex((i) => i.item === item), 1);
        row.remove();
      } }, "×"));
      items.push({ item, row });
      list.append(row);
      return item;
    };
    (d.items ?? []).forEach(add);
    for (let n = items.length; n < (d.min ?? 0); n++) add(d.item);
    const more = h("button.quiet", { type: "button", onclick: () => add(d.item).focus() }, "+ Add");
    const el = h("fieldset.object.nested", {}, h("legend.legend", {}, label || d.title || "Items"), d.help ? h("p.help", {}, d.help) : null, list, more, error);
    return {
      el,
      state: () => items.map(({ item }) => item.state()),
      read() {
        const texts = items.map(({ item }) => item.read() ?? "null");
        return texts.includes(WRONG) ? WRONG : `[${texts.join(",")}]`;
      },
      clear: () => ((error.hidden = true), items.forEach(({ item }) => item.clear())),
      focus: () => more.focus(),
      mark(loc, msg) {
        const at = loc.findIndex((part) => typeof part === "number" && items[part]);
        if (at >= 0) return items[loc[at]].item.mark(loc.slice(at + 1), msg);
        error.textContent = msg;
        error.hidden = false;
        return el;
      },
    };
  },

  union(d, label) {
    const variants = d.variants.map((v) => field({ ...v, required: true }, { label: "" }));
    const isOpen = d.nullable && begunText(d) === undefined; // None is not said by silence
    const options = d.variants.map((v, i) => h("option", { value: String(i), selected: !isOpen && i === (d.chosen ?? 0) }, v.title || v.kind));
    const select = h("select.text", { onchange: () => show() }, isOpen ? h("option", { value: "" }, "choose …") : null, options);
    const chosen = () => variants[select.value];
    const place = h("div.variant");
    const show = () => place.replaceChildren(...(chosen() ? [chosen().el] : []));
    const about = { state: () => [select.value, chosen()?.state()], read: (refuse) => (chosen() ? chosen().read() : refuse("Choose one")) };
    const made = labelled(d, label, select, about);
    made.el.classList.add("wf-union");
    select.setAttribute("aria-label", `${label || "Value"}: kind`);
    select.after(place);
    show();
    return {
      ...made,
      clear: () => (made.clear(), variants.forEach((v) => v.clear())),
      mark: (loc, msg) => chosen()?.mark(loc, msg) ?? made.mark(loc, msg),
    };
  },
};

/**
 * The whole form of an event: {el, answer({ok, msg, errors})}. `send(text)` is called once per submission, with JSON of all of it.
 * A bool is answered by one click: Approve or Reject.
 */
export function eventForm({ event, type, form, help }, send) {
  const isYesNo = form.kind === "bool" && !form.nullable;
  const general = h("p.error", { role: "alert", hidden: true });
  const input = isYesNo ? null : field({ ...form, required: true }, { isRoot: true });
  const submit = (text) => {
    general.hidden = true;
    for (const b of buttons) b.disabled = true;
    send(text);
  };
  const buttons = isYesNo
    ? [h("button.primary", { type: "button", onclick: () => submit("true") }, "Approve"), h("button", { type: "button", onclick: () => submit("false") }, "Reject")]
    : [h("button.primary", { type: "submit" }, "Send")];
  const fail = (msg) => ((general.textContent = msg), (general.hidden = false));
  const heading = h("div.form-title", {}, h("span.diamond", { "aria-hidden": "true" }), h("strong", {}, event), type ? h("code.type", {}, type) : null);
  const el = h(isYesNo ? "form.form.yesno" : "form.form", { "aria-label": `Answer ${event}`, novalidate: true, onsubmit: (e) => {
    e.preventDefault();
    if (isYesNo) return;
    input.clear();
    const text = input.read();
    if (text === WRONG) focusWrong(el);
    else submit(text ?? "null");
  } }, heading, help ? h("p.help", {}, help) : null, input?.el, h("div.buttons", {}, buttons), general);
  el.dataset.event = event;
  return {
    el,
    focus: () => (isYesNo ? buttons[0].focus() : input.focus()),
    answer({ ok, msg, errors }) {
      for (const b of buttons) b.disabled = false;
      if (ok) return;
      const places = (errors ?? []).map((e) => input?.mark(e.loc, e.msg)).filter(Boolean);
      if (places.length === 0) fail(msg);
      else places[0].focus?.();
    },
  };
}

const focusWrong = (el) => el.querySelector('[aria-invalid="true"]').focus();

/**
 * The form for the arguments of a run: {el, focus(), answer(ack)}. `send(text)` is called with JSON of what was changed,
 * {args, unset}: the values of fields that are not as they began, and the names of those that were emptied.
 */
export function argumentsForm({ title, help, form, action }, send, close) {
  const fields = new Map(form.fields.map((f) => [f.name, field(f)]));
  const general = h("p.error", { role: "alert", hidden: true });
  const submit = h("button.primary", { type: "submit" }, action);
  const el = h("form.form", { "aria-label": title, novalidate: true, onsubmit: (e) => {
    e.preventDefault();
    general.hidden = true;
    for (const f of fields.values()) f.clear();
    const changed = [...fields].filter(([, f]) => f.isTouched()).map(([name, f]) => [JSON.stringify(name), f.read()]);
    if (changed.some(([, text]) => text === WRONG)) return focusWrong(el);
    const args = changed.filter(([, text]) => text !== OMIT).map(([name, text]) => `${name}:${text}`);
    const unset = changed.filter(([, text]) => text === OMIT).map(([name]) => name);
    submit.disabled = true;
    send(`{"args":{${args.join(",")}},"unset":[${unset.join(",")}]}`);
  } }, h("div.form-title", {}, h("strong", {}, title)), help ? h("p.help", {}, help) : null, h("div.object", {}, [...fields.values()].map((f) => f.el)), h("div.buttons", {}, submit, h("button", { type: "button", onclick: close }, "Close")), general);
  return {
    el,
    focus: () => (el.querySelector("input, select, textarea") ?? submit).focus(),
    answer({ ok, msg, errors }) {
      submit.disabled = false;
      if (ok) return;
      const places = (errors ?? []).map((e) => fields.get(e.loc[0])?.mark(e.loc.slice(1), e.msg)).filter(Boolean);
      if (places.length === 0) (general.textContent = msg), (general.hidden = false);
      else places[0].focus?.();
    },
  };
}
