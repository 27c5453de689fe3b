/** Light or dark as the viewer has chosen, before the first paint: no module, since these wait until the page is there. */
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("ampd-theme");
  } catch {
    // This browser keeps nothing for pages: the system's colours count.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
