/** Registering a provider: by fields, or from a provider file. */
import { post } from "../core/api.js";
import { Action } from "../components/action.js";
import { confirm } from "../components/dialog.js";
import { Failure } from "../components/failure.js";
import { Input, Lines, Select } from "../components/fields.js";
import { notice } from "../components/notices.js";
import { html, useState } from "../core/preact.js";
import { textOf } from "../core/typed.js";
import { parseSettings } from "./toml.js";

const TOKEN_OF = { "evm-rpc": "auth_token", firehose: "token" };
const KINDS = Object.keys(TOKEN_OF).map((kind) => [kind, kind]);
const AT_FIRST = { name: "", kind: "evm-rpc", network: "", url: "", token: "", settings: "" };
const OWN = ["name", "kind", "network", "url", "auth_token", "token"];

/** @param {{known: string[], done: () => void}} props `known`: names of providers that there are */
export function ProviderForm({ known, done }) {
  const [fields, set] = useState(AT_FIRST);
  const [state, show] = useState({ isBusy: false, error: null });
  const change = (part) => set((before) => ({ ...before, ...part }));
  const send = async () => {
    show({ isBusy: true, error: null });
    try {
      await post("/providers", providerOf(fields));
      show({ isBusy: false, error: null });
    } catch (error) {
      show({ isBusy: false, error });
      return;
    }
    notice(`Provider ${fields.name} is registered.`);
    set(AT_FIRST);
    done();
  };
  const submit = async (event) => {
    event.preventDefault();
    if (state.isBusy) return;
    if (known.includes(fields.name)) await confirm(replacement(fields.name, send));
    else await send();
  };
  const readFile = (event) => event.target.files[0]?.text().then((text) => change(fieldsOf(text)), (error) => show({ isBusy: false, error }));
  return html`<form class="card" aria-labelledby="register-provider" onSubmit=${submit}>
    <h2 id="register-provider">Register a provider</h2>
    <div class="fields">
      <${Input} name="name" title="Name" required fields=${fields} change=${change} hint="a-z, 0-9 and _" />
      <${Select} name="kind" title="Kind" words=${KINDS} fields=${fields} change=${change} />
      <${Input} name="network" title="Network" required fields=${fields} change=${change} hint="as the manifests name it" />
      <${Input} name="url" title="URL" required fields=${fields} change=${change} hint=${html`<code>${"${VARIABLE}"}</code> is replaced on the workers`} />
      <${Input} name="token" title="Token" type="password" fields=${fields} change=${change} hint="kept by the controller, never shown again" />
    </div>
    <details>
      <summary>Further settings, or a provider file</summary>
      <${Lines} name="settings" title="Settings" hint="as in a provider file (TOML)" rows=${4} placeholder="confirmations = 12" fields=${fields} change=${change} />
      <label>Read a provider file <input type="file" accept=".toml" onChange=${readFile} /></label>
    </details>
    <${Failure} error=${state.error} title="It is not registered" />
    <div class="actions"><${Action} type="submit" role="admin" kind="primary" whyNot=${state.isBusy ? "It is being registered." : null}>Register<//></div>
  </form>`;
}

function replacement(name, act) {
  return {
    title: `Replace provider ${name}`,
    text: html`<p>There is a provider <strong>${name}</strong> already: all its settings and secrets go, and these take their place.</p>`,
    action: "Replace it",
    isDangerous: true,
    act,
  };
}

/** Return what the API wants. @throws {Error} naming the line of a setting that cannot be read */
function providerOf({ name, kind, network, url, token, settings }) {
  const further = parseSettings(settings);
  const secret = textOf(token);
  return { ...further, ...(secret === null ? {} : { [TOKEN_OF[kind]]: secret }), name: name.trim(), kind, network: network.trim(), url: url.trim() };
}

/** Return the fields that a provider file fills; what has no field of its own stays a setting. */
function fieldsOf(text) {
  let found;
  try {
    found = parseSettings(text);
  } catch {
    return { settings: text };
  }
  const { kind = "evm-rpc", network = "", url = "" } = found;
  const rest = text.split("\n").filter((line) => !OWN.includes(line.split("=")[0].trim())).join("\n").trim();
  return { kind, network, url, token: found[TOKEN_OF[kind]] ?? "", settings: rest };
}
