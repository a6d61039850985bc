// What an input shows of a JSON text, and the JSON text of what was typed. Nothing goes through a number of ours.

/** The JSON text that a field begins with; undefined if there is none. */
export const begunText = (d) => d.now ?? d.default;

/** What a field shows of that: a string without its quotes, a number with all its digits. */
export function shown(d) {
  const text = begunText(d) ?? "null";
  if (text === "null") return "";
  return text.startsWith('"') ? JSON.parse(text) : text;
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/; // as JSON has it

export function numberText(text) {
  const whole = text.replace(/^\+/, "").replace(/^(-?)0+(?=\d)/, "$1"); // 007
  const plain = whole.replace(/^-?(?=\.)/, "$&0").replace(/\.(?!\d)/, ""); // .5 and 5.
  return NUMBER.test(plain) ? plain : JSON.stringify(text); // the kernel judges
}

const MOST_DIGITS = 15; // that a double keeps: the arrows of an input for numbers would round what has more

/** Whether an input for numbers can do with what the field begins with: it shows no infinite ones. */
export const isPlainNumber = (d) => shown(d) === "" || (NUMBER.test(shown(d)) && shown(d).length <= MOST_DIGITS);

// -- times: what has a zone is shown and read in the browser's, what has none is left as it is --

const twoDigits = (n) => String(n).padStart(2, "0");
const CLOCK = /^(\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,3})\d*)?)?/;

/** "09:30", and seconds and milliseconds if there are any: the inputs know no finer ones. */
export function clock(text) {
  const [, minutes = "", seconds = "00", fraction = ""] = CLOCK.exec(text) ?? [];
  const ms = fraction.padEnd(3, "0");
  if (ms !== "000") return `${minutes}:${seconds}.${ms}`;
  return seconds === "00" ? minutes : `${minutes}:${seconds}`;
}

/** The step of an input that shows this time, in seconds: with its own, of a minute, it would take no seconds. */
export const stepOf = (text) => (/\.\d+$/.test(text) ? 0.001 : /:\d\d:\d\d$/.test(text) ? 1 : undefined);

/** A time that began with an offset keeps it. */
export const timeText = (text, d) => JSON.stringify(text + (/(Z|[-+]\d\d:\d\d)$/.exec(shown(d))?.[0] ?? ""));

export function zoneWords(d) {
  return d.zone === "naive" ? "without a time zone" : `in your time zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
}

export function shownDatetime(d) {
  const text = shown(d);
  return d.zone === "naive" ? nakedTime(text) : localTime(text);
}

export const datetimeText = (text, d) => JSON.stringify(d.zone === "naive" ? text : withOffset(text));

const nakedTime = (text) => (text === "" ? "" : `${text.slice(0, 10)}T${clock(text.slice(11))}`);

function localTime(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  const day = [String(at.getFullYear()).padStart(4, "0"), twoDigits(at.getMonth() + 1), twoDigits(at.getDate())].join("-");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(":");
  return `${day}T${clock(`${time}.${String(at.getMilliseconds()).padStart(3, "0")}`)}`;
}

function withOffset(text) {
  const minutes = -new Date(text).getTimezoneOffset();
  if (Number.isNaN(minutes)) return text; // the kernel judges
  const size = Math.abs(minutes);
  return `${text}${minutes < 0 ? "-" : "+"}${twoDigits(Math.trunc(size / 60))}:${twoDigits(Math.trunc(size % 60))}`;
}
