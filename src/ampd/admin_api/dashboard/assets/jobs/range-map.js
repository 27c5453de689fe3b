/** Which blocks a job has done, has in hand, and lacks: a strip for each table, into which one can look closer. */
import { number } from "../core/format.js";
import { html, useEffect, useRef, useState } from "../core/preact.js";
import { go, to } from "../core/router.js";
import { blocksOf, moved, RANGE_STATES, summaryOf, wordsOf, zoomed } from "./block-ranges.js";
import { Loaded } from "../components/failure.js";
import { RangePatterns, RangeStrip } from "./range-strip.js";
import { Table } from "../components/table.js";

const LEGEND_WIDTH = 26;
const MOST_ROWS = 1000;

/** The part of the map that the address asks for. @param {URLSearchParams} query */
export function windowOf(query) {
  const [start, end] = ["from_block", "to_block"].map((name) => (/^\d{1,15}$/.test(query.get(name) ?? "") ? Number(query.get(name)) : null));
  return start !== null && end !== null && start <= end ? { start, end } : null;
}

/** @param {{job: any, query: URLSearchParams, ranges: any, progress: any}} props two resources: of the ranges, and of the progress */
export function RangeMap({ job, query, ranges, progress }) {
  return html`<section class="card range-map" aria-labelledby="range-map"><h2 id="range-map">Block ranges</h2>
    <${Loaded} resource=${ranges}>${(map) => (map.tables.length === 0 || map.end_block === null || map.end_block < map.start_block
      ? html`<p class="empty">There are no blocks yet: the map is drawn as soon as the job knows its range.</p>`
      : html`<${Map} job=${job} isPart=${windowOf(query) !== null} map=${map} progress=${progress.data} />`)}<//>
  </section>`;
}

function Map({ job, isPart, map, progress }) {
  const [box, width] = useWidth();
  const whole = useRef(null);
  const [at, setAt] = useState({ table: null, block: null });
  const window = { start: map.start_block, end: map.end_block };
  if (!isPart) whole.current = window;
  const limits = limitsOf(window, whole.current, job.end_block === null ? map.head_block : null);
  const show = (part) => go(to(["jobs", job.id], part === null ? {} : { from_block: part.start, to_block: part.end }));
  const shown = map.tables.find(({ table }) => table === at.table)?.ranges.find((range) => range.start_block <= at.block && at.block <= range.end_block);
  return html`
    <${Legend} states=${map.tables.flatMap(({ ranges }) => ranges.map(({ state }) => state))} />
    <${Controls} window=${window} isPart=${isPart} limits=${limits} show=${show} middle=${at.block ?? undefined} />
    ${map.is_coarse && html`<p><small>There are many small ranges: those that lie close together are shown as one, mixed. Look closer to see them apart.</small></p>`}
    <div ref=${box} class="strips">${width > 0 && map.tables.map(({ table, ranges }) => html`<div class="strip-row" key=${table}>
      <p><b><bdi>${table}</bdi></b> <small>${summaryOf(ranges)}</small></p>
      <${RangeStrip} table=${table} ranges=${ranges} window=${window} width=${width} marks=${marksOf(map, progress?.tables[table])}
        at=${at.table === table ? at.block : null} look=${(block) => setAt({ table, block })} zoom=${(start, end) => show({ start, end })} />
    </div>`)}</div>
    <output class="readout">${shown ? `${at.table}: ${wordsOf(shown)}` : html`<small>Point at a range, or go through them with the arrow keys; Enter or a double click looks closer.</small>`}</output>
    <${Numbers} tables=${map.tables} />`;
}

/** The signs that are used, or could be. */
function Legend({ states }) {
  const seen = new Set(states);
  const shown = Object.entries(RANGE_STATES).filter(([state]) => state !== "mixed" || seen.has(state));
  return html`<${RangePatterns} /><ul class="legend" aria-label="Legend">
    ${shown.map(([state, words]) => html`<li key=${state}><svg width=${LEGEND_WIDTH} height="14" aria-hidden="true"><rect class=${`range ${state}`} width=${LEGEND_WIDTH} height="14" fill=${state === "done" ? undefined : `url(#range-${state})`} /></svg> ${words}</li>`)}
    <li><svg width="10" height="14" aria-hidden="true"><g class="mark front"><line x1="5" x2="5" y1="0" y2="14" /><path d="M1 14h8l-4 -6z" /></g></svg> front</li>
    <li><svg width="10" height="14" aria-hidden="true"><g class="mark head"><line x1="5" x2="5" y1="0" y2="14" /><path d="M1 0h8l-4 6z" /></g></svg> head of the chain</li>
  </ul>`;
}

