/** Fields for a timetable, and from them to what the API is told. */
import { post } from "../core/api.js";
import { fromField, ownZone, toField } from "../core/moments.js";
import { html } from "../core/preact.js";
import { FireTimes, OVERLAPS, TimeZones, UNITS } from "./fire-times.js";

const SHOWN_TIMES = 5;

/**
 * The fields of a timetable, with the values of `schedule` (as a job has it) in them.
 *
 * @param {{schedule?: Record<string, any> | null, onlyStart?: boolean}} props `onlyStart`: of a job that runs once
 */
export function ScheduleFields({ schedule, onlyStart = false }) {
  const now = schedule ?? {};
  const unit = unitOf(now.every);
  return html`
    <label>Not before <small>(${ownZone()})</small>
      <input name="start_at" type="datetime-local" step="1" defaultValue=${toField(now.start_at)} /></label>
    ${!onlyStart && html`<fieldset>
      <legend>Again and again: by a cron expression, or at an interval</legend>
      <div class="pair">
        <label>Cron <small>(minute hour day month weekday, or @daily)</small>
          <input name="cron" defaultValue=${now.cron ?? ""} placeholder="0 9 * * MON-FRI" spellcheck=${false} autocomplete="off" /></label>
        <label>Time zone of cron <small>(IANA; UTC when empty)</small>
          <input name="tz" defaultValue=${now.tz ?? ""} placeholder=${ownZone()} list="time-zones" spellcheck=${false} autocomplete="off" />
          <${TimeZones} /></label>
      </div>
      <div class="pair">
        <label>Every <input name="every" type="number" min="1" step="1" defaultValue=${now.every ? now.every / UNITS[unit] : ""} /></label>
        <label>Unit <select name="every_unit">
          ${Object.keys(UNITS).map((name) => html`<option value=${name} selected=${name === unit}>${name}</option>`)}
        </select></label>
      </div>
      <div class="pair">
        <label>At most so many runs <input name="limit" type="number" min="1" step="1" defaultValue=${now.limit ?? ""} /></label>
        <label>Not after <small>(${ownZone()})</small>
          <input name="end_date" type="datetime-local" step="1" defaultValue=${toField(now.end_date)} /></label>
      </div>
      <label>When the execution before has not ended
        <select name="overlap">${OVERLAPS.map(([id, name]) => html`<option value=${id} selected=${id === (now.overlap ?? "skip")}>${name}</option>`)}</select></label>
    </fieldset>`}`;
}

/** What the fields say, but for what is empty or at its default. @param {Record<string, string>} values of a form */
export function scheduleOf(values) {
  const schedule = {
    start_at: fromField(values.start_at),
    cron: values.cron?.trim() || undefined,
    tz: values.tz?.trim() || undefined,
    every: values.every ? Number(values.every) * UNITS[values.every_unit] : undefined,
    limit: values.limit ? Number(values.limit) : undefined,
    end_date: fromField(values.end_date),
    overlap: values.overlap === "skip" ? undefined : values.overlap,
  };
  return Object.fromEntries(Object.entries(schedule).filter(([, value]) => value !== undefined));
}

/**
 * What has to change of a schedule for it to be as the fields say; null takes a field away.
 *
 * @param {Record<string, string>} values of a form
 * @param {Record<string, any> | null} schedule as the job has it
 */
export function changesOf(values, schedule) {
  const wanted = scheduleOf(values);
  const kept = { ...schedule, start_at: fromField(toField(schedule?.start_at)), end_date: fromField(toField(schedule?.end_date)) };
  const changes = {};
  for (const name of ["start_at", "cron", "tz", "every", "limit", "end_date", "overlap"]) {
    if (`${name}` in values && wanted[name] !== (kept[name] ?? undefined)) changes[name] = wanted[name] ?? null;
  }
  return changes;
}

/** The fields of a schedule that the form does not have stay as they are. @param {Record<string, any> | null} schedule */
export function unshownOf(schedule) {
  const { catch_up, catch_up_window_ms, pause_on_failure } = schedule ?? {};
  return Object.fromEntries(Object.entries({ catch_up, catch_up_window_ms, pause_on_failure }).filter(([, value]) => value !== undefined));
}

/** Ask when a schedule would fire, and draw the answer. @param {object} schedule as a request has it */
export async function previewed(schedule) {
  if (Object.keys(schedule).length === 0) return html`<p>It would be due at once, and run once.</p>`;
  const answer = await post("/schedules/preview", { schedule, count: SHOWN_TIMES });
  return html`<p>It would fire at:</p><${FireTimes} answer=${answer} />`;
}

/** The longest unit of which an interval is a whole number. @param {number | null | undefined} milliseconds */
function unitOf(milliseconds) {
  return Object.keys(UNITS).find((name) => milliseconds && milliseconds % UNITS[name] === 0) ?? "minutes";
}
