/** The ranges of one table as a strip: looked at with the pointer or the arrow keys. */
import { html, useRef, useState } from "../core/preact.js";
import { wordsOf } from "./block-ranges.js";

const HEIGHT = 28;
const LEAST_WIDTH = 2;
const DRAG_PIXELS = 5;
const STEP = 10;
// What is rare is drawn last, and never too thin to be seen.
const ORDER = ["missing", "done", "mixed", "in_hand", "orphaned"];

/**
 * @param {{table: string, ranges: import("./block-ranges.js").BlockRange[], window: {start: number, end: number}, width: number, marks:
 *   {block: number, name: string}[], at: number | null, look: (block: number | null) => void, zoom: (start: number, end: number) => void}} props
 *   `at`: the block that is looked at; `zoom`: into a range
 */
export function RangeStrip({ table, ranges, window, width, marks, at, look, zoom }) {
  const strip = useRef(null);
  const [drag, setDrag] = useState(null);
  const size = window.end - window.start + 1;
  const x = (block) => ((block - window.start) / size) * width;
  const blockAt = (event) => {
    const part = (event.clientX - strip.current.getBoundingClientRect().left) / width;
    return Math.max(window.start, Math.min(window.end, window.start + Math.floor(part * size)));
  };
  const index = at === null ? -1 : ranges.findIndex((range) => range.start_block <= at && at <= range.end_block);
  const chosen = ranges[index] ?? null;
  const keys = (event) => {
    const to = target(event.key, index, ranges.length);
    if (to !== null) look(ranges[to].start_block);
    else if (event.key === "Enter" && chosen !== null) zoom(chosen.start_block, chosen.end_block);
    else return;
    event.preventDefault();
  };
  const down = (event) => {
    if (event.button !== 0) return;
    strip.current.setPointerCapture(event.pointerId);
    setDrag({ from: event.clientX, start: blockAt(event), end: blockAt(event) });
  };
  const move = (event) => {
    look(blockAt(event));
    if (drag !== null) setDrag({ ...drag, end: blockAt(event) });
  };
  const up = (event) => {
    if (drag !== null && Math.abs(event.clientX - drag.from) > DRAG_PIXELS) zoom(Math.min(drag.start, drag.end), Math.max(drag.start, drag.end));
    setDrag(null);
  };
  return html`<svg ref=${strip} class="range-strip" width=${width} height=${HEIGHT} tabindex="0" role="slider" aria-label=${`Ranges of ${table}`}
    aria-valuemin=${window.start} aria-valuemax=${window.end} aria-valuenow=${chosen?.start_block ?? window.start}
    aria-valuetext=${chosen === null ? "use the arrow keys" : wordsOf(chosen)}
    onKeyDown=${keys} onFocus=${() => index < 0 && ranges.length > 0 && look(ranges[0].start_block)}
    onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${() => setDrag(null)}
    onPointerLeave=${() => document.activeElement !== strip.current && look(null)}
    onDblClick=${(event) => zoom(...around(ranges, blockAt(event)))}>
    ${inOrder(ranges).map((range) => html`<${Rect} key=${range.start_block} range=${range} x=${x} />`)}
    ${chosen !== null && html`<rect class="chosen" x=${x(chosen.start_block)} y="1" width=${Math.max(LEAST_WIDTH, x(chosen.end_block + 1) - x(chosen.start_block))} height=${HEIGHT - 2} />`}
    ${drag !== null && html`<rect class="drag" x=${x(Math.min(drag.start, drag.end))} y="0" width=${x(Math.abs(drag.end - drag.start) + window.start + 1)} height=${HEIGHT} />`}
    ${marks.filter(({ block }) => block >= window.start && block <= window.end + 1).map(({ block, name }) => html`<${Mark} key=${name} name=${name} x=${Math.min(width - 1, Math.max(1, x(block)))} />`)}
  </svg>`;
}

function Rect({ range, x }) {
  const from = x(range.start_block);
  const width = Math.max(LEAST_WIDTH, x(range.end_block + 1) - from);
  // A line of the ground between neighbours, where there is room for it.
  return html`<rect class=${`range ${range.state}`} x=${from} y="4" width=${width > 6 ? width - 1 : width} height=${HEIGHT - 8} fill=${range.state === "done" ? undefined : `url(#range-${range.state})`} />`;
}

function Mark({ name, x }) {
  const up = name === "front";
  return html`<g class=${`mark ${name}`}><line x1=${x} x2=${x} y1="0" y2=${HEIGHT} />
    <path d=${up ? `M${x - 4} ${HEIGHT}h8l-4 -6z` : `M${x - 4} 0h8l-4 6z`} /></g>`;
}

/** The patterns of the states: once in the page. */
export function RangePatterns() {
  return html`<svg class="range-patterns" width="0" height="0" aria-hidden="true"><defs>
    <pattern id="range-in_hand" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="ground in_hand" width="7" height="7" /><rect class="ink in_hand" width="3.5" height="7" /></pattern>
    <pattern id="range-missing" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="ground missing" width="6" height="6" /><circle class="ink missing" cx="3" cy="3" r="1.1" /></pattern>
    <pattern id="range-orphaned" width="8" height="8" patternUnits="userSpaceOnUse"><rect class="ground orphaned" width="8" height="8" /><path class="ink line orphaned" d="M0 0L8 8M8 0L0 8" /></pattern>
    <pattern id="range-mixed" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="ground mixed" width="6" height="6" /><rect class="ink mixed" width="6" height="3" /></pattern>
  </defs></svg>`;
}

/** Where a key leads to; null for other keys. */
function target(key, index, count) {
  if (count === 0) return null;
  const last = count - 1;
  const to = { ArrowRight: index + 1, ArrowUp: index + 1, ArrowLeft: index - 1, ArrowDown: index - 1, PageUp: index + STEP, PageDown: index - STEP, Home: 0, End: last }[key];
  return to === undefined ? null : Math.max(0, Math.min(last, to));
}

function inOrder(ranges) {
  return [...ranges].sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state));
}

function around(ranges, block) {
  const found = ranges.find((range) => range.start_block <= block && block <= range.end_block);
  return found === undefined ? [block, block] : [found.start_block, found.end_block];
}
