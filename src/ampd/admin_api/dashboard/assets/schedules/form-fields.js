/** When a job runs: fields of a schedule, and a look at the times that it means. */
import { post } from "../core/api.js";
import { Check, Input, Select } from "../components/fields.js";
import { Failure } from "../components/failure.js";
import { fromField, ownZone } from "../core/moments.js";
import { html, useEffect, useState } from "../core/preact.js";
import { given, numberOf, textOf } from "../core/typed.js";
import { FireTimes, OVERLAPS, TimeZones, UNITS } from "./fire-times.js";

const TYPING_MILLISECONDS = 300;
const TIMES_SHOWN = 8;
const NEVER = "It never runs: there is no time between now and its end.";
const WAYS = { now: "Now, once", once: "Once, at a time", cron: "By cron", every: "At an interval" };

/** What stands in the fields at first. */
export const NO_TIMETABLE = {
  way: "now", start_at: "", cron: "0 * * * *", tz: ownZone(), every: "1", unit: "hours",
  limit: "", end_date: "", overlap: "skip", catch_up: "", pause_on_failure: false,
};

/**
 * Return the schedule that the fields mean, as the API wants it; null: now, once.
 *
 * @param {typeof NO_TIMETABLE} fields
 */
export function scheduleOf(fields) {
  if (fields.way === "now") return null;
  const start = fromField(fields.start_at);
  if (fields.way === "once") return given({ start_at: start });
  const repeated = {
    start_at: start,
    limit: numberOf(fields.limit),
    end_date: fromField(fields.end_date),
    overlap: fields.overlap === "skip" ? null : fields.overlap,
    catch_up: textOf(fields.catch_up),
    pause_on_failure: fields.pause_on_failure || null,
  };
  if (fields.way === "cron") return given({ cron: fields.cron.trim(), tz: textOf(fields.tz), ...repeated });
  const every = numberOf(fields.every);
  return given({ every: every === null ? null : Math.round(every * UNITS[fields.unit]), ...repeated });
}

/** @param {{fields: typeof NO_TIMETABLE, change: (part: Partial<typeof NO_TIMETABLE>) => void}} props */
export function TimetableFields({ fields, change }) {
  return html`<fieldset>
    <legend>When</legend>
    <div class="choices">
      ${Object.entries(WAYS).map(([way, words]) => html`<label><input type="radio" name="way" value=${way} checked=${fields.way === way} onChange=${() => change({ way })} /> ${words}</label>`)}
    </div>
    ${fields.way !== "now" && html`<div class="fields">
      ${fields.way === "cron" && html`<${CronFields} fields=${fields} change=${change} />`}
      ${fields.way === "every" && html`<${EveryFields} fields=${fields} change=${change} />`}
      <${Moment} name="start_at" title=${fields.way === "once" ? "At" : "Not before"} fields=${fields} change=${change} isNeeded=${fields.way === "once"} />
      ${fields.way !== "once" && html`<${RepeatedFields} fields=${fields} change=${change} />`}
    </div>`}
  </fieldset>`;
}

function Moment({ name, title, fields, change, isNeeded = false }) {
  return html`<${Input} name=${name} title=${title} type="datetime-local" step="1" required=${isNeeded} fields=${fields} change=${change} hint=${`in your zone, ${ownZone()}`} />`;
}

function CronFields({ fields, change }) {
  return html`
    <${Input} name="cron" title="Cron expression" required fields=${fields} change=${change} hint="minute hour day month weekday, or @daily" />
    <${Input} name="tz" title="Time zone" list="time-zones" required fields=${fields} change=${change} hint="an IANA name" />
    <${TimeZones} />`;
}

function EveryFields({ fields, change }) {
  return html`
    <${Input} name="every" title="Every" type="number" min="0" step="any" required fields=${fields} change=${change} />
    <${Select} name="unit" title="Unit" words=${Object.keys(UNITS).map((unit) => [unit, unit])} fields=${fields} change=${change} />`;
}

const CATCH_UPS = [["", "run once (default)"], ["skip", "leave them out"], ["run_all", "run them all"]];

function RepeatedFields({ fields, change }) {
  return html`
    <${Moment} name="end_date" title="Not after" fields=${fields} change=${change} />
    <${Input} name="limit" title="At most so often" type="number" min="1" step="1" placeholder="no limit" fields=${fields} change=${change} />
    <${Select} name="overlap" title="When it still runs" words=${OVERLAPS} fields=${fields} change=${change} />
    <${Select} name="catch_up" title="For missed times" words=${CATCH_UPS} fields=${fields} change=${change} />
    <${Check} name="pause_on_failure" title="Pause it when a run has failed" fields=${fields} change=${change} />`;
}

/** The next times of a schedule, as the API reckons them. @param {{schedule: object | null}} props */
export function TimetablePreview({ schedule }) {
  const key = JSON.stringify(schedule);
  const [state, set] = useState({ key: null, answer: null, error: null });
  useEffect(() => {
    if (schedule === null || Object.keys(schedule).length === 0) return undefined;
    let isLeft = false;
    const show = (part) => isLeft || set({ key, answer: null, error: null, ...part });
    const ask = () => post("/schedules/preview", { schedule, count: TIMES_SHOWN }).then((answer) => show({ answer }), (error) => show({ error }));
    const timer = setTimeout(ask, TYPING_MILLISECONDS);
    return () => {
      isLeft = true;
      clearTimeout(timer);
    };
  }, [key]);
  if (schedule === null) return html`<p>It runs at once, as soon as a worker has a free slot.</p>`;
  if (Object.keys(schedule).length === 0) return html`<p>Say when.</p>`;
  if (state.key === null) return html`<p class="loading">Reckoning …</p>`;
  return html`<div aria-live="polite" aria-busy=${state.key !== key}>
    <${Failure} error=${state.error} title="This is no timetable" />
    ${state.answer && html`<${FireTimes} answer=${state.answer} empty=${NEVER} />`}
  </div>`;
}
