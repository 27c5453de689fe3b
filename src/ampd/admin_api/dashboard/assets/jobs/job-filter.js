/** Which jobs are shown: kept in the address, told to the API as parameters of a list, or as the body of a bulk operation. */

/** Those of the API's words for states that the counts by state stand for. */
export const STATE_CHOICES = [
  { name: "All", states: [], counted: ["total"] },
  { name: "Waiting", states: ["SCHEDULED"], counted: ["scheduled", "queued"] },
  { name: "Running", states: ["RUNNING", "STOP_REQUESTED", "STOPPING"], counted: ["running"] },
  { name: "Paused", states: ["PAUSED"], counted: ["paused"] },
  { name: "Completed", states: ["COMPLETED"], counted: ["completed"] },
  { name: "Stopped", states: ["STOPPED"], counted: ["cancelled"] },
  { name: "Failed", states: ["FAILED"], counted: ["failed"] },
];

export const STATES = ["SCHEDULED", "RUNNING", "STOP_REQUESTED", "STOPPING", "PAUSED", "COMPLETED", "STOPPED", "FAILED"];

const SINGLE = ["kind", "dataset", "dataset_namespace", "worker_id", "recurring", "from", "to"];

/**
 * @typedef {object} Filter
 * @property {string[]} state
 * @property {string[]} label key=value
 * @property {string} [kind]
 * @property {string} [dataset] namespace/name
 * @property {string} [dataset_namespace]
 * @property {string} [worker_id]
 * @property {string} [recurring] true or false
 * @property {string} [from] RFC 3339
 * @property {string} [to] RFC 3339
 */

/** Read the filter of an address. @param {URLSearchParams} query @returns {Filter} */
export function readFilter(query) {
  const filter = { state: query.getAll("state").flatMap((text) => text.split(",")).map((word) => word.trim()).filter(Boolean), label: query.getAll("label") };
  for (const name of SINGLE) {
    const value = query.get(name);
    if (value) filter[name] = value;
  }
  return filter;
}

/** The parameters of GET /jobs/stats but for the states. @param {Filter} filter */
export function criteria({ state: _state, ...rest }) {
  return rest;
}

/** The parameter `status`. @param {Filter} filter */
export function statusOf({ state }) {
  return state.length > 0 ? state.join(",") : "all";
}

/** The body of an operation on all jobs of a filter. @param {Filter} filter */
export function selectionOf(filter) {
  const { state, label, recurring, ...rest } = filter;
  const selection = { status: statusOf(filter), ...rest };
  if (recurring) selection.recurring = recurring === "true";
  if (label.length > 0) selection.labels = Object.fromEntries(label.map(splitLabel));
  return isEmpty(filter) ? { all: true, status: "all" } : selection;
}

/** @param {Filter} filter */
export function isEmpty({ state, label, ...rest }) {
  return state.length === 0 && label.length === 0 && Object.keys(rest).length === 0;
}

/** Tell whether two sets of states are the same. @param {string[]} some @param {string[]} others */
export function sameStates(some, others) {
  return some.length === others.length && others.every((state) => some.some((one) => one.toUpperCase() === state));
}

const DATASET = /^(?:pkg:amp\/)?([^/@=\s]+\/[^/@=\s]+?)(?:@([^=\s]+))?$/;

/**
 * Understand what somebody searches for: `{id}`, or `{change}` of the filter; null when it is neither.
 *
 * @param {string} text
 * @param {Filter} filter
 * @returns {{id?: number, change?: Partial<Filter>} | null}
 */
export function understand(text, filter) {
  const wanted = text.trim();
  if (/^\d{1,18}$/.test(wanted)) return { id: Number(wanted) };
  const dataset = DATASET.exec(wanted);
  if (dataset !== null) {
    const [, name, version] = dataset;
    return { change: { dataset: name, ...(version ? { label: withLabel(filter, `dataset_version=${version}`) } : {}) } };
  }
  return /^[^=\s]+=/.test(wanted) ? { change: { label: withLabel(filter, wanted) } } : null;
}

function withLabel({ label }, added) {
  const [name] = splitLabel(added);
  return [...label.filter((one) => splitLabel(one)[0] !== name), added];
}

function splitLabel(text) {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
