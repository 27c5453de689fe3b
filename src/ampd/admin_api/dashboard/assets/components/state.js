/** States by sign and word, and a colour beside them: never by colour alone. */
import { html } from "../preact.js";

const SIGNS = {
  SCHEDULED: ["◷", "calm"],
  RUNNING: ["▶", "busy"],
  STOP_REQUESTED: ["◼", "warning"],
  STOPPING: ["◼", "warning"],
  STOPPED: ["◼", "calm"],
  PAUSED: ["⏸", "calm"],
  COMPLETED: ["✓", "good"],
  ERROR: ["↻", "warning"],
  FAILED: ["✗", "bad"],
  FATAL: ["✗", "bad"],
  CANCELLED: ["⊘", "calm"],
};

/** @param {{state: string, tone?: string, sign?: string}} props `tone`: good, bad, warning, busy or calm */
export function State({ state, tone, sign }) {
  const [known, knownTone] = SIGNS[state] ?? ["•", "calm"];
  const words = state.toLowerCase().replaceAll("_", " ");
  return html`<span class=${`state ${tone ?? knownTone}`}><span aria-hidden="true">${sign ?? known}</span> ${words}</span>`;
}
