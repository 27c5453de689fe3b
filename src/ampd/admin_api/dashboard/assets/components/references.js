/** Names that lead somewhere: jobs, datasets, workers. */
import { html } from "../core/preact.js";
import { to } from "../core/router.js";
import { State } from "./state.js";

/** A job by its number and state. @param {{job: {id: number, status: string}}} props */
export function JobLink({ job }) {
  return html`<span class="badges"><a href=${to(["jobs", job.id])}>#${job.id}</a><${State} state=${job.status} /></span>`;
}

/** @param {{namespace: string, name: string, version?: string}} props */
export function DatasetLink({ namespace, name, version }) {
  const text = version ? `${namespace}/${name}@${version}` : `${namespace}/${name}`;
  return html`<a class="word" href=${to(["datasets", namespace, name], { version })}><bdi>${text}</bdi></a>`;
}

/** @param {{id: string}} props */
export function WorkerLink({ id }) {
  return html`<a class="word" href=${to(["workers", id])}><bdi>${id}</bdi></a>`;
}

/** The way from the list to what is shown. @param {{way: [string, string][]}} props pairs of text and address */
export function Crumbs({ way }) {
  return html`<nav class="crumbs" aria-label="Where this is">
    ${way.map(([text, address], place) => html`${place > 0 && " / "}<a href=${address}><bdi>${text}</bdi></a>`)}
  </nav>`;
}
