/** Deploying a version of a dataset: a job that extracts its blocks, now or by a timetable. */
import { get, path, post } from "../core/api.js";
import { Action } from "../components/action.js";
import { Failure, Loaded } from "../components/failure.js";
import { Input, Select } from "../components/fields.js";
import { Crumbs } from "../components/references.js";
import { html, useState } from "../core/preact.js";
import { useResource } from "../core/resource.js";
import { to } from "../core/router.js";
import { given, numberOf, textOf } from "../core/typed.js";
import { NO_TIMETABLE, scheduleOf, TimetableFields, TimetablePreview } from "../schedules/form-fields.js";

const ENDS = { follow: "None: follow the chain", latest: "The newest block at the start", number: "A block", behind: "So many blocks behind the newest" };
const VERIFY = { sample: "a sample of every batch (default)", full: "every block", off: "none" };
const AT_FIRST = {
  end: "follow", end_block: "", parallelism: "1", worker_id: "", priority: "0", retries: "", verify: "sample", depends_on: "",
  initial_delay_secs: "", multiplier: "", max_delay_secs: "", jitter: "",
};

export default function Deploy({ namespace, name, query }) {
  const versions = useResource((signal) => get(path("datasets", namespace, name, "versions"), {}, signal), [namespace, name]);
  return html`
    <${Crumbs} way=${[["Datasets", to(["datasets"])], [`${namespace}/${name}`, to(["datasets", namespace, name])]]} />
    <h1>Deploy <bdi>${namespace}/${name}</bdi></h1>
    <${Loaded} resource=${versions}>${(data) => html`<${Form} dataset=${data} wanted=${query.get("version")} />`}<//>`;
}

function revisionsOf({ versions, special_tags: { latest, dev } }) {
  const words = [];
  if (latest) words.push(["latest", `latest (${latest})`]);
  words.push(...versions.map(({ version }) => [version, version]));
  if (dev) words.push(["dev", `dev (${dev.slice(0, 12)}…)`]);
  return words;
}

/** Return the body of the deploy that the fields mean. What stands at its default is left out. */
function deployOf(fields, timetable) {
  const ends = { follow: null, latest: "latest", number: textOf(fields.end_block), behind: `-${fields.end_block.trim()}` };
  const retry = given({
    initial_delay_secs: numberOf(fields.initial_delay_secs),
    multiplier: numberOf(fields.multiplier),
    max_delay_secs: numberOf(fields.max_delay_secs),
    jitter: numberOf(fields.jitter),
  });
  const dependsOn = fields.depends_on.split(/[\s,]+/).filter(Boolean).map((one) => (/^\d+$/.test(one) ? Number(one) : one));
  return given({
    end_block: ends[fields.end],
    parallelism: numberOf(fields.parallelism),
    worker_id: textOf(fields.worker_id),
    priority: numberOf(fields.priority),
    retries: numberOf(fields.retries),
    verify: fields.verify,
    depends_on: dependsOn.length > 0 ? dependsOn : null,
    retry: Object.keys(retry).length > 0 ? retry : null,
    schedule: scheduleOf(timetable),
  });
}

