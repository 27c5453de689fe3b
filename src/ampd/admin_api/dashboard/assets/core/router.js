/** Pages by the part of the address behind "#": they can be linked to, and the browser's history works. */
import { withQuery } from "./api.js";
import { useEffect, useState } from "./preact.js";

/**
 * @typedef {object} Route
 * @property {string[]} parts of the path, decoded: "#/jobs/17" is ["jobs", "17"]
 * @property {URLSearchParams} query
 */

/** Return the address of a page: `to(["jobs", 17], {tab: "events"})`. @param {(string|number)[]} parts @param {object} [query] */
export function to(parts, query) {
  return `#${withQuery(`/${parts.map((part) => encodeURIComponent(String(part))).join("/")}`, query)}`;
}

/** Go to a page; with `replace` the way back leaves this one out. @param {string} address @param {{replace?: boolean}} [options] */
export function go(address, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", address);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = address;
  }
}

/** Return the route that is shown, and draw again when it changes. @returns {Route} */
export function useRoute() {
  const [route, change] = useState(parse);
  useEffect(() => {
    const changed = () => change(parse());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

function parse() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { parts: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
