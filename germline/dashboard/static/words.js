// Numbers, times and counts in words, as the command line writes them.

export const DASH = "–";

/** A number for people: one digit behind the point, more where that would leave nothing of a small one. */
export function number(value, digits) {
  if (value === null || value === undefined) return DASH;
  const size = Math.abs(value);
  if (size >= 1e15) return value.toPrecision(6);
  if (digits === undefined) {
    digits = size >= 0.1 || size === 0 ? 1 : 1 - Math.floor(Math.log10(size));
    if (digits > 5) return value.toExponential(1);
  }
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return /[1-9]/.test(text) ? text : text.replace("-", "");
}

/** A whole number with its thousands apart. */
export const whole = (value) => (value === null || value === undefined ? DASH : Math.round(value).toLocaleString("en-US"));

/** A large count in few letters: 8.04 M. The full number belongs beside it, or in a title. */
export function brief(value) {
  if (value === null || value === undefined) return DASH;
  for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (Math.abs(value) >= size) return `${(value / (size === 1e4 ? 1e3 : size)).toPrecision(3)} ${letter}`;
  }
  return whole(value);
}

/** So many things: 1 worker, 2,000 workers. */
export const counted = (count, thing) => `${whole(count)} ${thing}${count === 1 ? "" : "s"}`;

/** 42 s, 3 min 20 s, 1 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${all % 60} s`;
  if (all < 172800) return `${Math.floor(all / 3600)} h ${Math.floor((all % 3600) / 60)} min`;
  return `${Math.floor(all / 86400)} d ${Math.floor((all % 86400) / 3600)} h`;
}

/** A moment in this browser's zone; `utc` is for titles. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const local = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  return { local, utc: date.toISOString().replace("T", " ").slice(0, 19) + " UTC" };
}

/** The time of day: 14:02:11. */
export const clock = (date = new Date()) => date.toLocaleTimeString(undefined, { hour12: false });

/** In percent, without pretended digits. */
export const percent = (share) => (share === null || share === undefined ? DASH : `${number(100 * share, share < 0.1 ? 1 : 0)} %`);

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
