/** What stands below "datasets" in an address: one dataset and its parts, its providers, the forms. */
import { Failure } from "../components/failure.js";
import { html, useEffect, useState } from "../core/preact.js";
import { to } from "../core/router.js";

const OF_ALL = {
  providers: () => import("./providers.js"),
  register: () => import("./register-form.js"),
};
const OF_ONE = {
  deploy: () => import("./deploy-form.js"),
  revisions: () => import("./table-revision.js"),
};

export default function DatasetPages({ rest, query }) {
  const [state, set] = useState({ draw: null, error: null });
  const load = loaderOf(rest);
  useEffect(() => {
    load?.().then((module) => set({ draw: module.default, error: null }), (error) => set({ draw: null, error }));
  }, [rest.join("/")]);
  if (load === null) return html`<h1>Not found</h1><p>There is no such page. <a href=${to(["datasets"])}>Back to the datasets</a></p>`;
  if (state.error) return html`<${Failure} error=${state.error} retry=${() => location.reload()} title="This page is broken" />`;
  if (state.draw === null) return html`<p class="loading" role="status">Loading …</p>`;
  const [namespace, name, , id] = rest;
  return html`<${state.draw} namespace=${namespace} name=${name} id=${id} query=${query} />`;
}

function loaderOf(rest) {
  if (rest.length === 1) return OF_ALL[rest[0]] ?? null;
  if (rest.length === 2) return () => import("./dataset-page.js");
  return OF_ONE[rest[2]] ?? null;
}
