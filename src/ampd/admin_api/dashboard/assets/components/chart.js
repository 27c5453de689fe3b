/** Lines over time, drawn by uPlot, with the same numbers as a table for those who do not see them. */
import { html, useEffect, useRef, useState } from "../preact.js";
import { duration, rate } from "../format.js";
import { Time } from "./time.js";

const LIBRARY = "/assets/vendor/uplot-1.6.32";
const HEIGHT = 180;
let library = null;

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {(number | null)[]} values
 * @property {string} [color] name of a custom property of style.css
 * @property {number[]} [dash]
 */

/**
 * @param {{title: string, at: number[], lines: Line[], format?: (value: number | null) => string}} props `at`: seconds since the epoch
 */
export function Chart({ title, at, lines, format = rate }) {
  const box = useRef(null);
  const plot = useRef(null);
  const [failed, fail] = useState(false);
  const data = [at, ...lines.map((line) => line.values)];
  useEffect(() => {
    let isGone = false;
    load().then((uPlot) => {
      if (isGone) return;
      plot.current = new uPlot(optionsOf(box.current, title, lines, format), data, box.current);
    }, () => fail(true));
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    resized.observe(box.current);
    return () => {
      isGone = true;
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [lines.length]);
  useEffect(() => plot.current?.setData(data), [at, ...lines.map((line) => line.values)]);
  return html`<figure class="chart">
    <figcaption>${title}</figcaption>
    <div ref=${box} class="plot" aria-hidden="true"></div>
    ${failed && html`<p class="empty">The chart could not be loaded; its numbers are below.</p>`}
    <${Numbers} title=${title} at=${at} lines=${lines} format=${format} />
  </figure>`;
}

/** The newest numbers of a chart, made when they are asked for. */
function Numbers({ title, at, lines, format }) {
  const [isOpen, open] = useState(false);
  const from = Math.max(0, at.length - 60);
  const rows = isOpen ? at.slice(from).map((second, row) => [second, from + row]).reverse() : [];
  return html`<details onToggle=${(event) => open(event.target.open)}>
    <summary>Numbers</summary>
    <div class="scroll" tabindex="0" role="region" aria-label=${`${title}: numbers`}>
      <table>
        <thead><tr><th scope="col">Time</th>${lines.map(({ label }) => html`<th scope="col" class="number">${label}</th>`)}</tr></thead>
        <tbody>${rows.map(([second, row]) => html`<tr key=${second}>
          <th scope="row"><${Time} at=${second * 1000} /></th>
          ${lines.map(({ values }) => html`<td class="number">${format(values[row])}</td>`)}
        </tr>`)}</tbody>
      </table>
    </div>
  </details>`;
}

function optionsOf(box, title, lines, format) {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: () => color("--text-soft"), grid: { stroke: () => color("--line"), width: 1 }, ticks: { stroke: () => color("--line") } };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    cursor: { y: false },
    scales: { y: { range: (_plot, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
    axes: [axis, { ...axis, size: 60, values: (_plot, ticks) => ticks.map((tick) => format(tick)) }],
    series: [
      {},
      ...lines.map(({ label, color: name = "--accent", dash }) => ({
        label,
        dash,
        stroke: () => color(name),
        width: 2,
        points: { show: false },
        value: (_plot, value) => format(value),
      })),
    ],
  };
}

/** Axis text for seconds. */
export const seconds = duration;

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