function Controls({ window, isPart, limits, show, middle }) {
  const submit = (event) => {
    event.preventDefault();
    const [start, end] = ["from_block", "to_block"].map((name) => Number(event.target.elements[name].value));
    if (start <= end) show({ start, end });
    else event.target.elements.to_block.focus();
  };
  const isWhole = window.start <= limits.start && window.end >= limits.end;
  return html`<form class="window" onSubmit=${submit} key=${`${isPart}-${isPart ? window.start : ""}-${isPart ? window.end : ""}`}>
    <label>From block <input name="from_block" type="number" min="0" step="1" required defaultValue=${window.start} /></label>
    <label>to block <input name="to_block" type="number" min="0" step="1" required defaultValue=${window.end} /></label>
    <button type="submit">Show</button>
    <span class="zoom" role="group" aria-label="Part of the map">
      <button type="button" disabled=${window.start >= window.end} onClick=${() => show(zoomed(window, 0.5, limits, middle))}>Closer</button>
      <button type="button" disabled=${isWhole} onClick=${() => show(zoomed(window, 2, limits))}>Farther</button>
      <button type="button" disabled=${window.start <= limits.start} onClick=${() => show(moved(window, -0.5, limits))}>‹ Lower</button>
      <button type="button" disabled=${window.end >= limits.end} onClick=${() => show(moved(window, 0.5, limits))}>Higher ›</button>
      <button type="button" disabled=${!isPart} onClick=${() => show(null)}>Whole map</button>
    </span>
  </form>`;
}

/** The same as a table, made when it is asked for. */
function Numbers({ tables }) {
  const [isOpen, open] = useState(false);
  const all = isOpen ? tables.flatMap(({ table, ranges }) => ranges.map((range) => ({ table, ...range }))) : [];
  const columns = [
    { title: "Table", heads: true, cell: ({ table }) => html`<bdi>${table}</bdi>` },
    { title: "From block", kind: "number", cell: (range) => number(range.start_block) },
    { title: "To block", kind: "number", cell: (range) => number(range.end_block) },
    { title: "Blocks", kind: "number", cell: (range) => number(blocksOf(range)) },
    { title: "State", cell: (range) => wordsOf(range).split(": ")[1] },
  ];
  return html`<details onToggle=${(event) => open(event.target.open)}><summary>Numbers</summary>
    ${isOpen && html`<div class="tall"><${Table} caption="Block ranges" columns=${columns} rows=${all.slice(0, MOST_ROWS)} keyOf=${(range) => `${range.table}/${range.start_block}`} /></div>`}
    ${all.length > MOST_ROWS && html`<small>The first ${number(MOST_ROWS)} of ${number(all.length)} ranges; look closer for the others.</small>`}
  </details>`;
}

function marksOf({ head_block: head }, progress) {
  const front = progress?.current_block ?? null;
  return [front !== null && { block: front + 1, name: "front" }, head !== null && head !== undefined && { block: head + 1, name: "head" }].filter(Boolean);
}

/** How far one can look: the whole map, as far as it is known; of a job without an end up to the head of the chain. */
function limitsOf(window, whole, head) {
  const { start, end } = whole ?? { start: 0, end: head ?? window.end };
  return { start: Math.min(start, window.start), end: Math.max(end, window.end, head ?? 0) };
}

/** The width of an element, also after the window has changed. */
function useWidth() {
  const box = useRef(null);
  const [width, set] = useState(0);
  useEffect(() => {
    const resized = new ResizeObserver(() => set(Math.floor(box.current?.clientWidth ?? 0)));
    resized.observe(box.current);
    return () => resized.disconnect();
  }, []);
  return [box, width];
}
