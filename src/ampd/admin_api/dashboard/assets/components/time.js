/** Moments: in the viewer's zone, in UTC on hover. */
import { duration, localTime, utcTime } from "../core/format.js";
import { html, useEffect, useState } from "../core/preact.js";

/** @param {{at: string | number | null | undefined}} props RFC 3339, or milliseconds since the epoch */
export function Time({ at }) {
  if (at === null || at === undefined) return "–";
  const moment = new Date(at);
  return html`<time datetime=${moment.toISOString()} title=${utcTime(moment)}>${localTime(moment)}</time>`;
}

/** The same as a distance from now, which grows while it is looked at. @param {{at: string | number | null | undefined}} props */
export function Ago({ at }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  if (at === null || at === undefined) return "–";
  const moment = new Date(at);
  const seconds = (Date.now() - moment.getTime()) / 1000;
  const text = Math.abs(seconds) < 1 ? "now" : seconds > 0 ? `${duration(Math.floor(seconds))} ago` : `in ${duration(Math.ceil(-seconds))}`;
  return html`<time datetime=${moment.toISOString()} title=${`${localTime(moment)} · ${utcTime(moment)}`}>${text}</time>`;
}
