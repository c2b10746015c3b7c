// Values as people read them, word for word as the server writes them (wfstore/_text.py, templating.py).

/** Seconds as "4 ms", "1.23 s", "1 min 15 s", "1 h 01 min"; "" for none. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 0) return "-" + duration(-seconds);
  if (seconds < 0.0995) return seconds < 0.00995 ? `${(seconds * 1000).toFixed(1)} ms` : `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 59.95) return seconds < 9.995 ? `${seconds.toFixed(2)} s` : `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 2 * 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Bytes in decimal units: "999 B", "1.2 MB". */
export function size(count) {
  if (count === null || count === undefined) return "";
  let value = count;
  let unit = "B";
  for (const larger of ["kB", "MB", "GB", "TB", "PB"]) {
    if (value < 999.5) break;
    value /= 1000;
    unit = larger;
  }
  return unit === "B" || value >= 99.5 ? `${value.toFixed(0)} ${unit}` : `${value.toFixed(1)} ${unit}`;
}

const NUMBERS = new Intl.NumberFormat("en-US");

export function number(count) {
  return count === null || count === undefined ? "" : NUMBERS.format(count);
}

/** How long ago a time (milliseconds since 1970) was: "5 min ago", "in 20 s". */
export function ago(then, now = Date.now()) {
  const seconds = (now - then) / 1000;
  if (Math.abs(seconds) < 1) return "just now";
  const span = largest(Math.abs(seconds));
  return seconds > 0 ? `${span} ago` : `in ${span}`;
}

function largest(seconds) {
  for (const [unit, length] of [["years", 365.25 * 86400], ["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= (unit === "years" ? 2 : 1) * length) return `${number(Math.floor(seconds / length))} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A time element for ISO 8601 text in UTC; null for none. */
export function moment(iso) {
  if (!iso) return null;
  const then = new Date(iso);
  const now = new Date();
  const clock = `${two(then.getUTCHours())}:${two(then.getUTCMinutes())}`;
  const full = `${clock}:${two(then.getUTCSeconds())}`;
  const day = `${then.getUTCDate()} ${MONTHS[then.getUTCMonth()]}`;
  const today = then.toISOString().slice(0, 10) === now.toISOString().slice(0, 10);
  const year = then.getUTCFullYear();
  const short = today ? full : year === now.getUTCFullYear() ? `${day} ${full}` : `${day} ${year} ${clock}`;
  const element = document.createElement("time");
  element.dateTime = iso;
  element.title = `${iso.replace("T", " ").replace("Z", "")} UTC`;
  const small = document.createElement("small");
  small.className = "ago";
  small.textContent = ago(then.getTime());
  element.append(`${short} `, small);
  return element;
}

/** A user's text in one line; what would hide or reorder text is shown as its escape. */
export function shown(value, most = 200) {
  const text = String(value ?? "").replace(/[\p{C}\p{Z}]/gu, (c) => (" \n\t".includes(c) ? " " : escaped(c.codePointAt(0))));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** As Python writes it: \x1b, \u202e, \U000e0041. */
function escaped(code) {
  const [mark, length] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${mark}${code.toString(16).padStart(length, "0")}`;
}

function two(value) {
  return String(value).padStart(2, "0");
}
