/** Tables that scroll in their own box, and say what they are when they are empty. */
import { html } from "../core/preact.js";

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => unknown} cell
 * @property {"number"} [kind] numbers stand at the right
 * @property {boolean} [heads] the cell names its row
 */

/**
 * @template Row
 * @param {{caption: string, columns: Column<Row>[], rows: Row[], keyOf: (row: Row) => string | number, empty?: unknown,
 *   showsCaption?: boolean}} props
 */
export function Table({ caption, columns, rows, keyOf, empty = "Nothing here yet.", showsCaption = false }) {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table>
      <caption class=${showsCaption ? "" : "visually-hidden"}>${caption}</caption>
      <thead><tr>${columns.map(({ title, kind }) => html`<th scope="col" class=${kind ?? ""}>${title}</th>`)}</tr></thead>
      <tbody>
        ${rows.map((row) => html`<tr key=${keyOf(row)}>
          ${columns.map(({ cell, kind, heads }) =>
            heads ? html`<th scope="row" class=${kind ?? ""}>${cell(row)}</th>` : html`<td class=${kind ?? ""}>${cell(row)}</td>`)}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

/**
 * The pages of a list with cursors. @param {{hasPrevious: boolean, hasNext: boolean, first: () => void, next: () => void}} props
 */
export function Pager({ hasPrevious, hasNext, first, next }) {
  if (!hasPrevious && !hasNext) return null;
  return html`<nav class="pager" aria-label="Pages">
    <button type="button" disabled=${!hasPrevious} onClick=${first}>« First page</button>
    <button type="button" disabled=${!hasNext} onClick=${next}>Next page ›</button>
  </nav>`;
}
