/** The states that a job has been in, as a strip in which time runs from left to right, and as a list. */
import { duration } from "../core/format.js";
import { html, useEffect, useState } from "../core/preact.js";
import { hasEnded } from "./job-rules.js";
import { State, toneOf } from "../components/state.js";
import { Time } from "../components/time.js";

const MOST_SEGMENTS = 40;
const LEAST_SHARE = 0.015;
const LABELLED_SHARE = 0.09;

/** @param {{job: any, events: ReturnType<typeof import("../core/events.js").useEvents>}} props */
export function JobTimeline({ job, events }) {
  const now = useNow(!hasEnded(job));
  if (events.data === null || events.data.list.length === 0) return null;
  const spans = spansOf(events.data.list.slice(0, MOST_SEGMENTS + 1), job, now);
  const isCut = events.data.list.length > MOST_SEGMENTS + 1 || events.data.hasOlder;
  const total = spans.reduce((sum, { seconds }) => sum + (seconds ?? 0), 0);
  return html`<section class="card timeline"><h2>States${isCut && html` <small>the newest ${spans.length}</small>`}</h2>
    <div class="strip" aria-hidden="true">${spans.map((span) => html`<${Segment} key=${span.id} span=${span} share=${total > 0 ? (span.seconds ?? 0) / total : 0} />`)}</div>
    <details><summary>As a list, ${duration(total)} in all</summary>
      <ol reversed class="spans" tabindex="0" aria-label="States, the newest first">${[...spans].reverse().map(({ id, state, at, seconds, isLast }) => html`<li key=${id}><${State} state=${state} /> from <${Time} at=${at} />
        ${seconds === null ? "" : isLast ? ` for ${duration(Math.floor(seconds))} until now` : ` for ${duration(seconds)}`}</li>`)}</ol>
    </details>
  </section>`;
}

function Segment({ span: { state, seconds, isLast }, share }) {
  const words = state.toLowerCase().replaceAll("_", " ");
  const grow = seconds === null ? 0 : Math.max(LEAST_SHARE, share);
  const isLabelled = share >= LABELLED_SHARE || seconds === null;
  return html`<span class=${`segment ${toneOf(state)} ${seconds === null ? "end" : isLabelled ? "" : "bare"}`} style=${{ flexGrow: grow * 1000 }}
    title=${seconds === null ? words : `${words}: ${duration(isLast ? Math.floor(seconds) : seconds)}`}>
    ${isLabelled && html`${words}${seconds !== null && html` <small>${duration(isLast ? Math.floor(seconds) : seconds)}</small>`}`}</span>`;
}

/** From events (the newest first) to how long each state lasted, the oldest first; `seconds` null: the end. */
function spansOf(events, job, now) {
  return events.map((event, index) => {
    const until = index === 0 ? (hasEnded(job) ? null : Math.max(now, event.created_at_ms)) : events[index - 1].created_at_ms;
    const seconds = until === null ? null : (until - event.created_at_ms) / 1000;
    return { id: event.id, state: event.event_type, at: event.created_at_ms, seconds, isLast: index === 0 };
  }).reverse();
}

/** The time, which goes on while it is looked at. */
function useNow(isTicking) {
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    if (!isTicking) return undefined;
    const timer = setInterval(() => tick(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [isTicking]);
  return now;
}
