/** Operations on jobs: asked with a dialog, done through the API, and told when they are done. */
import { path, post, request } from "../core/api.js";
import { plural } from "../core/format.js";
import { html, useEffect, useState } from "../core/preact.js";
import { confirm } from "../components/dialog.js";
import { Failure } from "../components/failure.js";
import { notice } from "../components/notices.js";

/** @typedef {import("./job-rules.js").Job} Job */

const MOST_DELAY_SECONDS = 366 * 86_400;

const REASON = html`<label>Reason <small>(kept in the job and in its history)</small>
  <input name="reason" maxlength="1000" autocomplete="off" /></label>`;
const DELAY = html`<label>Wait before it may begin, in seconds <small>(0: now)</small>
  <input name="delay" type="number" min="0" max=${MOST_DELAY_SECONDS} step="1" value="0" required /></label>`;

/** What the operations are called, what they mean, and what can be said with them. */
export const OPERATIONS = {
  cancel: {
    title: "Cancel",
    past: "asked to end",
    verb: "End", // beside a button "Cancel" that closes the dialog
    means: "What a worker has in hand is committed first. What has been extracted stays.",
    isDangerous: true,
    fields: REASON,
  },
  pause: {
    title: "Pause",
    past: "set aside",
    means: "What a worker has in hand is committed first. A paused job goes on when it is resumed.",
    fields: REASON,
  },
  resume: { title: "Resume", past: "resumed", means: "It goes on from where it is." },
  retry: {
    title: "Retry",
    past: "to run again",
    means: "It runs again with the same options, as a new execution whose failures are counted afresh.",
    fields: DELAY,
  },
  delete: {
    title: "Delete",
    past: "removed",
    means: "The job and its results go for good; its events stay for the retention time. Tables and files stay.",
    isDangerous: true,
  },
};

/**
 * Ask about one job, and do it. @param {keyof OPERATIONS} operation @param {Job} job @param {string} name of the job, for people
 * @returns {Promise<boolean>} whether it was done
 */
export async function operate(operation, job, name) {
  const { title, past, verb = title, means, isDangerous, fields } = OPERATIONS[operation];
  const isDone = await confirm({
    title: `${title} job ${job.id}`,
    text: html`<p>${title} job ${job.id} (<bdi>${name}</bdi>)? ${means}</p>`,
    action: `${verb} job ${job.id}`,
    isDangerous,
    fields,
    act: (values) => (operation === "delete" ? request("DELETE", path("jobs", job.id)) : post(path("jobs", job.id, operation), said(values))),
  });
  if (isDone) notice(`Job ${job.id}: ${past}`);
  return isDone;
}

/** Ask for the end of a job without a reason. @param {Job} job @param {string} name */
export async function stop(job, name) {
  const isDone = await confirm({
    title: `Stop job ${job.id}`,
    text: html`<p>Stop job ${job.id} (<bdi>${name}</bdi>)? ${OPERATIONS.cancel.means} A stopped job can be retried.</p>`,
    action: `Stop job ${job.id}`,
    isDangerous: true,
    act: () => post(path("jobs", job.id, "stop")),
  });
  if (isDone) notice(`Job ${job.id}: asked to end`);
  return isDone;
}

/**
 * Ask about many jobs, with what it would do, and do it.
 *
 * @param {keyof OPERATIONS} operation
 * @param {object} selection which jobs, as the API's bodies say it
 * @param {string} which the same for people
 * @param {unknown} [refusals] why some of them will be passed over
 * @returns {Promise<boolean>} whether it was done
 */
export async function operateOnMany(operation, selection, which, refusals = null) {
  const { title, verb = title, means, isDangerous, fields } = OPERATIONS[operation];
  const send = (more) => post(path("jobs", operation), { ...selection, ...more });
  const dryRun = async () => html`<p><strong>${outcome(operation, await send({ dry_run: true }))}</strong></p>`;
  let result = null;
  const isDone = await confirm({
    title: `${title} ${which}`,
    text: html`<p>${means}</p><${WouldDo} ask=${dryRun} />${refusals}`,
    action: `${verb} them`,
    isDangerous,
    fields,
    preview: dryRun,
    act: async (values) => {
      result = await send(said(values));
    },
  });
  if (isDone) notice(outcome(operation, result));
  return isDone;
}

/** What a dry run says, asked for when it is first shown. */
function WouldDo({ ask }) {
  const [state, set] = useState({ shown: null, error: null });
  useEffect(() => {
    ask().then((shown) => set({ shown, error: null }), (error) => set({ shown: null, error }));
  }, []);
  if (state.error !== null) return html`<${Failure} error=${state.error} title="It is not known what it would do" />`;
  return html`<div class="preview" role="status">${state.shown ?? "Asking what it would do …"}</div>`;
}

/** @param {{matched: number, changed: number, skipped: number, dry_run: boolean}} result */
function outcome(operation, { changed, skipped, dry_run: isDry }) {
  const { past } = OPERATIONS[operation];
  const passed = skipped > 0 ? `; ${plural(skipped, "job")} ${isDry ? "would be" : skipped === 1 ? "was" : "were"} left as ${skipped === 1 ? "it is" : "they are"}: so already, or not in a state for it` : "";
  const verb = isDry ? "would be" : changed === 1 ? "is" : "are";
  return `${plural(changed, "job")} ${verb} ${past}${passed}.`;
}

/** From what the fields of a dialog hold to what the API is told. */
function said({ reason, delay }) {
  const body = {};
  if (reason?.trim()) body.reason = reason.trim();
  if (delay !== undefined) body.delay_ms = Number(delay) * 1000;
  return body;
}
