/** What the whole cluster does, at a glance. */
import { html } from "../preact.js";

export default function Overview() {
  return html`<h1>Overview</h1>`;
}
