/** Light or dark: as the system says, or as the viewer has chosen in this browser. theme.js applies it at the start. */

const KEY = "ampd-theme";
const listeners = new Set();
export const THEMES = ["system", "light", "dark"];

/** Return what is chosen: "system", "light" or "dark". */
export function chosenTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

/** Choose for this browser, in all its tabs. @param {string} theme one of THEMES */
export function chooseTheme(theme) {
  if (theme === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  apply(theme);
}

/**
 * Call `listener` whenever colours change: what is painted on a canvas does not follow by itself.
 *
 * @param {() => void} listener
 * @returns {() => void} ends that
 */
export function whenColoursChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function apply(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  tell();
}

function tell() {
  for (const listener of listeners) listener();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
addEventListener("storage", ({ key, newValue }) => {
  if (key === KEY) apply(newValue ?? "system");
});
