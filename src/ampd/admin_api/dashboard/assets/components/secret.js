/** Secrets that the API tells once. Outside of the page, so that nothing that happens to it takes the secret away. */
import { html, render, useEffect, useRef, useState } from "../core/preact.js";

/**
 * Show a secret until the viewer says that it is kept.
 *
 * @param {{title: string, text: unknown, label: string, secret: string}} what
 * @returns {Promise<void>}
 */
export function showSecret(what) {
  const place = document.createElement("div");
  document.body.append(place);
  return new Promise((resolve) => {
    const end = () => {
      render(null, place);
      place.remove();
      resolve();
    };
    render(html`<${Secret} ...${what} end=${end} />`, place);
  });
}

function Secret({ title, text, label, secret, end }) {
  const dialog = useRef(null);
  const field = useRef(null);
  const [copied, say] = useState("");
  useEffect(() => {
    dialog.current.showModal();
    field.current.select();
  }, []);
  const copy = async () => {
    field.current.select();
    say((await copyText(secret)) ? "Copied." : "This browser does not let pages copy: press Ctrl+C, it is selected.");
  };
  // Escape would throw away by accident what cannot be shown again.
  return html`<dialog ref=${dialog} aria-labelledby="secret-title" onCancel=${(event) => event.preventDefault()} onClose=${end}>
    <h2 id="secret-title">${title}</h2>
    <p>${text}</p>
    <p class="warning-text"><span aria-hidden="true">⚠</span> It is shown here and never again.</p>
    <label>${label} <input ref=${field} class="secret" value=${secret} readonly spellcheck=${false} autocomplete="off" /></label>
    <p role="status" class="copied">${copied}</p>
    <div class="actions">
      <button type="button" class="primary" onClick=${copy}>Copy</button>
      <button type="button" onClick=${() => dialog.current.close()}>I have kept it</button>
    </div>
  </dialog>`;
}

/** Copy by the clipboard, which browsers give only to https and this machine, or by the selection, as before. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
