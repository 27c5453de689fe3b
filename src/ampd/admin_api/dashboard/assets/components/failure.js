/** Errors: what happened, and what to do. */
import { html } from "../core/preact.js";

/** @param {{error: (Error & {code?: string, retryAfter?: number | null}) | null, retry?: () => void, title?: string}} props */
export function Failure({ error, retry, title = "This could not be done" }) {
  if (!error) return null;
  const code = "code" in error ? error.code : "UNEXPECTED";
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  return html`<div class="failure" role="alert">
    <p><strong>${title}.</strong> ${error.message}${wait} <code>${code}</code></p>
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
  </div>`;
}

/**
 * What a resource shows: its data; the error beside the last data; or that it is loading.
 *
 * @param {{resource: ReturnType<typeof import("../core/resource.js").useResource>, children: (data: any) => unknown}} props
 */
export function Loaded({ resource, children }) {
  const { data, error, reload } = resource;
  // One element: this Preact mixes up the order of neighbours that are several, when they change at the same time.
  return html`<div>
    <${Failure} error=${error} retry=${reload} title=${data === null ? "This could not be loaded" : "This is not up to date"} />
    ${data === null ? !error && html`<p class="loading" role="status">Loading …</p>` : children(data)}
  </div>`;
}
