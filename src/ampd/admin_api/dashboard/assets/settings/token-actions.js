/** What can be done with tokens. */
import { path, post, request } from "../core/api.js";
import { html } from "../core/preact.js";
import { signIn } from "../core/session.js";
import { confirm } from "../components/dialog.js";
import { notice } from "../components/notices.js";
import { showSecret } from "../components/secret.js";

const DAY = 86_400;
const ACTOR_PREFIX = "admin-api:";

/** Tell whether a token is the one that the viewer has signed in with. */
export function isOwn(token, session) {
  return session.needs_token && token.status === "ACTIVE" && session.actor === `${ACTOR_PREFIX}${token.name}`;
}

/**
 * Ask for a new token, make it and show it.
 *
 * @param {boolean} isFirst nobody needs a token so far: who makes the first one is signed in with it
 * @returns {Promise<boolean>} whether there is a new one
 */
export async function createToken(isFirst) {
  let made = null;
  const isDone = await confirm({
    title: isFirst ? "Make the first token?" : "New token",
    text: isFirst && html`<p class="warning-text"><span aria-hidden="true">⚠</span> From now on everybody needs a token, programs too. The first one is an administrator's; you are signed in with it at once.</p>`,
    fields: html`<${Fields} isFirst=${isFirst} />`,
    action: "Create token",
    isDangerous: isFirst,
    act: async (values) => {
      made = await post("/tokens", tokenOf(values, isFirst));
    },
  });
  if (!isDone) return false;
  if (isFirst) await signIn(made.token);
  const text = html`${made.name} may act as ${made.role}. Whoever has this token may do so.`;
  await showSecret({ title: `Token ${made.name} was created`, text, label: "Token", secret: made.token });
  return true;
}

/** End a token after a question. */
export async function revokeToken(token, session) {
  const own = isOwn(token, session);
  const isDone = await confirm({
    title: `Revoke ${token.name}?`,
    text: html`<p>The token ${token.name} (${token.role}, <code>${token.prefix}…</code>) opens nothing any more, at once and for ever; sessions that were begun with it end.</p>
      ${own && html`<p class="warning-text"><span aria-hidden="true">⚠</span> It is the one that you are signed in with: you are signed out. Have another one at hand.</p>`}`,
    action: "Revoke",
    isDangerous: true,
    act: () => request("DELETE", path("tokens", token.id)),
  });
  if (isDone) notice(`${token.name} was revoked`);
  return isDone;
}

function Fields({ isFirst }) {
  return html`
    <label>Name <input name="name" pattern="[A-Za-z0-9][A-Za-z0-9_.\\-]*" maxlength="64" autocomplete="off" spellcheck=${false} placeholder="ci" />
      <small>Stands in the history of jobs. Letters, digits, “_”, “.” and “-”; empty: one is made up.</small></label>
    ${!isFirst && html`<label>Role <select name="role">
      <option value="viewer">viewer: reads</option><option value="operator">operator: also runs jobs</option>
      <option value="admin">admin: also changes datasets, providers, webhooks and tokens</option></select></label>
    <label>Namespaces <input name="namespaces" autocomplete="off" spellcheck=${false} placeholder="ethereum, polygon" />
      <small>Of the datasets that it sees, separated by commas; nothing else is there for it. Empty: all.</small></label>`}
    <label>Expires <select name="days"><option value="">never</option><option value="1">in 1 day</option><option value="7">in 7 days</option>
      <option value="30">in 30 days</option><option value="90">in 90 days</option><option value="365">in 1 year</option></select></label>`;
}

/** @param {Record<string, string>} values @param {boolean} isFirst */
function tokenOf({ name, role, namespaces = "", days }, isFirst) {
  const seen = namespaces.split(",").map((namespace) => namespace.trim()).filter(Boolean);
  return {
    role: isFirst ? "admin" : role,
    name: name.trim() || null,
    namespaces: seen.length > 0 ? seen : null,
    expires_in_secs: days === "" ? null : Number(days) * DAY,
  };
}
