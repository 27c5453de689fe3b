/** What can be done with a dataset: deploy, verify, compact, restore, remove. */
import { get, path, post, request } from "../core/api.js";
import { Action } from "../components/action.js";
import { confirm } from "../components/dialog.js";
import { notice } from "../components/notices.js";
import { plural } from "../core/format.js";
import { html, useEffect, useState } from "../core/preact.js";
import { go, to } from "../core/router.js";
import { numberOf } from "../core/typed.js";

const LOOK_MILLISECONDS = 1000;

/** @param {{dataset: {namespace: string, name: string}, revision: string}} props */
export function DatasetActions({ dataset, revision }) {
  const { namespace, name } = dataset;
  const deploy = () => go(to(["datasets", namespace, name, "deploy"], { version: revision }));
  return html`<div class="actions">
    <${Action} kind="primary" onClick=${deploy}>Deploy …<//>
    <${Action} onClick=${() => verify(dataset, revision)}>Verify …<//>
    <${Action} onClick=${() => compact(dataset, revision)}>Compact …<//>
    <${Action} role="admin" onClick=${() => restore(dataset, revision)}>Restore …<//>
    <${Action} role="admin" kind="danger" onClick=${() => remove(dataset)}>Remove …<//>
  </div>`;
}

function whole({ namespace, name }, revision) {
  return `${namespace}/${name}@${revision}`;
}

async function saying(question, told) {
  let answer;
  const isDone = await confirm({ ...question, act: async (values) => (answer = await question.act(values)) });
  if (isDone) notice(told(answer));
  return isDone;
}

function jobNotice(what) {
  return ({ job_id: jobId, id }) => html`${what} is job <a href=${to(["jobs", jobId ?? id])}>#${jobId ?? id}</a>.`;
}

function verify(dataset, revision) {
  const reference = whole(dataset, revision);
  const act = ({ start_block: start, end_block: end }) =>
    post(path("datasets", dataset.namespace, dataset.name, "versions", revision, "verify"), { start_block: numberOf(start), end_block: numberOf(end) });
  saying({
    title: `Verify ${reference}`,
    text: html`<p>A job recomputes from the files what the blocks commit to: hashes, transactions, receipts, withdrawals. It changes nothing. What it finds is in its progress.</p>`,
    fields: html`<div class="fields">
      <label>First block <input name="start_block" type="number" min="0" step="1" placeholder="the dataset's first" /></label>
      <label>Last block <input name="end_block" type="number" min="0" step="1" placeholder="the last one there is" /></label>
    </div>`,
    action: "Verify",
    act,
  }, jobNotice("The verification"));
}

function compact(dataset, revision) {
  const reference = whole(dataset, revision);
  const act = ({ cooldown_secs: seconds }) => post("/jobs", { kind: "compaction", input: { dataset: reference, cooldown_secs: numberOf(seconds) ?? 0 } });
  saying({
    title: `Compact ${reference}`,
    text: html`<p>A job makes few large files of many small ones. The rows stay the same; the small files are deleted a while later, when nobody reads them any more.</p>`,
    fields: html`<label>Leave files alone that are younger than, in seconds <input name="cooldown_secs" type="number" min="0" step="any" placeholder="0" /></label>`,
    action: "Compact",
    act,
  }, jobNotice("The compaction"));
}

function restore(dataset, revision) {
  const reference = whole(dataset, revision);
  const address = path("datasets", dataset.namespace, dataset.name, "versions", revision, "restore");
  saying({
    title: `Restore ${reference}`,
    text: html`<p>Reads the footers of the files in the store, and registers what this version has there: for a metadata database that was lost.</p>
      <p>Of each table the newest directory with files becomes the active one, <strong>in the place of the one that is active now</strong>; files that are not needed are deleted after a week.</p>
      <${RestoreProgress} address=${address} />`,
    action: "Restore",
    isDangerous: true,
    act: () => {
      restoring.begin(address);
      return post(address).finally(() => restoring.end());
    },
  }, ({ tables }) => `${reference} is restored: ${tables.map((one) => `${one.table_name} with ${plural(one.files_count, "file")}`).join(", ")}.`);
}

/** Looks how far the restore is that is under way from this page. */
const restoring = {
  listener: null,
  timer: null,
  begin(address) {
    this.timer = setInterval(() => get(address).then((progress) => this.listener?.(progress), () => {}), LOOK_MILLISECONDS);
  },
  end() {
    clearInterval(this.timer);
    this.listener?.(null);
  },
};

function RestoreProgress() {
  const [progress, show] = useState(null);
  useEffect(() => {
    restoring.listener = show;
    return () => {
      restoring.listener = null;
    };
  }, []);
  if (progress === null) return null;
  const { phase, files_found: found, files_read: read, files_registered: registered } = progress;
  return html`<p role="status"><strong>${phase.toLowerCase()}</strong>: ${plural(found, "file")} found, ${read} read, ${registered} registered</p>`;
}

async function remove(dataset) {
  const name = `${dataset.namespace}/${dataset.name}`;
  const versions = dataset.versions.map(({ version }) => version);
  const isDone = await saying({
    title: `Remove ${name}`,
    text: html`<p>Forgets the dataset <strong><bdi>${name}</bdi></strong> with ${versions.length === 0 ? "its tag dev" : `its ${plural(versions.length, "version")} ${versions.join(", ")}`}.
      Its manifests and files stay: registered again, it goes on with them. It must have no active job.</p>`,
    action: `Remove ${name}`,
    isDangerous: true,
    act: () => request("DELETE", path("datasets", dataset.namespace, dataset.name)),
  }, () => `${name} is removed; its files stay.`);
  if (isDone) go(to(["datasets"]));
}
