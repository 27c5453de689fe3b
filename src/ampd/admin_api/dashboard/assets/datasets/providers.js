/** Providers: the nodes that blocks come from. Their secrets never leave the controller. */
import { get, path, request } from "../core/api.js";
import { Action } from "../components/action.js";
import { confirm } from "../components/dialog.js";
import { Loaded } from "../components/failure.js";
import { notice } from "../components/notices.js";
import { Crumbs } from "../components/references.js";
import { Table } from "../components/table.js";
import { html } from "../core/preact.js";
import { useResource } from "../core/resource.js";
import { to } from "../core/router.js";
import { useSession, whyNotWhole } from "../core/session.js";
import { ProviderForm } from "./provider-form.js";

export default function Providers() {
  useSession();
  const refusal = whyNotWhole();
  return html`
    <${Crumbs} way=${[["Datasets", to(["datasets"])]]} />
    <h1>Providers</h1>
    ${refusal ? html`<p class="card">${refusal}</p>` : html`<${All} />`}`;
}

function All() {
  const providers = useResource((signal) => get("/providers", {}, signal), []);
  return html`
    <section class="card" aria-label="Providers">
      <${Loaded} resource=${providers}>${(data) => html`<${List} providers=${data.providers} reload=${providers.reload} />`}<//>
    </section>
    <${ProviderForm} known=${(providers.data?.providers ?? []).map(({ name }) => name)} done=${providers.reload} />`;
}

function List({ providers, reload }) {
  const columns = [
    { title: "Provider", heads: true, cell: ({ name }) => name },
    { title: "Kind", cell: ({ kind }) => kind },
    { title: "Network", cell: ({ network }) => html`<bdi class="word">${network}</bdi>` },
    { title: "Settings", cell: (provider) => html`<${Settings} provider=${provider} />` },
    { title: "", cell: (provider) => html`<${Action} role="admin" onClick=${() => remove(provider, providers, reload)}>Remove<span class="visually-hidden"> ${provider.name}</span><//>` },
  ];
  return html`<${Table} caption="Providers" columns=${columns} rows=${providers} keyOf=${({ name }) => name} empty="No provider yet. Register one below: a job finds it by the network of its dataset." />`;
}

function Settings({ provider: { name, kind, network, ...settings } }) {
  return html`<dl class="settings">${Object.entries(settings).map(([key, value]) => html`<dt>${key}</dt><dd>${typeof value === "string" ? value : JSON.stringify(value)}</dd>`)}</dl>`;
}

function remove({ name, kind, network }, all, reload) {
  const others = all.filter((one) => one.kind === kind && one.network === network && one.name !== name).map((one) => one.name);
  confirm({
    title: `Remove provider ${name}`,
    text: html`<p>The ${kind} provider <strong>${name}</strong> of network <strong><bdi>${network}</bdi></strong> is forgotten, with its settings and secrets.
      ${others.length > 0 ? ` Jobs of this network go on with ${others.join(", ")}.` : " It is the only one of this kind: jobs of this network wait then for another one."}</p>`,
    action: `Remove ${name}`,
    isDangerous: true,
    act: () => request("DELETE", path("providers", name)),
  }).then((isDone) => {
    if (!isDone) return;
    notice(`Provider ${name} is removed.`);
    reload();
  });
}
