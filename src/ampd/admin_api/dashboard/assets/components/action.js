/** Buttons for what changes something: they know who may press them. */
import { html } from "../core/preact.js";
import { useSession, whyNot } from "../core/session.js";

/**
 * @param {{children: unknown, role?: string, whyNot?: string | null, onClick?: () => void, kind?: string, type?: string}} props `role`: who may; `whyNot`: another reason
 *   why it cannot be done now; `kind`: primary or danger
 */
export function Action({ children, role = "operator", whyNot: reason = null, onClick, kind = "", type = "button" }) {
  useSession();
  const refusal = whyNot(role) ?? reason;
  return html`<button type=${type} class=${kind} aria-disabled=${refusal !== null} title=${refusal ?? undefined}
    onClick=${(event) => {
      if (refusal !== null) event.preventDefault();
      else onClick?.();
    }}>${children}${refusal !== null && html`<span class="visually-hidden"> (${refusal})</span>`}</button>`;
}
