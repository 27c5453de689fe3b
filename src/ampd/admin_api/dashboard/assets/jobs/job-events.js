/** The history of a job, the newest event first; what an event says more is shown on demand. */
import { html } from "../core/preact.js";
import { Loaded } from "../components/failure.js";
import { Json } from "../components/json.js";
import { State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Time } from "../components/time.js";

const COLUMNS = [
  { title: "Event", heads: true, cell: (event) => event.id },
  { title: "When", cell: (event) => html`<${Time} at=${event.created_at_ms} />` },
  { title: "State", cell: (event) => html`<${State} state=${event.event_type} />` },
  { title: "Before", cell: (event) => (event.from_state === null ? "–" : event.from_state.toLowerCase().replaceAll("_", " ")) },
  { title: "By", cell: (event) => html`<bdi>${event.actor}</bdi>` },
  { title: "Execution", kind: "number", cell: (event) => event.execution_number },
  { title: "Lease", kind: "number", cell: (event) => event.lease_epoch },
  { title: "Payload", cell: (event) => event.detail && html`<details><summary>Show</summary><${Json} value=${event.detail} label=${`Payload of event ${event.id}`} /></details>` },
];

/** @param {{events: ReturnType<typeof import("../core/events.js").useEvents>}} props */
export function JobEvents({ events }) {
  return html`<section class="card"><h2>Events</h2>
    <${Loaded} resource=${events}>${({ list, hasOlder }) => html`
      <${Table} caption="Events of the job, the newest first" columns=${COLUMNS} rows=${list} keyOf=${(event) => event.id} />
      ${hasOlder && html`<div class="pager"><button type="button" disabled=${events.isLoading} onClick=${events.older}>Show older events</button></div>`}`}<//>
  </section>`;
}
