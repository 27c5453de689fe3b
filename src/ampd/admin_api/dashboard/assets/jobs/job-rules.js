/** What may be asked of a job in which state, in the words of the API's own refusals. The API has the last word. */

/** @typedef {{id: number, status: string, stop_intent: string | null, waiting_for: string | null, recurring: boolean,
 *   started_at: string | null, worker_id: string | null, kind: string}} Job */

const ENDED = ["COMPLETED", "STOPPED", "FAILED"];
const STOPPING = ["STOP_REQUESTED", "STOPPING"];

/** Tell whether a job has ended. @param {Job} job */
export function hasEnded(job) {
  return ENDED.includes(job.status);
}

const RULES = {
  cancel: (job) => {
    if (hasEnded(job)) return "it has ended already";
    return job.stop_intent === "STOP" ? "it is being stopped already" : null;
  },
  pause: (job) => {
    if (hasEnded(job)) return "it has ended";
    if (job.status === "PAUSED") return "it is paused already";
    return STOPPING.includes(job.status) && job.stop_intent !== "NEXT" ? "it is being stopped" : null;
  },
  resume: (job) => {
    if (hasEnded(job)) return "it has ended: retry it, or deploy it again";
    return job.status === "PAUSED" || job.stop_intent === "PAUSE" ? null : "it is not paused";
  },
  retry: (job) => {
    if (["STOPPED", "FAILED"].includes(job.status) || waitsToRetry(job)) return null;
    return "only a job that failed, was stopped, or waits for a retry can be retried";
  },
  reschedule: (job) => {
    if (hasEnded(job)) return "it has ended: deploy or create it again with another schedule";
    if (STOPPING.includes(job.status)) return "it is being stopped";
    return !job.recurring && (job.status === "RUNNING" || job.worker_id !== null) ? "it runs once, and has begun" : null;
  },
  delete: (job) => (hasEnded(job) ? null : "it has not ended: stop it first"),
};

/**
 * Tell why an operation cannot be done to a job as it is; null when it can.
 *
 * @param {"cancel" | "pause" | "resume" | "retry" | "reschedule" | "delete"} operation
 * @param {Job} job
 * @returns {string | null}
 */
export function whyNotNow(operation, job) {
  return RULES[operation](job);
}

function waitsToRetry(job) {
  return job.status === "SCHEDULED" && job.waiting_for === "retry";
}

/** What a job that is SCHEDULED waits for, in words. @param {any} job @returns {string | null} */
export function waiting(job) {
  if (job.waiting_for === null || job.waiting_for === undefined) return null;
  const unmet = job.depends_on.filter(({ status }) => status !== "COMPLETED").map(({ reference, status }) => `${reference} (${status ?? "missing"})`);
  const words = {
    dependency: `${unmet.join(", ")} to complete`,
    failed_dependency: `${unmet.join(", ")}, which does not complete by itself`,
    run_at: "its time",
    retry: `retry ${job.retry_count}`,
    worker: "a live worker",
    handler: `a worker that runs jobs of kind ${job.kind}`,
    slot: "a free slot on a worker",
    start: "its worker to start it",
  };
  return words[job.waiting_for] ?? job.waiting_for;
}
