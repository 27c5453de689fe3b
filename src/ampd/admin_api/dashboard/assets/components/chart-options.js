/** How uPlot draws our charts: colours of the page, the viewer's clock, ticks that people read. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const decimals = [1e-3, 1e-2, 1e-1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9].flatMap((power) => [power, 2 * power, 5 * power]);
const binaries = Array.from({ length: 50 }, (_, power) => 2 ** power);
/** Where ticks may stand. */
const STEPS = {
  numbers: undefined,
  whole: decimals.filter((step) => step >= 1),
  seconds: [...decimals.filter((step) => step <= 10), 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY],
  bytes: binaries,
};
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const LETTER = 6.9;
// Whole pixels: uPlot makes others small where the screen has more of them.
const FONT = '12px system-ui, "DejaVu Sans", sans-serif';

/**
 * @param {HTMLElement} box whose style knows the colours
 * @param {import("./chart.js").Line[]} lines
 * @param {(value: number | null) => string} format
 * @param {"numbers" | "whole" | "seconds" | "bytes"} scale
 * @param {(row: number | null) => void} onPoint told which values are under the pointer
 */
export function optionsOf(box, lines, format, scale, onPoint) {
  const color = (name) => () => colourOf(box, name);
  const axis = {
    font: FONT,
    stroke: color("--text-soft"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { stroke: color("--line"), width: 1, size: 4 },
  };
  return {
    padding: [10, 32, 0, 0],
    legend: { show: false },
    select: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: "charts" }, points: { size: 7 } },
    scales: { x: { time: true }, y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, space: 64, size: 28, values: timesOf },
      {
        ...axis,
        space: 32,
        incrs: STEPS[scale],
        size: (_plot, texts) => 14 + LETTER * Math.max(4, ...(texts ?? []).map((text) => text.length)),
        values: (_plot, ticks) => ticks.map((tick) => format(tick)),
      },
    ],
    series: [{}, ...lines.map((line) => seriesOf(line, color))],
    hooks: { setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)] },
  };
}

/** @param {import("./chart.js").Line} line @param {(name: string) => () => string} color */
function seriesOf({ label, color: name = "--accent", dash }, color) {
  return {
    label,
    dash,
    stroke: color(name),
    width: 2,
    // A value between two gaps has no line: without its point it would not be seen.
    points: { show: true, size: 5, fill: color(name), stroke: color(name), filter: loneValues },
  };
}

function loneValues(plot, series) {
  const values = plot.data[series];
  const isGap = (row) => values[row] === null || values[row] === undefined;
  return values.flatMap((_value, row) => (!isGap(row) && isGap(row - 1) && isGap(row + 1) ? [row] : []));
}

/** Times of the viewer's zone; the day where one begins, and everywhere when ticks are days apart. */
function timesOf(_plot, seconds, _axis, _space, step) {
  return seconds.map((second) => {
    const at = new Date(second * 1000);
    const isMidnight = at.getHours() === 0 && at.getMinutes() === 0;
    return step >= DAY || isMidnight ? day.format(at) : clock.format(at);
  });
}

/** A canvas takes no custom properties: let the browser say what they are now. */
function colourOf(box, name) {
  box.style.color = `var(${name})`;
  return getComputedStyle(box).color;
}
