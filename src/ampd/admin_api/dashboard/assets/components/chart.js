/** Lines over time, drawn by uPlot, with the same numbers as a table for those who do not see them. */
import { whenColoursChange } from "../core/appearance.js";
import { html, useEffect, useRef, useState } from "../core/preact.js";
import { rate } from "../core/format.js";
import { optionsOf } from "./chart-options.js";
import { Time } from "./time.js";

const LIBRARY = "/assets/vendor/uplot-1.6.32";
export const HEIGHT = 180;
const MOST_ROWS = 60;
let library = null;

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {(number | null)[]} values null: nothing is known, the line has a gap
 * @property {string} [color] name of a custom property of style.css
 * @property {number[]} [dash]
 */

/**
 * @param {{title: string, at: number[], lines: Line[], format?: (value: number | null) => string,
 *   scale?: "numbers" | "whole" | "seconds" | "bytes"}} props `at`: seconds since the epoch; `format`: a value with its unit;
 *   `scale`: where ticks may stand
 */
export function Chart({ title, at, lines, format = rate, scale = "numbers" }) {
  const [shownAt, showAt] = useState(null);
  const isEmpty = lines.every(({ values }) => values.every((value) => value === null));
  const row = shownAt !== null && shownAt < at.length ? shownAt : newestKnown(lines);
  return html`<figure class="chart">
    <figcaption>${title}</figcaption>
    <${Legend} lines=${lines} row=${row} at=${at} format=${format} />
    ${isEmpty
      ? html`<p class="empty plot">Nothing was recorded in this time.</p>`
      : html`<${Plot} at=${at} lines=${lines} format=${format} scale=${scale} onPoint=${showAt} />`}
    <${Numbers} title=${title} at=${at} lines=${lines} format=${format} />
  </figure>`;
}

/** What the colours mean, and the values under the pointer, or else the newest ones. */
function Legend({ lines, row, at, format }) {
  return html`<div class="legend">
    ${lines.map(({ label, values, color = "--accent", dash }) => html`<span key=${label}>
      <i class=${dash ? "dashed" : ""} style=${{ borderColor: `var(${color})` }}></i>${label} <b>${format(row === null ? null : values[row])}</b>
    </span>`)}
    ${row !== null && html`<small><${Time} at=${at[row] * 1000} /></small>`}
  </div>`;
}

function Plot({ at, lines, format, scale, onPoint }) {
  const box = useRef(null);
  const plot = useRef(null);
  const [failed, fail] = useState(false);
  const newest = useRef(null);
  newest.current = [at, ...lines.map((line) => line.values)];
  useEffect(() => {
    let isGone = false;
    load().then((uPlot) => {
      if (isGone) return;
      const options = { ...optionsOf(box.current, lines, format, scale, onPoint), width: box.current.clientWidth, height: HEIGHT };
      plot.current = new uPlot(options, newest.current, box.current);
    }, () => fail(true));
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    resized.observe(box.current);
    const ended = whenColoursChange(() => plot.current?.redraw());
    return () => {
      isGone = true;
      ended();
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [lines.length]);
  useEffect(() => plot.current?.setData(newest.current), [at, ...lines.map((line) => line.values)]);
  if (failed) return html`<p class="empty plot">The chart could not be loaded; its numbers are below.</p>`;
  return html`<div ref=${box} class="plot" aria-hidden="true"></div>`;
}

/** The newest numbers of a chart, made when they are asked for. */
function Numbers({ title, at, lines, format }) {
  const [isOpen, open] = useState(false);
  const from = Math.max(0, at.length - MOST_ROWS);
  const rows = isOpen ? at.slice(from).map((second, row) => [second, from + row]).reverse() : [];
  return html`<details onToggle=${(event) => open(event.target.open)}>
    <summary>Numbers<span class="visually-hidden"> of ${title}</span></summary>
    <div class="scroll numbers" tabindex="0" role="region" aria-label=${`${title}: numbers`}>
      <table>
        ${from > 0 && html`<caption>The newest ${MOST_ROWS} of ${at.length}</caption>`}
        <thead><tr><th scope="col">Time</th>${lines.map(({ label }) => html`<th scope="col" class="number">${label}</th>`)}</tr></thead>
        <tbody>${rows.map(([second, row]) => html`<tr key=${second}>
          <th scope="row"><${Time} at=${second * 1000} /></th>
          ${lines.map(({ values }) => html`<td class="number">${format(values[row])}</td>`)}
        </tr>`)}</tbody>
      </table>
    </div>
  </details>`;
}

function newestKnown(lines) {
  const last = Math.max(...lines.map(({ values }) => values.findLastIndex((value) => value !== null)));
  return last < 0 ? null : last;
}

function load() {
  library ??= new Promise((resolve, reject) => {
    const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `${LIBRARY}.css` });
    const script = Object.assign(document.createElement("script"), { src: `${LIBRARY}.js` });
    script.addEventListener("load", () => resolve(globalThis.uPlot));
    script.addEventListener("error", () => {
      library = null;
      reject(new Error(`${LIBRARY}.js could not be loaded`));
    });
    document.head.append(sheet, script);
  });
  return library;
}
