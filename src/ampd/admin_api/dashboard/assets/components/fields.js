/** Fields of forms: a label, a control, and a hint that screen readers give as its description. */
import { html } from "../core/preact.js";

/**
 * @typedef {object} FieldProps
 * @property {string} name of the value among `fields`; there is one field of a name on a page
 * @property {string} title
 * @property {unknown} [hint]
 * @property {Record<string, unknown>} fields the values of the form
 * @property {(part: Record<string, unknown>) => void} change
 */

/** One line of text, a number, a moment: what is not said here are attributes of its input. @param {FieldProps} props */
export function Input({ name, title, hint, fields, change, ...rest }) {
  return html`<${Field} name=${name} title=${title} hint=${hint}>
    <input autocomplete="off" spellcheck=${false} ...${rest} id=${`field-${name}`} name=${name} aria-describedby=${hint ? `hint-${name}` : undefined}
      value=${fields[name]} onInput=${(event) => change({ [name]: event.target.value })} />
  <//>`;
}

/** One of some words. @param {FieldProps & {words: [string, string][]}} props `words`: values and what is shown for them */
export function Select({ name, title, hint, words, fields, change }) {
  return html`<${Field} name=${name} title=${title} hint=${hint}>
    <select id=${`field-${name}`} name=${name} aria-describedby=${hint ? `hint-${name}` : undefined} onChange=${(event) => change({ [name]: event.target.value })}>
      ${words.map(([value, text]) => html`<option value=${value} selected=${value === fields[name]}>${text}</option>`)}
    </select>
  <//>`;
}

/** Many lines, such as of a file. @param {FieldProps & {rows: number, placeholder?: string}} props */
export function Lines({ name, title, hint, fields, change, rows, placeholder }) {
  return html`<${Field} name=${name} title=${title} hint=${hint}>
    <textarea class="code" id=${`field-${name}`} name=${name} rows=${rows} spellcheck=${false} placeholder=${placeholder} aria-describedby=${hint ? `hint-${name}` : undefined}
      value=${fields[name]} onInput=${(event) => change({ [name]: event.target.value })}></textarea>
  <//>`;
}

/** Yes or no. @param {FieldProps} props */
export function Check({ name, title, fields, change }) {
  return html`<div class="choices"><label><input type="checkbox" name=${name} checked=${fields[name]} onChange=${(event) => change({ [name]: event.target.checked })} /> ${title}</label></div>`;
}

function Field({ name, title, hint, children }) {
  return html`<div class="field">
    <label for=${`field-${name}`}>${title}</label>
    ${children}
    ${hint && html`<small id=${`hint-${name}`}>${hint}</small>`}
  </div>`;
}
