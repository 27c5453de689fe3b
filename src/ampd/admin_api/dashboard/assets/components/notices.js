/** Short messages about what was done, read out by screen readers. */
import { html, useEffect, useState } from "../core/preact.js";

const SHOWN_MILLISECONDS = 8000;
let add = (_one) => {};
let last = 0;

/** Say that something was done. @param {unknown} text */
export function notice(text) {
  add({ id: ++last, text });
}

/** Draws the messages: once, at the root. */
export function Notices() {
  const [shown, show] = useState([]);
  const drop = (id) => show((all) => all.filter((one) => one.id !== id));
  add = (one) => show((all) => [...all.slice(-3), one]);
  return html`<div class="notices" role="status" aria-live="polite">
    ${shown.map((one) => html`<${Notice} key=${one.id} one=${one} drop=${drop} />`)}
  </div>`;
}

function Notice({ one, drop }) {
  useEffect(() => {
    const timer = setTimeout(() => drop(one.id), SHOWN_MILLISECONDS);
    return () => clearTimeout(timer);
  }, []);
  return html`<p>${one.text} <button type="button" class="plain" aria-label="Close this message" onClick=${() => drop(one.id)}>×</button></p>`;
}
