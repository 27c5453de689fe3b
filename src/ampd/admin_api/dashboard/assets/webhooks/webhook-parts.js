/** What the pages of webhooks share: how they look, and what can be done with one. */
import { path, post, request } from "../core/api.js";
import { plural } from "../core/format.js";
import { html } from "../core/preact.js";
import { confirm } from "../components/dialog.js";
import { notice } from "../components/notices.js";
import { showSecret } from "../components/secret.js";
import { State } from "../components/state.js";
import { Time } from "../components/time.js";

export const EVENTS = ["job.scheduled", "job.started", "job.completed", "job.failed", "job.cancelled", "job.paused", "job.resumed"];
const FILTERS = [
  ["kinds", "Kinds of jobs", "extraction, http"],
  ["products", "Products", "my-app"],
  ["envs", "Environments", "prd, stg"],
  ["dataset_namespaces", "Namespaces of datasets", "ethereum"],
];
const WHY_DISABLED = {
  OPERATOR: "by an operator",
  GONE: "its receiver answered 410: it wants no more",
  FAILING: "nothing but failures for five days",
};
const DELIVERY_STATES = { PENDING: ["busy", "◷"], DELIVERED: ["good", "✓"], FAILED: ["bad", "✗"] };
const SHOWN_LETTERS = 6;

/** Whether it is sent to, and why not. */
export function WebhookState({ webhook }) {
  if (!webhook.enabled) {
    const why = WHY_DISABLED[webhook.disabled_reason] ?? webhook.disabled_reason;
    return html`<${State} state="disabled" tone="calm" sign="‖" /> <small>${why}${webhook.disabled_at && html`, <${Time} at=${webhook.disabled_at_ms} />`}</small>`;
  }
  if (webhook.failing_since) {
    return html`<${State} state="failing" tone="bad" sign="✗" /> <small>since <${Time} at=${webhook.failing_since_ms} /></small>`;
  }
  return html`<${State} state="enabled" tone="good" sign="✓" />`;
}

/** @param {{delivery: {status: string}}} props */
export function DeliveryState({ delivery }) {
  const [tone, sign] = DELIVERY_STATES[delivery.status] ?? ["calm", "•"];
  return html`<${State} state=${delivery.status} tone=${tone} sign=${sign} />`;
}

/** What the receiver answered, or what went wrong before it could. */
export function Answer({ delivery }) {
  if (delivery.response_status !== null) return html`${delivery.response_status}${delivery.duration_ms === null ? "" : html` <small>in ${delivery.duration_ms} ms</small>`}`;
  return delivery.error ? html`<code>${delivery.error.error_code}</code>` : "–";
}

/**
 * A URL with what may be a secret in it cut short: values of its query, and long parts of its path, by which many
 * receivers know who calls.
 *
 * @param {string} url
 */
export function shortUrl(url) {
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    return url;
  }
  const parts = parsed.pathname.split("/").map((part) => (part.length > 20 ? `${part.slice(0, SHOWN_LETTERS)}…` : part));
  return `${parsed.origin}${parts.join("/")}${parsed.search ? "?…" : ""}`;
}

/** Which jobs it is told of, in words. */
export function Filters({ filters }) {
  const set = FILTERS.filter(([name]) => filters[name]);
  if (set.length === 0) return "all jobs";
  return set.map(([name, title], number) => html`${number > 0 && html`<br />`}<small>${title}:</small> ${filters[name].join(", ")}`);
}

/** Ask for the settings of a new webhook, make it and show its secret. */
export async function createWebhook() {
  let made = null;
  const isDone = await confirm({
    title: "New webhook",
    text: html`<p>The controller posts a signed message to this address whenever something happens to a job.</p>`,
    fields: html`<${Settings} /><label>Secret <input name="secret" autocomplete="off" spellcheck=${false} /><small>What signs the messages; empty: one is made up.</small></label>`,
    action: "Create webhook",
    act: async (values) => {
      made = await post("/webhooks", { ...settingsOf(values), ...(values.secret ? { secret: values.secret } : {}) });
    },
  });
  if (isDone) await tellSecret(made, `Webhook ${made.id} was created`);
  return isDone;
}

/** Ask for other settings of a webhook. */
export async function editWebhook(webhook) {
  const isDone = await confirm({
    title: `Edit webhook ${webhook.id}`,
    fields: html`<${Settings} webhook=${webhook} />`,
    action: "Save",
    act: (values) => change(webhook, settingsOf(values)),
  });
  if (isDone) notice(`Webhook ${webhook.id} was changed`);
  return isDone;
}

