// A form from the description that wfkernel/notebook/forms.py makes of a type. It reads to one JSON value, and shows each error
// beside the field that it is about.

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

/**
 * A field for one value: {el, read(), mark(loc, msg), clear(), focus()}.
 * `mark` goes down `loc` as far as there are fields: pydantic names the variants of a union in between, which are none.
 */
export function field(description, { label = null, root = false } = {}) {
  const make = MAKERS[description.kind] ?? MAKERS.json;
  return make(description, label ?? description.title ?? "", root);
}

function labelled(description, label, input, read, extra = {}) {
  const id = nextId();
  input.id = id;
  const error = h("p.error", { id: `${id}-e`, hidden: true });
  const help = description.help ? h("p.help", { id: `${id}-h` }, description.help) : null;
  const describe = (isWrong) => {
    input.setAttribute("aria-invalid", String(isWrong));
    input.setAttribute("aria-describedby", [help && `${id}-h`, isWrong && `${id}-e`].filter(Boolean).join(" "));
  };
  const star = description.required ? h("span.star", { "aria-hidden": "true" }, " *") : null;
  if (description.required && input.type !== "checkbox") input.setAttribute("aria-required", "true");
  const caption = label ? h("label.label", { for: id }, label, star) : null;
  if (!label) input.setAttribute("aria-label", description.title || "Value");
  const el = extra.inline ? h("div.field.check", {}, input, caption, help, error) : h("div.field", {}, caption, h("div.input", {}, input, help, error));
  const clear = () => ((error.hidden = true), (el.dataset.wrong = "false"), describe(false));
  describe(false);
  input.addEventListener("input", clear);
  return {
    el, read, clear,
    focus: () => input.focus(),
    mark: (_loc, msg) => ((error.textContent = msg), (error.hidden = false), (el.dataset.wrong = "true"), describe(true), input),
  };
}

const shown = (value) => (value === undefined || value === null ? "" : String(value));
const emptyValue = (d) => (d.nullable && !("default" in d && d.default !== null) ? null : OMIT);

function typed(type, props = () => ({}), parse = (text) => text) {
  return (d, label) => {
    const input = h("input.text", { type, value: shown(d.default), placeholder: d.nullable ? "none" : d.example, autocomplete: "off", ...props(d) });
    return labelled(d, label, input, () => (input.value === "" ? (type === "text" && !d.nullable ? (d.required ? "" : OMIT) : emptyValue(d)) : parse(input.value)));
  };
}

function asNumber(text) {
  const number = Number(text);
  return Number.isNaN(number) || (Number.isInteger(number) && !Number.isSafeInteger(number)) ? text : number; // the kernel judges
}

const twoDigits = (n) => String(n).padStart(2, "0");
function localTime(text) {
  const at = new Date(text ?? "");
  if (Number.isNaN(at.getTime())) return "";
  return `${at.getFullYear()}-${twoDigits(at.getMonth() + 1)}-${twoDigits(at.getDate())}T${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}`;
}

