/** One endpoint: its settings, and the log of what was sent. */
import { get, path, post } from "../core/api.js";
import { Action } from "../components/action.js";
import { confirm } from "../components/dialog.js";
import { Failure, Loaded } from "../components/failure.js";
import { notice } from "../components/notices.js";
import { Pager } from "../components/table.js";
import { Ago, Time } from "../components/time.js";
import {
  Answer,
  DeliveryState,
  Filters,
  WebhookState,
  editWebhook,
  removeWebhook,
  rotateSecret,
  sendTest,
  shortUrl,
  switchWebhook,
} from "./webhook-parts.js";
import { number, plural } from "../core/format.js";
import { html, useState } from "../core/preact.js";
import { useResource } from "../core/resource.js";
import { go, to } from "../core/router.js";

const PAGE = 25;
const MOST_COUNTED = 1000;
const STATES = ["PENDING", "DELIVERED", "FAILED"];
const touches = (change) => change.webhooks;

export default function Webhook({ rest: [id], query }) {
  const webhook = useResource((signal) => get(path("webhooks", id), undefined, signal), [id], touches);
  return html`<p><a href=${to(["webhooks"])}>‹ All webhooks</a></p>
    <${Loaded} resource=${webhook}>${(data) => html`<${Found} webhook=${data} reload=${webhook.reload} query=${query} />`}</${Loaded}>`;
}

function Found({ webhook, reload, query }) {
  const log = useLog(webhook.id, query);
  const after = (act) => async () => {
    if (await act(webhook)) {
      reload();
      log.reload();
    }
  };
  const remove = async () => {
    if (await removeWebhook(webhook)) go(to(["webhooks"]), { replace: true });
  };
  const whyNoSending = webhook.enabled ? null : "The webhook is disabled: enable it first.";
  return html`
    <div class="head"><h1>Webhook ${webhook.id}</h1><div class="actions">
      <${Action} whyNot=${whyNoSending} onClick=${after(sendTest)}>Send test</${Action}>
      <${Action} role="admin" onClick=${after(editWebhook)}>Edit</${Action}>
      <${Action} role="admin" onClick=${after(switchWebhook)}>${webhook.enabled ? "Disable" : "Enable"}</${Action}>
      <${Action} role="admin" onClick=${after(rotateSecret)}>New secret</${Action}>
      <${Action} role="admin" kind="danger" onClick=${remove}>Remove</${Action}>
    </div></div>
    <${Facts} webhook=${webhook} />
    <section class="card" aria-labelledby="log">
      <div class="head"><h2 id="log">Messages</h2><div class="actions">
        <${Action} whyNot=${whyNoSending} onClick=${after(replaySince)}>Send failed ones again …</${Action}></div></div>
      <${Log} webhook=${webhook} log=${log} query=${query} whyNoSending=${whyNoSending} />
    </section>`;
}

function Facts({ webhook }) {
  const [isWhole, showWhole] = useState(false);
  const short = shortUrl(webhook.url);
  const isCut = short !== webhook.url;
  return html`<section class="card" aria-label="Settings"><dl class="facts">
    <dt>State</dt><dd><${WebhookState} webhook=${webhook} /></dd>
    <dt>URL</dt><dd>${isWhole ? webhook.url : short} ${isCut && html`<button type="button" class="plain" aria-pressed=${isWhole} onClick=${() => showWhole(!isWhole)}>${isWhole ? "Cut it short" : "Show all of it"}</button>`}</dd>
    ${webhook.description && html`<dt>Description</dt><dd>${webhook.description}</dd>`}
    <dt>Events</dt><dd>${webhook.events.join(", ")}</dd>
    <dt>Jobs</dt><dd><${Filters} filters=${webhook.filters} /></dd>
    <dt>Waiting</dt><dd>${plural(webhook.pending, "message")}</dd>
    ${webhook.rotation_ends_at && html`<dt>Old secret</dt><dd>signs, too, until <${Time} at=${webhook.rotation_ends_at_ms} /></dd>`}
    <dt>Created</dt><dd><${Time} at=${webhook.created_at_ms} /></dd>
    <dt>Changed</dt><dd><${Time} at=${webhook.updated_at_ms} /></dd>
  </dl></section>`;
}

function useLog(id, query) {
  const status = query.get("status");
  const after = query.get("after");
  const load = (signal) => get(path("webhooks", id, "deliveries"), { limit: PAGE, status, after }, signal);
  return useResource(load, [id, status, after], touches);
}

function Log({ webhook, log, query, whyNoSending }) {
  const status = query.get("status") ?? "";
  const filter = (event) => go(to(["webhooks", webhook.id], { status: event.target.value }));
  return html`
    <div class="filters"><label>Status <select value=${status} onChange=${filter}>
      <option value="">all</option>
      ${STATES.map((state) => html`<option key=${state} value=${state} selected=${state === status}>${state.toLowerCase()}</option>`)}
    </select></label></div>
    <${Loaded} resource=${log}>${(data) => html`
      <${Deliveries} webhook=${webhook} deliveries=${data.deliveries} reload=${log.reload} whyNoSending=${whyNoSending} isFiltered=${status !== ""} />
      <${Pager} hasPrevious=${query.has("after")} hasNext=${data.next_cursor !== undefined}
        first=${() => go(to(["webhooks", webhook.id], { status }))}
        next=${() => go(to(["webhooks", webhook.id], { status, after: data.next_cursor }))} />`}</${Loaded}>`;
}

