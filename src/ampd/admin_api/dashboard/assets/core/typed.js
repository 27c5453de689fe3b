/** What is typed into forms, as the API wants it. */

/** A number; null for nothing. @param {string | null | undefined} text @returns {number | null} */
export function numberOf(text) {
  const trimmed = (text ?? "").trim();
  return trimmed === "" ? null : Number(trimmed);
}

/** A text; null for nothing. @param {string | null | undefined} text @returns {string | null} */
export function textOf(text) {
  const trimmed = (text ?? "").trim();
  return trimmed === "" ? null : trimmed;
}

/** Leave out what is null. @param {object} values */
export function given(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== undefined));
}
