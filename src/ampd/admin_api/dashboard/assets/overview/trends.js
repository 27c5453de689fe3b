/** How it went in the last hours or days, as charts. */
import { get } from "../core/api.js";
import { bytes, compact, duration, number, rate } from "../core/format.js";
import { EVERYTHING } from "../core/live.js";
import { html } from "../core/preact.js";
import { useResource } from "../core/resource.js";
import { to } from "../core/router.js";
import { Chart } from "../components/chart.js";
import { useEvery } from "../components/every.js";
import { Loaded } from "../components/failure.js";

const RANGES = [
  { name: "1h", title: "1 h", minutes: 60 },
  { name: "6h", title: "6 h", minutes: 360 },
  { name: "24h", title: "24 h", minutes: 1440 },
  { name: "7d", title: "7 d", minutes: 10080 },
];
/** A minute is there half a minute after its end. */
const LOOK_MILLISECONDS = 30_000;
const perSecond = (format) => (value) => (value === null ? "–" : `${format(value)}/s`);
const seconds = (value) => (value === 0 ? "0 s" : duration(value));

/** @param {{query: URLSearchParams}} props `range`: 1h, 6h, 24h or 7d */
export function Trends({ query }) {
  const range = RANGES.find(({ name }) => name === query.get("range")) ?? RANGES[0];
  const load = (signal) => get("/overview/history", { minutes: range.minutes }, signal);
  const history = useResource(load, [range.minutes], (change) => change === EVERYTHING);
  useEvery(LOOK_MILLISECONDS, history.reload);
  return html`<section class="card" aria-labelledby="trends">
    <div class="head"><h2 id="trends">How it went</h2><nav class="ranges" aria-label="Time range">
      ${RANGES.map(({ name, title }) => html`<a key=${name} href=${to([], { range: name })} aria-current=${name === range.name ? "true" : undefined}>${title}</a>`)}
    </nav></div>
    <${Loaded} resource=${history}>${(data) => html`<${Charts} of=${data} />`}</${Loaded}>
  </section>`;
}

function Charts({ of }) {
  const step = duration(of.step_seconds);
  return html`<div class="charts">
    <${Chart} title="Blocks per second" at=${of.at} format=${perSecond(rate)} lines=${[{ label: "blocks", values: of.blocks_per_second }]} />
    <${Chart} title="Rows per second" at=${of.at} format=${perSecond(compact)} lines=${[{ label: "rows", values: of.rows_per_second }]} />
    <${Chart} title="Bytes per second" at=${of.at} format=${perSecond((value) => bytes(Math.round(value)))} scale="bytes" lines=${[{ label: "bytes", values: of.bytes_per_second }]} />
    <${Chart} title="Lag behind the head, in blocks" at=${of.at} format=${compact} scale="whole" lines=${[{ label: "worst lag", values: of.lag_blocks, color: "--warning" }]} />
    <${Chart} title=${`Retries and failures in ${step}`} at=${of.at} format=${number} scale="whole" lines=${[
      { label: "retries", values: of.retries, color: "--warning", dash: [6, 3] },
      { label: "failures", values: of.failures, color: "--bad" },
    ]} />
    <${Chart} title="Durations of jobs: half, and 95 %, are below" at=${of.at} format=${seconds} scale="seconds" lines=${[
      { label: "p50", values: of.duration_p50_seconds },
      { label: "p95", values: of.duration_p95_seconds, color: "--warning", dash: [6, 3] },
    ]} />
  </div>`;
}
