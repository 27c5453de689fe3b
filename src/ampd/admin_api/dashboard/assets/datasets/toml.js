/** The part of TOML that provider files are made of: keys with a text, a number or true and false, and tables of such. */

const LINE = /^([A-Za-z0-9_-]+)\s*=\s*(.+)$/;
const TABLE = /^\[([A-Za-z0-9_-]+)\]$/;
const TEXT = /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/;
const LITERAL = /^'([^']*)'\s*(?:#.*)?$/;
const NUMBER = /^([+-]?\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)\s*(?:#.*)?$/;
const WORD = /^(true|false)\s*(?:#.*)?$/;

/** What cannot be read, and in which line. */
export class SettingsError extends Error {
  code = "SETTINGS_NOT_READ";
}

/**
 * Return the settings of a text.
 *
 * @param {string} text
 * @returns {Record<string, unknown>}
 * @throws {SettingsError}
 */
export function parseSettings(text) {
  const settings = {};
  let table = settings;
  text.split("\n").forEach((written, place) => {
    const line = written.trim();
    if (line === "" || line.startsWith("#")) return;
    const heading = TABLE.exec(line);
    if (heading) {
      table = {};
      put(settings, heading[1], table, place);
      return;
    }
    const parts = LINE.exec(line);
    if (parts === null) throw new SettingsError(`Line ${place + 1} is no setting: want a line such as confirmations = 12.`);
    put(table, parts[1], valueOf(parts[2].trim(), place), place);
  });
  return settings;
}

function put(table, key, value, place) {
  if (Object.hasOwn(table, key)) throw new SettingsError(`Line ${place + 1} gives ${key} again: leave one of them out.`);
  Object.defineProperty(table, key, { value, enumerable: true });
}

function valueOf(text, place) {
  const quoted = TEXT.exec(text);
  if (quoted) return unescaped(quoted[1], place);
  const literal = LITERAL.exec(text);
  if (literal) return literal[1];
  const number = NUMBER.exec(text);
  if (number) return Number(number[1].replaceAll("_", ""));
  const word = WORD.exec(text);
  if (word) return word[1] === "true";
  throw new SettingsError(`Line ${place + 1}: want a text in quotes, a number, true or false. What else a file has, ampctl provider register reads.`);
}

function unescaped(text, place) {
  try {
    return JSON.parse(`"${text}"`);
  } catch {
    throw new SettingsError(`Line ${place + 1} has a text that cannot be read: write \\\\ for a backslash, or use '…'.`);
  }
}
