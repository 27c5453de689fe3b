/** The machines that do the work. */
import { get } from "../core/api.js";
import { Loaded } from "../components/failure.js";
import { WorkerLink } from "../components/references.js";
import { Table } from "../components/table.js";
import { Ago } from "../components/time.js";
import { DrainAction, Slots, useHeartbeats, WorkerState } from "./worker-parts.js";
import { number, plural } from "../core/format.js";
import { html } from "../core/preact.js";
import { touchesJobs, useResource } from "../core/resource.js";
import { go, to } from "../core/router.js";

export default function Workers({ query }) {
  const workers = useResource((signal) => get("/workers", {}, signal), [], (change) => change.workers || touchesJobs(change));
  useHeartbeats(workers.reload);
  return html`
    <h1>Workers</h1>
    <${Loaded} resource=${workers}>${(data) => html`<${Found} all=${data.workers} showsGone=${query.get("gone") === "yes"} reload=${workers.reload} />`}<//>`;
}

function Found({ all, showsGone, reload }) {
  const live = all.filter((worker) => worker.live);
  const slots = live.reduce((sum, worker) => sum + worker.slots, 0);
  const used = live.reduce((sum, worker) => sum + worker.running_jobs, 0);
  const shown = (showsGone || live.length === 0 ? all : live).slice().sort((one, other) => one.node_id.localeCompare(other.node_id));
  const toggle = (event) => go(to(["workers"], { gone: event.target.checked ? "yes" : null }), { replace: true });
  return html`
    <section class="card" aria-label="In all">
      <dl class="figures">
        <div><dt>Live workers</dt><dd>${number(live.length)}</dd></div>
        <div><dt>Draining</dt><dd>${number(live.filter((worker) => worker.draining).length)}</dd></div>
        <div><dt>Slots</dt><dd>${number(slots)}</dd></div>
        <div><dt>Running jobs</dt><dd>${number(used)}</dd></div>
      </dl>
    </section>
    <section class="card" aria-label="Workers">
      ${all.length > live.length && live.length > 0 && html`<div class="choices"><label><input type="checkbox" checked=${showsGone} onChange=${toggle} /> Show ${plural(all.length - live.length, "worker")} that ${all.length - live.length === 1 ? "is" : "are"} gone</label></div>`}
      <${List} workers=${shown} reload=${reload} />
    </section>`;
}

function List({ workers, reload }) {
  const columns = [
    { title: "Worker", heads: true, cell: ({ node_id: id }) => html`<${WorkerLink} id=${id} />` },
    { title: "State", cell: (worker) => html`<${WorkerState} worker=${worker} />` },
    { title: "Heartbeat", cell: ({ heartbeat_at: at }) => html`<${Ago} at=${at} />` },
    { title: "Running jobs of slots", cell: ({ running_jobs: used, slots }) => html`<${Slots} used=${used} slots=${slots} />` },
    { title: "Version", cell: ({ info: { version } }) => html`<span class="word">${version}</span>` },
    { title: "Since", cell: ({ registered_at: at }) => html`<${Ago} at=${at} />` },
    { title: "", cell: (worker) => html`<${DrainAction} worker=${worker} reload=${reload} />` },
  ];
  return html`<${Table} caption="Workers" columns=${columns} rows=${workers} keyOf=${({ node_id: id }) => id}
    empty=${html`No worker has ever been here: start one with <code>ampd worker --node-id NAME</code>. Jobs wait until then.`} />`;
}
