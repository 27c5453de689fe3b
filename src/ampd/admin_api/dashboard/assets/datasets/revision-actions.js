/** What can be done with a revision of a table. Each asks first, and names what goes. */
import { path, post, request, withQuery } from "../core/api.js";
import { Action } from "../components/action.js";
import { confirm } from "../components/dialog.js";
import { notice } from "../components/notices.js";
import { bytes, plural } from "../core/format.js";
import { html } from "../core/preact.js";
import { go, to } from "../core/router.js";
import { numberOf } from "../core/typed.js";

const IN_USE = "It is the active one: deactivate it, or activate another one, first.";

/** @param {{dataset: {namespace: string, name: string}, revision: object, reload: () => void}} props */
export function RevisionActions({ dataset, revision, reload }) {
  const ask = (question) => () =>
    question(dataset, revision).then(({ isDone, isGone }) => {
      if (!isDone) return;
      if (isGone) go(to(["datasets", dataset.namespace, dataset.name]));
      else reload();
    });
  const idle = revision.active ? IN_USE : null;
  return html`<div class="actions">
    ${revision.active
      ? html`<${Action} role="admin" onClick=${ask(deactivate)}>Deactivate …<//>`
      : html`<${Action} role="admin" onClick=${ask(activate)}>Activate …<//>`}
    <${Action} role="admin" onClick=${ask(restore)}>Restore …<//>
    <${Action} role="admin" onClick=${ask(prune)}>Prune …<//>
    <${Action} role="admin" whyNot=${idle} onClick=${ask(forget)}>Delete …<//>
    <${Action} role="admin" kind="danger" whyNot=${idle} onClick=${ask(truncate)}>Truncate …<//>
  </div>`;
}

function tableOf({ namespace, name }, { metadata }) {
  return { dataset: `${namespace}/${name}@${metadata.manifest_hash}`, table_name: metadata.table_name };
}

function Named({ dataset, revision }) {
  return html`<p>Revision <strong>${revision.id}</strong> of table <strong>${revision.metadata.table_name}</strong> of
    <strong><bdi> ${dataset.namespace}/${dataset.name}</bdi></strong>: ${plural(revision.files_count, "file")} with ${bytes(revision.total_size_bytes)}, in <code>${revision.path}</code>.</p>`;
}

async function asked(dataset, revision, question, told, isGone = false) {
  let answer = null;
  const text = html`<${Named} dataset=${dataset} revision=${revision} />${question.text}`;
  const isDone = await confirm({ ...question, text, act: async (values) => (answer = await question.act(values)) });
  if (isDone) notice(told(answer));
  return { isDone, isGone };
}

function activate(dataset, revision) {
  return asked(dataset, revision, {
    title: `Activate revision ${revision.id}`,
    text: html`<p>Readers of the table see this one from now on, in the place of the one that is active. What the other tables do not have in common with it, the next deploy extracts again.</p>`,
    action: "Activate",
    act: () => post(path("revisions", revision.id, "activate"), tableOf(dataset, revision)),
  }, () => `Revision ${revision.id} is active.`);
}

function deactivate(dataset, revision) {
  return asked(dataset, revision, {
    title: `Deactivate revision ${revision.id}`,
    text: html`<p>The table has no active revision then, and <strong>readers find nothing</strong>. The files stay. The next deploy begins a new revision from the first block.</p>`,
    action: "Deactivate",
    isDangerous: true,
    act: () => post("/revisions/deactivate", tableOf(dataset, revision)),
  }, () => `Revision ${revision.id} is not active any more.`);
}

function restore(dataset, revision) {
  return asked(dataset, revision, {
    title: `Restore revision ${revision.id}`,
    text: html`<p>Registers the files in its directory by their footers, those that are not known yet; files that overlap others are left out.</p>`,
    action: "Restore",
    act: () => post(path("revisions", revision.id, "restore")),
  }, ({ total_files: total, left_out: leftOut }) => `Revision ${revision.id} has ${plural(total, "file")}; ${plural(leftOut, "file")} left out.`);
}

function prune(dataset, revision) {
  const act = ({ before_block: before, gc_delay_secs: delay }) =>
    request("DELETE", withQuery(path("revisions", revision.id, "prune"), { before_block: numberOf(before), gc_delay_secs: numberOf(delay) }));
  return asked(dataset, revision, {
    title: `Prune revision ${revision.id}`,
    text: html`<p>Lets go the files that do <strong>not hang together</strong> with its first ones: such as lie behind a gap. They count no more from now on, and are deleted after the delay.</p>`,
    fields: html`<div class="fields">
      <label>Only files that end before block <input name="before_block" type="number" min="0" step="1" placeholder="all of them" /></label>
      <label>Delete their objects after, in seconds <input name="gc_delay_secs" type="number" min="0" step="1" placeholder="3600" /></label>
    </div>`,
    action: "Prune",
    isDangerous: true,
    act,
  }, ({ files_scheduled: files }) => `${plural(files, "file")} of revision ${revision.id} will be deleted.`);
}

function forget(dataset, revision) {
  return asked(dataset, revision, {
    title: `Delete revision ${revision.id}`,
    text: html`<p>Forgets the revision. Its files stay in the store: registered and restored again, they count. To delete the files too, truncate it.</p>`,
    action: "Delete",
    isDangerous: true,
    act: () => request("DELETE", path("revisions", revision.id)),
  }, () => `Revision ${revision.id} is deleted; its files stay.`, true);
}

function truncate(dataset, revision) {
  return asked(dataset, revision, {
    title: `Truncate revision ${revision.id}`,
    text: html`<p><strong>Deletes the revision and all its files. They cannot be brought back</strong> but by extracting the blocks again.</p>`,
    action: `Delete ${plural(revision.files_count, "file")}`,
    isDangerous: true,
    act: () => request("DELETE", path("revisions", revision.id, "truncate")),
  }, ({ files_deleted: files }) => `Revision ${revision.id} is deleted, with ${plural(files, "file")}.`, true);
}
