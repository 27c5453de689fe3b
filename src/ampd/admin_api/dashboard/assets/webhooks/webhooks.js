/** Endpoints that are told of what happens to jobs. */
import { get, path } from "../core/api.js";
import { Action } from "../components/action.js";
import { Loaded } from "../components/failure.js";
import { Table } from "../components/table.js";
import { Ago } from "../components/time.js";
import { DeliveryState, Filters, EVENTS, WebhookState, createWebhook, shortUrl } from "./webhook-parts.js";
import { number } from "../core/format.js";
import { html } from "../core/preact.js";
import { useResource } from "../core/resource.js";
import { to } from "../core/router.js";

/** Each row asks for its newest delivery; of more rows only with the list, or they would ask for much each second. */
const MOST_LIVE_ROWS = 10;

export default function Webhooks() {
  const webhooks = useResource((signal) => get("/webhooks", undefined, signal), [], (change) => change.webhooks);
  const create = async () => {
    if (await createWebhook()) webhooks.reload();
  };
  return html`
    <div class="head"><h1>Webhooks</h1>
      <div class="actions"><${Action} role="admin" kind="primary" onClick=${create}>New webhook</${Action}></div></div>
    <section class="card" aria-label="Endpoints">
      <${Loaded} resource=${webhooks}>${(data) => html`<${List} webhooks=${data.webhooks} />`}</${Loaded}>
    </section>`;
}

function List({ webhooks }) {
  const isLive = webhooks.length <= MOST_LIVE_ROWS;
  const columns = [
    { title: "Id", heads: true, cell: ({ id }) => html`<a href=${to(["webhooks", id])}>${id}</a>` },
    { title: "URL", cell: ({ url, description }) => html`<span class="address wide">${shortUrl(url)}</span>${description && html`<br /><small class="address wide">${description}</small>`}` },
    { title: "State", cell: (webhook) => html`<${WebhookState} webhook=${webhook} />` },
    { title: "Newest message", cell: (webhook) => html`<${Newest} webhook=${webhook} isLive=${isLive} />` },
    { title: "Waiting", kind: "number", cell: ({ pending }) => number(pending) },
    { title: "Events", cell: ({ events }) => html`<${Events} events=${events} />` },
    { title: "Jobs", cell: ({ filters }) => html`<${Filters} filters=${filters} />` },
  ];
  const empty = html`Nobody is told of what happens to jobs. A webhook is an address to which the controller posts signed messages: when a job has failed, for example.`;
  return html`<${Table} caption="Endpoints" columns=${columns} rows=${webhooks} keyOf=${({ id }) => id} empty=${empty} />`;
}

function Events({ events }) {
  if (events.length === EVENTS.length) return "all";
  return events.map((event) => event.replace("job.", "")).join(", ");
}

function Newest({ webhook, isLive }) {
  const needs = [webhook.id, webhook.pending, webhook.failing_since_ms];
  const newest = useResource((signal) => get(path("webhooks", webhook.id, "deliveries"), { limit: 1 }, signal), needs, (change) => isLive && change.webhooks);
  if (newest.data === null) return newest.error ? "not known" : "…";
  const [delivery] = newest.data.deliveries;
  if (delivery === undefined) return "none yet";
  return html`<${DeliveryState} delivery=${delivery} /> <small>${delivery.event}, <${Ago} at=${delivery.last_attempt_at_ms ?? delivery.created_at_ms} /></small>`;
}
