/** What changes in the cluster, told by one stream of server-sent events per page. */
import { get } from "./api.js";
import { useEffect, useRef, useState } from "./preact.js";

/**
 * @typedef {object} Change
 * @property {number[] | null} jobs ids of the jobs that changed; null: too many to be named
 * @property {boolean} workers
 * @property {boolean} tables
 * @property {boolean} webhooks
 */

/** Everything may have changed: said after a time in which nothing was heard. @type {Change} */
export const EVERYTHING = { jobs: null, workers: true, tables: true, webhooks: true };

const AGAIN_MILLISECONDS = 2000;
const changeListeners = new Set();
const stateListeners = new Set();
let source = null;
let again = null;
let state = "connecting";

/** Begin to listen; does nothing when that was done before. */
export function connectLive() {
  if (source !== null) return;
  clearTimeout(again);
  source = new EventSource("/live");
  source.addEventListener("hello", () => {
    setState("live");
    tell(EVERYTHING);
  });
  source.addEventListener("changed", (event) => tell(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    setState("away");
    // The browser gives up by itself after an answer such as 401 or 503: it is asked again, slowly.
    if (source?.readyState === EventSource.CLOSED) {
      source = null;
      again = setTimeout(connectLive, AGAIN_MILLISECONDS);
      // An event source does not tell why it was refused. When the session has ended, this request does, and the page
      // asks to sign in; other failures are what "away" says already.
      get("/jobs", { limit: 1 }).catch(() => {});
    }
  });
}

/** Listen no more. */
export function disconnectLive() {
  clearTimeout(again);
  source?.close();
  source = null;
  setState("connecting");
}

/**
 * Call `listener` with each change. @param {(change: Change) => void} listener
 */
export function useChanges(listener) {
  const newest = useRef(listener);
  newest.current = listener;
  useEffect(() => {
    const passOn = (change) => newest.current(change);
    changeListeners.add(passOn);
    return () => changeListeners.delete(passOn);
  }, []);
}

/** Return "live", "connecting" or "away", and draw again when it changes. */
export function useLiveState() {
  const [shown, change] = useState(state);
  useEffect(() => {
    stateListeners.add(change);
    change(state);
    return () => stateListeners.delete(change);
  }, []);
  return shown;
}

function tell(change) {
  for (const listener of changeListeners) listener(change);
}

function setState(next) {
  state = next;
  for (const listener of stateListeners) listener(next);
}