function Form({ dataset, wanted }) {
  const revisions = revisionsOf(dataset);
  const [fields, set] = useState({ ...AT_FIRST, revision: revisions.some(([value]) => value === wanted) ? wanted : revisions[0][0] });
  const [timetable, setTimetable] = useState(NO_TIMETABLE);
  const [state, show] = useState({ isBusy: false, error: null, jobId: null });
  const change = (part) => set((before) => ({ ...before, ...part }));
  const deploy = async (event) => {
    event.preventDefault();
    if (state.isBusy) return;
    show({ isBusy: true, error: null, jobId: null });
    try {
      const answer = await post(path("datasets", dataset.namespace, dataset.name, "versions", fields.revision, "deploy"), deployOf(fields, timetable));
      show({ isBusy: false, error: null, jobId: answer.job_id });
    } catch (error) {
      show({ isBusy: false, error, jobId: null });
    }
  };
  return html`<form class="deploy" aria-label="Deploy" onSubmit=${deploy}>
    <div>
      <section class="card">
        <${WhatFields} fields=${fields} change=${change} revisions=${revisions} />
        <${HowFields} fields=${fields} change=${change} />
        <${TimetableFields} fields=${timetable} change=${(part) => setTimetable((before) => ({ ...before, ...part }))} />
        <${Failure} error=${state.error} title="It is not deployed" />
        ${state.jobId !== null && html`<p class="done" role="status">Deployed: <a href=${to(["jobs", state.jobId])}>job #${state.jobId}</a> extracts it. The same options again answer the same job, while it is active.</p>`}
        <div class="actions">
          <${Action} type="submit" kind="primary" whyNot=${state.isBusy ? "It is being deployed." : null}>Deploy<//>
          <a class="button" href=${to(["datasets", dataset.namespace, dataset.name])}>Back</a>
        </div>
      </section>
    </div>
    <aside class="card" aria-labelledby="preview">
      <h2 id="preview">Next times</h2>
      <${TimetablePreview} schedule=${scheduleOf(timetable)} />
    </aside>
  </form>`;
}

function WhatFields({ fields, change, revisions }) {
  const needsBlock = fields.end === "number" || fields.end === "behind";
  return html`<fieldset>
    <legend>What</legend>
    <div class="fields">
      <${Select} name="revision" title="Version" words=${revisions} fields=${fields} change=${change} />
      <${Select} name="end" title="End block" words=${Object.entries(ENDS)} fields=${fields} change=${change} />
      ${needsBlock && html`<${Input} name="end_block" title=${fields.end === "number" ? "Last block" : "Blocks behind the newest"} type="number" min=${fields.end === "number" ? 0 : 1} step="1" required fields=${fields} change=${change} />`}
      <${Select} name="verify" title="Verify" hint="recompute what blocks commit to, before they are written" words=${Object.entries(VERIFY)} fields=${fields} change=${change} />
    </div>
  </fieldset>`;
}

function HowFields({ fields, change }) {
  const workers = useResource((signal) => get("/workers", {}, signal), [], (told) => told.workers);
  const ids = (workers.data?.workers ?? []).filter(({ live }) => live).map(({ node_id: id }) => id);
  const shared = { fields, change };
  return html`<fieldset>
    <legend>How</legend>
    <div class="fields">
      <${Input} name="parallelism" title="Parallelism" type="number" min="1" max="65535" step="1" required hint="ranges of blocks read at once, by free slots of any workers" ...${shared} />
      <${Input} name="worker_id" title="Worker" list="workers" placeholder="any" hint="its id, or the begin of ids and *" ...${shared} />
      <datalist id="workers">${ids.map((id) => html`<option value=${id} />`)}</datalist>
      <${Input} name="priority" title="Priority" type="number" step="1" required hint="the higher is placed first" ...${shared} />
      <${Input} name="retries" title="Retries" type="number" min="0" step="1" placeholder="without limit" hint="of failures that may pass" ...${shared} />
    </div>
    <details>
      <summary>What it waits for, and how long between retries</summary>
      <div class="fields gap">
        <${Input} name="depends_on" title="After jobs or datasets" placeholder="17, ethereum/mainnet@1.0.0" hint="which must have completed before" ...${shared} />
        <${Input} name="initial_delay_secs" title="First delay, in seconds" type="number" min="0" step="any" placeholder="1" ...${shared} />
        <${Input} name="multiplier" title="Times, with each retry" type="number" min="1" step="any" placeholder="2" ...${shared} />
        <${Input} name="max_delay_secs" title="Longest delay, in seconds" type="number" min="0" step="any" placeholder="300" ...${shared} />
        <${Input} name="jitter" title="Share that chance may take away" type="number" min="0" max="1" step="any" placeholder="0.25" ...${shared} />
      </div>
    </details>
  </fieldset>`;
}
