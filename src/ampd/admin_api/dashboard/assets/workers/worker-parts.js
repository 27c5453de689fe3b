/** What is shown of workers in more than one place. */
import { path, post } from "../core/api.js";
import { number } from "../core/format.js";
import { html, useEffect } from "../core/preact.js";
import { useSession, whyNotWhole } from "../core/session.js";
import { Action } from "../components/action.js";
import { confirm } from "../components/dialog.js";
import { notice } from "../components/notices.js";
import { State } from "../components/state.js";

const LOOK_MILLISECONDS = 5000;

/** Whether a worker is there, and whether it gets work. @param {{worker: {live: boolean, draining: boolean}}} props */
export function WorkerState({ worker: { live, draining } }) {
  return html`<span class="badges">
    ${live ? html`<${State} state="LIVE" tone="good" sign="●" />` : html`<${State} state="GONE" tone="bad" sign="✗" />`}
    ${draining && html`<${State} state="DRAINING" tone="warning" sign="▽" />`}
  </span>`;
}

/** How many slots are at work. @param {{used: number, slots: number}} props */
export function Slots({ used, slots }) {
  const text = `${number(used)} of ${number(slots)}`;
  return html`<span class="slots"><meter min="0" max=${slots} value=${used} aria-label="Slots in use">${text}</meter> ${text}</span>`;
}

/** Drain, or let work come again. @param {{worker: object, reload: () => void}} props */
export function DrainAction({ worker, reload }) {
  useSession();
  const ask = () => (worker.draining ? undrain : drain)(worker).then((isDone) => isDone && reload());
  return html`<${Action} whyNot=${whyNotWhole()} onClick=${ask}>${worker.draining ? "Undrain …" : "Drain …"}<span class="visually-hidden"> ${worker.node_id}</span><//>`;
}

async function drain({ node_id: id, running_jobs: jobs }) {
  const isDone = await confirm({
    title: `Drain worker ${id}`,
    text: html`<p>The worker <strong><bdi>${id}</bdi></strong> gets no new work, also after a restart. It finishes the ranges that it has in hand, and hands its ${number(jobs)} running job${jobs === 1 ? "" : "s"} back:
      other workers go on with them where it stopped. A job that only this worker may run waits until it is undrained.</p>`,
    action: "Drain",
    isDangerous: true,
    act: () => post(path("workers", id, "drain")),
  });
  if (isDone) notice(`Worker ${id} drains.`);
  return isDone;
}

async function undrain({ node_id: id }) {
  const isDone = await confirm({
    title: `Undrain worker ${id}`,
    text: html`<p>Work may come to the worker <strong><bdi>${id}</bdi></strong> again.</p>`,
    action: "Undrain",
    act: () => post(path("workers", id, "undrain")),
  });
  if (isDone) notice(`Work may come to worker ${id} again.`);
  return isDone;
}

/** Heartbeats are no news that is told: look at them now and then, while somebody sees the page. @param {() => void} reload */
export function useHeartbeats(reload) {
  useEffect(() => {
    const timer = setInterval(() => document.hidden || reload(), LOOK_MILLISECONDS);
    return () => clearInterval(timer);
  }, [reload]);
}