const MAKERS = {
  bool(d, label, root) {
    if (d.nullable || root || (d.required && !("default" in d))) return MAKERS.choice({ ...d, options: [{ label: "Yes", value: true }, { label: "No", value: false }] }, label);
    const input = h("input.checkbox", { type: "checkbox", checked: d.default === true });
    return labelled(d, label || "Yes", input, () => input.checked, { inline: true });
  },

  choice(d, label) {
    const isSmall = d.options.length <= 5 && d.options.every((o) => o.label.length <= 24);
    const options = d.nullable ? [...d.options, { label: "none", value: null }] : d.options;
    const isDefault = (o) => "default" in d && JSON.stringify(o.value) === JSON.stringify(d.default);
    if (!isSmall) {
      const select = h("select.text", {}, h("option", { value: "" }, "choose …"), options.map((o, i) => h("option", { value: String(i), selected: isDefault(o) }, o.label)));
      return labelled(d, label, select, () => (select.value === "" ? OMIT : options[Number(select.value)].value));
    }
    const name = nextId();
    const group = h("div.choices", { role: "radiogroup", tabindex: "-1" });
    options.forEach((o, i) => group.append(h("label.choice", {}, h("input", { type: "radio", name, value: String(i), checked: isDefault(o) }), h("span", {}, o.label))));
    const made = labelled(d, label, group, () => {
      const picked = group.querySelector("input:checked");
      return picked ? options[Number(picked.value)].value : OMIT;
    });
    group.setAttribute("aria-label", label || d.title || "Value");
    made.focus = () => (group.querySelector("input:checked") ?? group.querySelector("input")).focus();
    return made;
  },

  int: typed("number", (d) => ({ min: d.min, max: d.max, step: d.step ?? 1, inputmode: "numeric" }), asNumber),
  number: typed("number", (d) => ({ min: d.min, max: d.max, step: d.step ?? "any", inputmode: "decimal" }), asNumber),
  date: typed("date"),
  time: typed("time", () => ({ step: 1 })),
  datetime: typed("datetime-local", (d) => ({ value: localTime(d.default) }), (text) => new Date(text).toISOString()),

  text(d, label, root) {
    if (!d.multiline) return typed(d.secret ? "password" : "text")(d, label, root);
    const area = h("textarea.text", { rows: 3, value: shown(d.default) });
    return labelled(d, label, area, () => (area.value === "" ? (d.nullable ? null : d.required ? "" : OMIT) : area.value));
  },

  const: (d) => ({ el: h("div.field", {}, d.title ? h("span.label", {}, d.title) : null, h("code", {}, JSON.stringify(d.value))), read: () => d.value, clear() {}, focus() {}, mark: () => null }),

  kept: (d, label) => ({ el: h("div.field", {}, h("span.label", {}, label), h("div.input", {}, h("code.kept", {}, d.text), h("p.help", {}, "kept as it is"))), read: () => OMIT, clear() {}, focus() {}, mark: () => null }),

  json(d, label) {
    const area = h("textarea.text.code", { rows: 2, spellcheck: "false", placeholder: "JSON", value: "default" in d && d.default !== null ? JSON.stringify(d.default) : "" });
    const made = labelled(d, label, area, () => {
      if (area.value.trim() === "") return d.required ? OMIT : emptyValue(d);
      try {
        return JSON.parse(area.value);
      } catch (problem) {
        throw Object.assign(new Error(`This is no JSON: ${problem.message}`), { field: made });
      }
    });
    return made;
  },

  object(d, label, root) {
    const known = d.default ?? {};
    const fields = new Map(d.fields.map((f) => [f.name, field(f.name in known ? { ...f, default: known[f.name] } : f)]));
    const title = !root && label ? h("legend.legend", {}, label) : null;
    const error = h("p.error", { hidden: true });
    const el = h(root ? "div.object" : "fieldset.object.nested", {}, title, d.help && !root ? h("p.help", {}, d.help) : null, [...fields.values()].map((f) => f.el), error);
    return {
      el,
      read() {
        const value = {};
        for (const [name, f] of fields) {
          const part = f.read();
          if (part !== OMIT) value[name] = part;
        }
        return value;
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
    const add = (initial) => {
      const item = field({ ...d.item, required: true, ...(initial === undefined ? {} : { default: initial }) }, { label: "" });
      const row = h("div.item", {}, item.el, h("button.icon", { type: "button", title: "Remove", "aria-label": "Remove this item", onclick: () => {
        items.splice(items.findIndex((i) => i.item === item), 1);
        row.remove();
      } }, "×"));
      items.push({ item, row });
      list.append(row);
      return item;
    };
    for (const value of Array.isArray(d.default) ? d.default : []) add(value);
    for (let n = items.length; n < (d.min ?? 0); n++) add();
    const more = h("button.quiet", { type: "button", onclick: () => add().focus() }, "+ Add");
    const el = h("fieldset.object.nested", {}, h("legend.legend", {}, label || d.title || "Items"), d.help ? h("p.help", {}, d.help) : null, list, more, error);
    return {
      el,
      read: () => (items.length === 0 && !d.required && !("default" in d && d.default?.length) ? emptyValue(d) ?? OMIT : items.map(({ item }) => item.read() ?? null)),
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
    const made = d.variants.map((v) => field({ ...v, required: d.required }, { label: "" }));
    let current = 0;
    const place = h("div.variant", {}, made[0].el);
    const select = h("select.text", { "aria-label": `${label || "Value"}: kind`, onchange: () => {
      current = Number(select.value);
      place.replaceChildren(made[current].el);
    } }, d.variants.map((v, i) => h("option", { value: String(i) }, v.title || v.kind)));
    const error = h("p.error", { hidden: true });
    const el = h("div.field.union", {}, label ? h("span.label", {}, label, d.required ? h("span.star", { "aria-hidden": "true" }, " *") : null) : null, h("div.input", {}, select, place, error));
    return {
      el,
      read: () => made[current].read(),
      clear: () => ((error.hidden = true), made.forEach((m) => m.clear())),
      focus: () => select.focus(),
      mark: (loc, msg) => made[current].mark(loc, msg),
    };
  },
};

/**
 * The whole form of an event: {el, answer({ok, msg, errors})}. `send(value)` is called once per submission, with all of it.
 * A bool is answered by one click: Approve or Reject.
 */
export function eventForm({ event, type, form, help }, send) {
  const isYesNo = form.kind === "bool" && !form.nullable;
  const general = h("p.error", { role: "alert", hidden: true });
  const input = isYesNo ? null : field(form, { root: true });
  const submit = (value) => {
    general.hidden = true;
    for (const b of buttons) b.disabled = true;
    send(value);
  };
  const buttons = isYesNo
    ? [h("button.primary", { type: "button", onclick: () => submit(true) }, "Approve"), h("button", { type: "button", onclick: () => submit(false) }, "Reject")]
    : [h("button.primary", { type: "submit" }, "Send")];
  const fail = (msg) => ((general.textContent = msg), (general.hidden = false));
  const heading = h("div.form-title", {}, h("span.diamond", { "aria-hidden": "true" }), h("strong", {}, event), type ? h("code.type", {}, type) : null);
  const el = h(isYesNo ? "form.form.yesno" : "form.form", { "aria-label": `Answer ${event}`, novalidate: true, onsubmit: (e) => {
    e.preventDefault();
    if (isYesNo) return;
    input.clear();
    let value;
    try {
      value = input.read();
    } catch (problem) {
      problem.field?.mark([], problem.message);
      return;
    }
    submit(value ?? null);
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

/**
 * The form for the arguments of a run: {el, focus(), answer(ack)}. `send({args, unset})` is called with what was changed:
 * the values of fields that read otherwise than at first, and the names of those that were emptied.
 */
export function argumentsForm({ title, help, form, action }, send, close) {
  const fields = new Map(form.fields.map((f) => [f.name, field(f)]));
  const textOf = (f) => JSON.stringify(f.read());
  const before = new Map([...fields].map(([name, f]) => [name, textOf(f)]));
  const general = h("p.error", { role: "alert", hidden: true });
  const submit = h("button.primary", { type: "submit" }, action);
  function changes() {
    const args = {};
    const unset = [];
    for (const [name, f] of fields) {
      const value = f.read();
      if (JSON.stringify(value) === before.get(name)) continue;
      if (value === OMIT) unset.push(name);
      else args[name] = value;
    }
    return { args, unset };
  }
  const el = h("form.form", { "aria-label": title, novalidate: true, onsubmit: (e) => {
    e.preventDefault();
    general.hidden = true;
    for (const f of fields.values()) f.clear();
    let found;
    try {
      found = changes();
    } catch (problem) {
      problem.field?.mark([], problem.message).focus?.();
      return;
    }
    submit.disabled = true;
    send(found);
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
