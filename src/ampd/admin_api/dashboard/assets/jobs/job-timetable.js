/** When a job runs. */
import { get, path } from "../core/api.js";
import { duration, number } from "../core/format.js";
import { html } from "../core/preact.js";
import { touchesJob, useResource } from "../core/resource.js";
import { Loaded } from "../components/failure.js";
import { hasEnded } from "./job-rules.js";
import { FireTimes } from "../schedules/fire-times.js";
import { Time } from "../components/time.js";

const SHOWN_TIMES = 5;
const OVERLAP = { skip: "the new execution is skipped", queue: "the new execution waits for it", cancel_running: "it is ended" };
const CATCH_UP = { skip: "they are skipped", run_once: "it runs once for all of them", run_all: "it runs for each of them" };

/** @param {{job: any}} props */
export function JobTimetable({ job }) {
  const next = useResource((signal) => get(path("jobs", job.id, "next"), { count: SHOWN_TIMES }, signal), [job.id], touchesJob(job.id));
  const { schedule } = job;
  const rows = [
    !job.recurring && ["Runs", "once"],
    schedule?.cron && ["Cron", html`<code>${schedule.cron}</code> ${schedule.tz ?? "UTC"}`],
    schedule?.every && ["Every", duration(schedule.every / 1000)],
    schedule?.start_at && ["Not before", html`<${Time} at=${schedule.start_at} />`],
    schedule?.end_date && ["Not after", html`<${Time} at=${schedule.end_date} />`],
    schedule?.limit && ["At most", `${number(schedule.limit)} runs, ${number(job.execution_count)} have begun`],
    job.recurring && ["When one has not ended", OVERLAP[schedule?.overlap ?? "skip"]],
    job.recurring && ["Times without a controller", CATCH_UP[schedule?.catch_up ?? "run_once"]],
    schedule?.pause_on_failure && ["After a failure", "it is paused"],
  ].filter(Boolean);
  return html`<section class="card"><h2>Timetable</h2>
    <dl class="facts">${rows.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
    <h3 class="next">Next fire times${job.recurring && job.status === "PAUSED" ? " (if it were resumed now)" : ""}</h3>
    <${Loaded} resource=${next}>${(answer) => (answer.times.length === 0 && !job.recurring && !hasEnded(job)
      ? html`<p class="empty">It has begun.</p>` : html`<${FireTimes} answer=${answer} />`)}<//>
  </section>`;
}