/** Disable a webhook after a question, or enable it at once. */
export async function switchWebhook(webhook) {
  const isDone = await confirm(webhook.enabled
    ? {
        title: `Disable webhook ${webhook.id}?`,
        text: html`<p>${shortUrl(webhook.url)} is told nothing of what happens while it is disabled, also later. What waits already (${plural(webhook.pending, "message")}) is sent when it is enabled again.</p>`,
        action: "Disable",
        act: () => change(webhook, { enabled: false }),
      }
    : {
        title: `Enable webhook ${webhook.id}?`,
        text: html`<p>${shortUrl(webhook.url)} is told of what happens from now on, and what waited (${plural(webhook.pending, "message")}) is sent.</p>`,
        action: "Enable",
        act: () => change(webhook, { enabled: true }),
      });
  if (isDone) notice(`Webhook ${webhook.id} was ${webhook.enabled ? "disabled" : "enabled"}`);
  return isDone;
}

/** Give a webhook a new secret, and show it. */
export async function rotateSecret(webhook) {
  let rotated = null;
  const isDone = await confirm({
    title: `Give webhook ${webhook.id} a new secret?`,
    text: html`<p>Until the end of the overlap messages carry two signatures, one by the old secret, so that the receiver can change over.</p>`,
    fields: html`<label>Overlap <select name="overlap"><option value="0">none: the old secret is known to others</option><option value="3600">1 hour</option>
      <option value="86400" selected>1 day</option><option value="604800">7 days</option></select></label>`,
    action: "Make a new secret",
    isDangerous: true,
    act: async ({ overlap }) => {
      rotated = await post(path("webhooks", webhook.id, "rotate"), { overlap_secs: Number(overlap) });
    },
  });
  if (isDone) await tellSecret(rotated, `Webhook ${webhook.id} has a new secret`);
  return isDone;
}

/** Send the event webhook.test. */
export async function sendTest(webhook) {
  const isDone = await confirm({
    title: `Send a test to webhook ${webhook.id}?`,
    text: html`<p>${shortUrl(webhook.url)} gets a message with the event <code>webhook.test</code>. Its log shows what was answered.</p>`,
    action: "Send test",
    act: () => post(path("webhooks", webhook.id, "test")),
  });
  if (isDone) notice(`A test is on its way to webhook ${webhook.id}`);
  return isDone;
}

/** Remove a webhook with its log. */
export async function removeWebhook(webhook) {
  const isDone = await confirm({
    title: `Remove webhook ${webhook.id}?`,
    text: html`<p>${shortUrl(webhook.url)} is told nothing more. What waits for it (${plural(webhook.pending, "message")}), its log and its secret go with it.</p>`,
    action: "Remove",
    isDangerous: true,
    act: () => request("DELETE", path("webhooks", webhook.id)),
  });
  if (isDone) notice(`Webhook ${webhook.id} was removed`);
  return isDone;
}

function change(webhook, settings) {
  return request("PATCH", path("webhooks", webhook.id), { body: settings });
}

function tellSecret(webhook, title) {
  const text = html`The receiver at ${shortUrl(webhook.url)} verifies messages with this secret.`;
  return showSecret({ title, text, label: "Secret", secret: webhook.secret });
}

function Settings({ webhook }) {
  const { url = "", description = "", events = EVENTS, filters = {} } = webhook ?? {};
  return html`
    <label>URL <input name="url" type="url" required value=${url} placeholder="https://example.com/hooks" autocomplete="off" spellcheck=${false} /></label>
    <fieldset class="choices"><legend>Events</legend>
      ${EVENTS.map((event) => html`<label key=${event}><input type="checkbox" name=${`event:${event}`} defaultChecked=${events.includes(event)} /> ${event}</label>`)}
    </fieldset>
    <fieldset><legend>Only jobs with one of these (separated by commas; empty: all)</legend>
      <div class="pairs">${FILTERS.map(([name, title, example]) => html`<label key=${name}>${title}
        <input name=${`filter:${name}`} value=${(filters[name] ?? []).join(", ")} placeholder=${example} autocomplete="off" spellcheck=${false} /></label>`)}</div>
    </fieldset>
    <label>Description <input name="description" value=${description} maxlength="1000" autocomplete="off" /></label>`;
}

function settingsOf(values) {
  const filters = Object.fromEntries(FILTERS.map(([name]) => [name, wordsOf(values[`filter:${name}`])]));
  return {
    url: values.url.trim(),
    events: EVENTS.filter((event) => `event:${event}` in values),
    filters,
    description: values.description.trim(),
  };
}

function wordsOf(text) {
  const words = text.split(",").map((word) => word.trim()).filter(Boolean);
  return words.length > 0 ? words : null;
}
