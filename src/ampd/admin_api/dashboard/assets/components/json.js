/** Values as JSON. */
import { html } from "../core/preact.js";

/** @param {{value: unknown, label: string}} props */
export function Json({ value, label }) {
  return html`<pre class="json" tabindex="0" role="region" aria-label=${label}>${JSON.stringify(value, null, 2)}</pre>`;
}
