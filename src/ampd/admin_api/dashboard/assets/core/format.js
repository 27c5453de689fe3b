/** Numbers, sizes and times as people read them. */

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const precise = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const NOTHING = "–";

/** 1234567 as 1,234,567. @param {number | null | undefined} value */
export function number(value) {
  return value === null || value === undefined ? NOTHING : whole.format(value);
}

/** 1234567 as 1.2M. @param {number | null | undefined} value */
export function compact(value) {
  return value === null || value === undefined ? NOTHING : short.format(value);
}

/** Three digits that count. @param {number | null | undefined} value */
export function rate(value) {
  if (value === null || value === undefined) return NOTHING;
  return value >= 1000 ? whole.format(value) : precise.format(value);
}

/** @param {number | null | undefined} count of bytes */
export function bytes(count) {
  if (count === null || count === undefined) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10));
  return `${power === 0 ? count : precise.format(count / 1024 ** power)} ${units[power]}`;
}

/** 93784 as 1 d 2 h; 0.25 as 250 ms. @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${precise.format(seconds)} s`;
  /** @type {[string, number][]} */
  const steps = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of steps) {
    if (left >= size && parts.length < 2) parts.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
    if (parts.length === 1 && left === 0) break;
  }
  return parts.join(" ");
}

/** 0.934 as 93.4 %. @param {number | null | undefined} share */
export function percent(share) {
  return share === null || share === undefined ? NOTHING : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

/** "1 job", "2 jobs". @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** A moment in the viewer's zone. @param {Date} at */
export function localTime(at) {
  return at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** A moment in UTC, RFC 3339. @param {Date} at */
export function utcTime(at) {
  return `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