function Deliveries({ webhook, deliveries, reload, whyNoSending, isFiltered }) {
  const [open, setOpen] = useState(null);
  if (deliveries.length === 0) {
    return html`<p class="empty">${isFiltered ? "No message has this status." : "Nothing was sent yet. “Send test” shows whether the receiver gets what it should."}</p>`;
  }
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Messages"><table>
    <caption class="visually-hidden">Messages, the newest first</caption>
    <thead><tr>${["Message", "Event", "Job", "Status"].map((title) => html`<th scope="col" key=${title}>${title}</th>`)}
      <th scope="col" class="number">Tries</th>${["Answer", "Last try", "Next try", "Created", "Do"].map((title) => html`<th scope="col" key=${title}>${title}</th>`)}</tr></thead>
    <tbody>${deliveries.map((delivery) => html`<${Delivery} key=${delivery.id} webhook=${webhook} delivery=${delivery} reload=${reload} whyNoSending=${whyNoSending}
      isOpen=${open === delivery.id} toggle=${() => setOpen(open === delivery.id ? null : delivery.id)} />`)}</tbody>
  </table></div>`;
}

function Delivery({ webhook, delivery, reload, whyNoSending, isOpen, toggle }) {
  const again = async () => {
    if (await replayOne(webhook, delivery)) reload();
  };
  return html`
    <tr>
      <th scope="row"><button type="button" class="plain" aria-expanded=${isOpen} aria-label=${`Message ${delivery.id}: details`} onClick=${toggle}>${delivery.id}</button></th>
      <td>${delivery.event}</td>
      <td>${delivery.job_id === null ? "–" : html`<a href=${to(["jobs", delivery.job_id])}>${delivery.job_id}</a>`}</td>
      <td><${DeliveryState} delivery=${delivery} /></td>
      <td class="number">${number(delivery.attempts)}</td>
      <td><${Answer} delivery=${delivery} /></td>
      <td><${Ago} at=${delivery.last_attempt_at_ms} /></td>
      <td><${Ago} at=${delivery.next_attempt_at_ms} /></td>
      <td><${Time} at=${delivery.created_at_ms} /></td>
      <td><${Action} whyNot=${whyNoSending} onClick=${again}>Send again<span class="visually-hidden"> message ${delivery.id}</span></${Action}></td>
    </tr>
    ${isOpen && html`<tr><td colspan="10"><${Details} delivery=${delivery} /></td></tr>`}`;
}

function Details({ delivery }) {
  return html`<div class="details">
    ${delivery.error && html`<${Failure} error=${{ code: delivery.error.error_code, message: delivery.error.error_message }} title="The last try failed" />`}
    <h3>What is sent <small><code>webhook-id: ${delivery.message_id}</code></small></h3>
    <pre>${JSON.stringify(delivery.payload, null, 2)}</pre>
    ${delivery.response_head && html`<h3>How the answer begins</h3><pre>${delivery.response_head}</pre>`}
  </div>`;
}

async function replayOne(webhook, delivery) {
  const isDone = await confirm({
    title: `Send message ${delivery.id} again?`,
    text: html`<p>${shortUrl(webhook.url)} gets the event <code>${delivery.event}</code> once more, under the same <code>webhook-id</code>, whatever became of it before.</p>`,
    action: "Send again",
    act: () => post(path("webhooks", webhook.id, "deliveries", delivery.id, "replay")),
  });
  if (isDone) notice(`Message ${delivery.id} is sent again`);
  return isDone;
}

async function replaySince(webhook) {
  let replayed = 0;
  const isDone = await confirm({
    title: "Send again all that failed?",
    text: html`<p>${shortUrl(webhook.url)} gets all messages that were given up, of what happened since this moment, under the same ids.</p>`,
    fields: html`<label>Since (your time) <input name="since" type="datetime-local" step="1" required value=${localInput(Date.now() - 86_400_000)} /></label>`,
    action: "Send again",
    preview: async ({ since }) => html`<p>${await countFailed(webhook, since)} would be sent again.</p>`,
    act: async ({ since }) => {
      ({ replayed } = await post(path("webhooks", webhook.id, "replay"), { since: new Date(since).toISOString() }));
    },
  });
  if (isDone) notice(`${plural(replayed, "message")} ${replayed === 1 ? "is" : "are"} sent again`);
  return isDone;
}

/** The API has no dry run for this; its log knows the same. */
async function countFailed(webhook, since) {
  const { deliveries, next_cursor: more } = await get(path("webhooks", webhook.id, "deliveries"), { limit: MOST_COUNTED, status: "FAILED" });
  const from = new Date(since).getTime();
  const count = deliveries.filter(({ payload }) => payload.timestamp >= from).length;
  return more === undefined ? plural(count, "message") : `${plural(count, "message")} or more`;
}

/** A moment as an input of type datetime-local takes it: in the viewer's zone. */
function localInput(milliseconds) {
  const at = new Date(milliseconds);
  return new Date(milliseconds - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
