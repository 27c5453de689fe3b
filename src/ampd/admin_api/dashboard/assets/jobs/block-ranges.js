/** Arithmetic and words of block ranges. Blocks are numbers up to 2^53. */
import { number, percent, plural } from "../core/format.js";

/**
 * @typedef {object} BlockRange
 * @property {number} start_block
 * @property {number} end_block the last one, included
 * @property {"done" | "in_hand" | "missing" | "orphaned" | "mixed"} state
 * @property {string} [worker_id]
 * @property {number} [done_share] of a mixed one
 */

/** The states in the order of the legend. */
export const RANGE_STATES = {
  done: "done",
  in_hand: "in hand",
  missing: "missing",
  orphaned: "orphaned",
  mixed: "mixed",
};

/** How many blocks a range has. @param {{start_block: number, end_block: number}} range */
export function blocksOf({ start_block: start, end_block: end }) {
  return end - start + 1;
}

/** "blocks 17,686,110 to 17,686,113: done". @param {BlockRange} range */
export function wordsOf(range) {
  const { start_block: start, end_block: end, state, worker_id: worker, done_share: share } = range;
  const blocks = start === end ? `block ${number(start)}` : `blocks ${number(start)} to ${number(end)}`;
  const what = RANGE_STATES[state] ?? state;
  if (state === "in_hand" && worker) return `${blocks}: ${what}, at worker ${worker}`;
  return state === "mixed" ? `${blocks}: ${what}, ${percent(share)} done` : `${blocks}: ${what}`;
}

/** What a strip shows, in one sentence. @param {BlockRange[]} ranges */
export function summaryOf(ranges) {
  const all = ranges.reduce((sum, range) => sum + blocksOf(range), 0);
  if (all === 0) return "nothing is known of it";
  const done = ranges.reduce((sum, range) => sum + blocksOf(range) * shareDone(range), 0);
  const others = ["in_hand", "missing", "orphaned"].map((state) => {
    const count = ranges.filter((range) => range.state === state).reduce((sum, range) => sum + blocksOf(range), 0);
    return count > 0 ? `${plural(count, "block")} ${RANGE_STATES[state]}` : null;
  });
  return [`${percent(done / all)} done`, ...others.filter(Boolean)].join(", ");
}

function shareDone({ state, done_share: share }) {
  if (state === "mixed") return share ?? 0;
  return state === "done" ? 1 : 0;
}

/**
 * Another window of blocks: `factor` 0.5 looks closer, 2 from farther, never beyond `limits`.
 *
 * @param {{start: number, end: number}} window
 * @param {number} factor
 * @param {{start: number, end: number}} limits
 * @param {number} [middle] the block that stays in the middle
 */
export function zoomed({ start, end }, factor, limits, middle = (start + end) / 2) {
  const size = Math.max(1, Math.round((end - start + 1) * factor));
  return moved({ start: Math.round(middle - size / 2), end: Math.round(middle - size / 2) + size - 1 }, 0, limits);
}

/** The window moved by a share of its size. @param {number} share */
export function moved({ start, end }, share, limits) {
  const size = Math.min(end - start + 1, limits.end - limits.start + 1);
  const wanted = start + Math.round((end - start + 1) * share);
  const first = Math.max(limits.start, Math.min(wanted, limits.end - size + 1));
  return { start: first, end: first + size - 1 };
}
