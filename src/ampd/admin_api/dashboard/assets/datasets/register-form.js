/** Registering a dataset: a manifest under a name. */
import { post } from "../core/api.js";
import { Action } from "../components/action.js";
import { Failure } from "../components/failure.js";
import { Check, Input, Lines, Select } from "../components/fields.js";
import { notice } from "../components/notices.js";
import { Crumbs } from "../components/references.js";
import { html, useState } from "../core/preact.js";
import { go, to } from "../core/router.js";
import { numberOf, textOf } from "../core/typed.js";

const KINDS = [["evm-rpc", "evm-rpc"], ["firehose", "firehose"]];
const AT_FIRST = { namespace: "", name: "", version: "1.0.0", kind: "evm-rpc", network: "", start_block: "0", is_final: false, manifest: "" };

export default function Register() {
  const [fields, set] = useState(AT_FIRST);
  const [state, show] = useState({ isBusy: false, error: null, madeOf: null });
  const change = (part) => set((before) => ({ ...before, ...part }));
  const run = async (work) => {
    if (state.isBusy) return;
    show({ ...state, isBusy: true, error: null });
    try {
      await work();
      show((before) => ({ ...before, isBusy: false }));
    } catch (error) {
      show((before) => ({ ...before, isBusy: false, error }));
    }
  };
  const generate = () => run(async () => change({ manifest: JSON.stringify(await post("/manifests/generate", wantedOf(fields)), null, 2) }));
  const register = (event) => {
    event.preventDefault();
    run(async () => {
      const { namespace, name } = await post("/datasets", await datasetOf(fields));
      notice(`${namespace}/${name} is registered.`);
      go(to(["datasets", namespace, name]));
    });
  };
  const readFile = (event) => event.target.files[0]?.text().then((manifest) => change({ manifest }), (error) => show({ ...state, error }));
  return html`
    <${Crumbs} way=${[["Datasets", to(["datasets"])]]} />
    <h1>Register a dataset</h1>
    <form class="card" aria-label="Register a dataset" onSubmit=${register}>
      <${NameFields} fields=${fields} change=${change} />
      <${ManifestFields} fields=${fields} change=${change} generate=${generate} readFile=${readFile} />
      <${Failure} error=${state.error} title="It is not registered" />
      <div class="actions">
        <${Action} type="submit" role="admin" kind="primary" whyNot=${state.isBusy ? "It is being registered." : null}>Register<//>
        <a class="button" href=${to(["datasets"])}>Back</a>
      </div>
    </form>`;
}

function wantedOf({ kind, network, start_block: start, is_final: isFinal }) {
  return { kind, network: network.trim(), start_block: numberOf(start) ?? 0, finalized_blocks_only: isFinal };
}

async function datasetOf(fields) {
  const manifest = fields.manifest.trim() === "" ? await post("/manifests/generate", wantedOf(fields)) : parsed(fields.manifest);
  return { namespace: fields.namespace.trim(), name: fields.name.trim(), version: textOf(fields.version), manifest };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`The manifest is no JSON: ${error.message}.`), { code: "MANIFEST_NOT_READ" });
  }
}

function NameFields({ fields, change }) {
  return html`<fieldset>
    <legend>Name</legend>
    <div class="fields">
      <${Input} name="namespace" title="Namespace" required fields=${fields} change=${change} hint="such as ethereum" />
      <${Input} name="name" title="Name" required fields=${fields} change=${change} hint="such as mainnet" />
      <${Input} name="version" title="Version" fields=${fields} change=${change} hint="the highest one is also latest; none: only dev" />
    </div>
  </fieldset>`;
}

function ManifestFields({ fields, change, generate, readFile }) {
  return html`<fieldset>
    <legend>Manifest</legend>
    <div class="fields">
      <${Select} name="kind" title="Kind" words=${KINDS} fields=${fields} change=${change} />
      <${Input} name="network" title="Network" required=${fields.manifest === ""} fields=${fields} change=${change} hint="that of its provider" />
      <${Input} name="start_block" title="First block" type="number" min="0" step="1" fields=${fields} change=${change} />
      <${Check} name="is_final" title="Only final blocks" fields=${fields} change=${change} />
    </div>
    <details open=${fields.manifest !== ""}>
      <summary>See or change it, or give another one</summary>
      <div class="actions spaced"><button type="button" onClick=${generate}>Make it of the fields above</button></div>
      <${Lines} name="manifest" title="JSON" hint="when there is any, it counts and not the fields above" rows=${12} fields=${fields} change=${change} />
      <label>Read a file <input type="file" accept=".json,application/json" onChange=${readFile} /></label>
    </details>
  </fieldset>`;
}
