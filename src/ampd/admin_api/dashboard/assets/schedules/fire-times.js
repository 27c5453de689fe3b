/** What all forms of a timetable say, and the times at which one fires. */
import { Time } from "../components/time.js";
import { ownZone } from "../core/moments.js";
import { html } from "../core/preact.js";

/** Units of an interval: their milliseconds by their names, the longest first. @type {Record<string, number>} */
export const UNITS = { days: 86_400_000, hours: 3_600_000, minutes: 60_000, seconds: 1000 };

/** What becomes of a time at which the execution before has not ended; the first is the default. */
export const OVERLAPS = [["skip", "skip that time"], ["queue", "run it afterwards"], ["cancel_running", "end the one that runs"]];

/** All time zones that the browser knows, for the attribute `list` of a field: `time-zones`. */
export function TimeZones() {
  const zones = ["UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])];
  return html`<datalist id="time-zones">${zones.map((zone) => html`<option key=${zone} value=${zone} />`)}</datalist>`;
}

/**
 * Times as the API reckons them: in the viewer's zone, beside it by the clocks of the timetable's zone.
 *
 * @param {{answer: {tz: string, times: {at: string, at_ms: number, local: string}[]}, empty?: unknown}} props
 */
export function FireTimes({ answer: { times, tz }, empty = "It does not fire again." }) {
  if (times.length === 0) return html`<p class="empty">${empty}</p>`;
  const isForeign = tz !== ownZone();
  return html`
    <ol class="times">${times.map(({ at_ms: at, local }) => html`<li key=${at}><${Time} at=${at} />${isForeign && html`<small>${clocks(local)}</small>`}</li>`)}</ol>
    <p class="gap"><small>In your zone, ${ownZone()}${isForeign && `; beside it the clocks of ${tz}`}. UTC on hover.</small></p>`;
}

function clocks(local) {
  return `${local.slice(11, 19)} ${local.slice(19).replace("+00:00", "UTC")}`;
}
