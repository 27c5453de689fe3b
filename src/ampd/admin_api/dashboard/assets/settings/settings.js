/** Who looks, who may look, and how it looks. */
import { get } from "../core/api.js";
import { THEMES, chooseTheme, chosenTheme } from "../core/appearance.js";
import { Action } from "../components/action.js";
import { Loaded } from "../components/failure.js";
import { State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Ago, Time } from "../components/time.js";
import { createToken, isOwn, revokeToken } from "./token-actions.js";
import { html, useState } from "../core/preact.js";
import { useResource } from "../core/resource.js";
import { useSession, whyNot } from "../core/session.js";

const STATUSES = { ACTIVE: ["good", "✓"], EXPIRED: ["calm", "◷"], REVOKED: ["bad", "✗"] };
const THEME_WORDS = { system: "As the system", light: "Light", dark: "Dark" };

export default function Settings() {
  const session = useSession();
  return html`<h1>Settings</h1>
    <div class="cards"><${Who} session=${session} /><${Appearance} /></div>
    <${Tokens} session=${session} />`;
}

function Who({ session }) {
  const { needs_token: needsToken, actor, role, namespaces, expires_at: end, version } = session;
  return html`<section class="card" aria-labelledby="who"><h2 id="who">You</h2><dl class="facts">
    <dt>Signed in as</dt><dd>${needsToken ? actor : "nobody in particular: there are no tokens, whoever reaches the controller may do everything"}</dd>
    <dt>Role</dt><dd>${role}</dd>
    <dt>Namespaces</dt><dd>${namespaces === null ? "all" : namespaces.join(", ")}</dd>
    ${end && html`<dt>Session ends</dt><dd><${Time} at=${end} /> <small>unless you use it before, or with its token</small></dd>`}
    <dt>Controller</dt><dd>${version}</dd>
  </dl></section>`;
}

function Appearance() {
  const [theme, set] = useState(chosenTheme());
  const choose = (name) => {
    chooseTheme(name);
    set(name);
  };
  return html`<section class="card"><fieldset class="plain"><legend>Appearance</legend>
    ${THEMES.map((name) => html`<label key=${name} class="check"><input type="radio" name="theme" value=${name} checked=${theme === name} onChange=${() => choose(name)} /> ${THEME_WORDS[name]}</label>`)}
    <small>Kept in this browser.</small></fieldset></section>`;
}

function Tokens({ session }) {
  const refusal = whyNoTokens(session);
  return html`<section class="card" aria-labelledby="tokens">
    ${refusal === null
      ? html`<${TokenList} session=${session} />`
      : html`<div class="head"><h2 id="tokens">Tokens</h2><div class="actions"><${Action} role="admin" whyNot=${refusal}>New token</${Action}></div></div><p class="empty">${refusal}</p>`}
  </section>`;
}

function TokenList({ session }) {
  const tokens = useResource((signal) => get("/tokens", undefined, signal), [session.actor]);
  const isFirst = tokens.data !== null && tokens.data.tokens.length === 0;
  const create = async () => {
    if (await createToken(isFirst)) tokens.reload();
  };
  const revoke = async (token) => {
    if (await revokeToken(token, session)) tokens.reload();
  };
  return html`
    <div class="head"><h2 id="tokens">Tokens</h2><div class="actions">
      <${Action} role="admin" kind="primary" whyNot=${tokens.data === null ? "The tokens are not loaded yet." : null} onClick=${create}>New token</${Action}></div></div>
    <${Loaded} resource=${tokens}>${({ tokens: rows }) => html`<${Table} caption="Tokens" columns=${columnsOf(session, revoke)} rows=${rows.slice().reverse()} keyOf=${({ id }) => id}
      empty="There are none, so everybody who reaches the controller may do everything. From the first one on all need one; it has to be an administrator's." />`}</${Loaded}>`;
}

function columnsOf(session, revoke) {
  return [
    { title: "Name", heads: true, cell: (token) => html`${token.name}${isOwn(token, session) && html` <small>yours</small>`}<br /><small><code>${token.prefix}…</code></small>` },
    { title: "Role", cell: ({ role }) => role },
    { title: "Namespaces", cell: ({ namespaces }) => html`<span class="address">${namespaces === null ? "all" : namespaces.join(", ")}</span>` },
    { title: "Status", cell: (token) => html`<${TokenState} token=${token} />` },
    { title: "Created", cell: ({ created_at: at, created_by: by }) => html`<${Time} at=${at} /><br /><small>by ${by}</small>` },
    { title: "Last used", cell: ({ last_used_at: at }) => (at === null ? "never" : html`<${Ago} at=${at} />`) },
    { title: "Expires", cell: ({ expires_at: at }) => (at === null ? "never" : html`<${Time} at=${at} />`) },
    { title: "Do", cell: (token) => token.status === "ACTIVE" && html`<${Action} role="admin" kind="danger" onClick=${() => revoke(token)}>Revoke<span class="visually-hidden"> ${token.name}</span></${Action}>` },
  ];
}

function TokenState({ token }) {
  const [tone, sign] = STATUSES[token.status] ?? ["calm", "•"];
  return html`<${State} state=${token.status} tone=${tone} sign=${sign} />${token.revoked_at && html`<br /><small><${Time} at=${token.revoked_at} /> by ${token.revoked_by}</small>`}`;
}

function whyNoTokens(session) {
  const byRole = whyNot("admin");
  if (byRole !== null) return byRole;
  return session.namespaces === null ? null : "This needs a token that sees all namespaces; yours sees some.";
}
