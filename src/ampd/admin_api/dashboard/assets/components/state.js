/** States by sign and word, and a colour beside them: never by colour alone. */
import { html } from "../core/preact.js";

const SIGNS = {
  SCHEDULED: ["◷", "calm"],
  RUNNING: ["▶", "busy"],
  STOP_REQUESTED: ["◼", "warning"],
  STOPPING: ["◼", "warning"],
  STOPPED: ["◼", "calm"],
  PAUSED: ["‖", "calm"],
  COMPLETED: ["✓", "good"],
  ERROR: ["↻", "warning"],
  FAILED: ["✗", "bad"],
  FATAL: ["✗", "bad"],
  CANCELLED: ["⊘", "calm"],
};

/** The tone of a job's state: good, bad, warning, busy or calm. @param {string} state */
export function toneOf(state) {
  return (SIGNS[state] ?? ["•", "calm"])[1];
}

/** @param {{state: string, tone?: string, sign?: string}} props `tone`: good, bad, warning, busy or calm */
export function State({ state, tone, sign }) {
  const [known, knownTone] = SIGNS[state] ?? ["•", "calm"];
  const words = state.toLowerCase().replaceAll("_", " ");
  return html`<span class=${`state ${tone ?? knownTone}`}><span aria-hidden="true">${sign ?? known}</span> ${words}</span>`;
}
