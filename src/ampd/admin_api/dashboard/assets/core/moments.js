/** Moments in fields: what people type is in their zone, what the API is told is UTC. */

/**
 * The value of a field `datetime-local` for a moment; empty for none.
 *
 * @param {string | number | null | undefined} at RFC 3339, or milliseconds since the epoch
 * @returns {string}
 */
export function toField(at) {
  if (at === null || at === undefined || at === "") return "";
  const moment = new Date(at);
  if (Number.isNaN(moment.getTime())) return "";
  const shifted = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}

/** The moment (RFC 3339, UTC) of a field `datetime-local`; undefined for an empty one. @param {string} text */
export function fromField(text) {
  if (!text) return undefined;
  const moment = new Date(text);
  return Number.isNaN(moment.getTime()) ? undefined : `${moment.toISOString().slice(0, 19)}Z`;
}

/** The viewer's time zone by its IANA name. */
export function ownZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}
