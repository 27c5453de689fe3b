/** What can be done with a job; what its state does not allow says why. */
import { path, post } from "../core/api.js";
import { html } from "../core/preact.js";
import { go, to } from "../core/router.js";
import { Action } from "../components/action.js";
import { confirm } from "../components/dialog.js";
import { operate, stop } from "./job-operations.js";
import { whyNotNow } from "./job-rules.js";
import { nameOf } from "./job-table.js";
import { notice } from "../components/notices.js";
import { changesOf, previewed, ScheduleFields, scheduleOf, unshownOf } from "../schedules/dialog-fields.js";

/** @param {{job: any, isGone: boolean, reload: () => void}} props */
export function JobActions({ job, isGone, reload }) {
  const name = nameOf(job);
  const why = (operation) => {
    const reason = isGone ? "it has been removed" : whyNotNow(operation, job);
    return reason === null ? null : `Not now: ${reason}.`;
  };
  const after = (work) => async () => {
    if (await work()) reload();
  };
  const remove = async () => {
    if (await operate("delete", job, name)) go(to(["jobs"]));
  };
  return html`<div class="actions" role="group" aria-label="What can be done with this job">
    <${Action} whyNot=${why("cancel")} onClick=${after(() => stop(job, name))}>Stop<//>
    <${Action} whyNot=${why("pause")} onClick=${after(() => operate("pause", job, name))}>Pause<//>
    <${Action} whyNot=${why("resume")} onClick=${after(() => operate("resume", job, name))}>Resume<//>
    <${Action} whyNot=${why("retry")} onClick=${after(() => operate("retry", job, name))}>Retry<//>
    <${Action} whyNot=${why("reschedule")} onClick=${after(() => reschedule(job))}>Reschedule<//>
    <${Action} kind="danger" whyNot=${why("cancel")} onClick=${after(() => operate("cancel", job, name))}>Cancel with a reason<//>
    <${Action} kind="danger" whyNot=${why("delete")} onClick=${remove}>Delete<//>
  </div>`;
}

/** Ask for another timetable, with its fire times on demand. @param {any} job */
async function reschedule(job) {
  const isDone = await confirm({
    title: `Reschedule job ${job.id}`,
    text: job.recurring
      ? html`<p>An execution that runs, or waits to, goes on as it is. An interval counts from now, or from the given begin.</p>`
      : html`<p>This job runs once: when it begins can be changed.</p>`,
    action: `Reschedule job ${job.id}`,
    fields: html`<${ScheduleFields} schedule=${job.schedule ?? { start_at: job.scheduled_at_ms }} onlyStart=${!job.recurring} />`,
    preview: (values) => previewed({ ...scheduleOf(values), ...unshownOf(job.schedule) }),
    act: (values) => post(path("jobs", job.id, "reschedule"), changesOf(values, job.schedule)),
  });
  if (isDone) notice(`Job ${job.id} has another timetable`);
  return isDone;
}
