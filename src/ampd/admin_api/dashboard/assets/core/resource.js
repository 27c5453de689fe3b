/** Data of the API that a page shows, kept fresh while it is shown. */
import { useChanges } from "./live.js";
import { useCallback, useEffect, useRef, useState } from "./preact.js";

const FASTEST_MILLISECONDS = 1000;
const AFTER_FAILURE_MILLISECONDS = 3000;

/**
 * Load data, again when `needs` change or when `isTouchedBy` says that a change concerns it (at most once a second, and
 * never two requests at once). What was loaded stays while it is loaded again, and when that fails.
 *
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {unknown[]} needs what `load` depends on; data of other `needs` is not shown
 * @param {(change: import("./live.js").Change) => boolean} [isTouchedBy]
 * @returns {{data: T | null, error: Error | null, isLoading: boolean, reload: () => void}}
 */
export function useResource(load, needs, isTouchedBy = () => false) {
  const key = JSON.stringify(needs);
  const [shown, show] = useState({ key: null, data: null, error: null, isLoading: true });
  const loader = useRef(null);
  loader.current ??= new Loader();
  loader.current.load = load;
  useEffect(() => {
    const { current } = loader;
    current.start((part) => show((before) => ({ ...(before.key === key ? before : EMPTY), ...part, key })));
    return () => current.stop();
  }, [key]);
  useChanges((change) => {
    if (isTouchedBy(change)) loader.current.ask();
  });
  const reload = useCallback(() => loader.current.ask(), []);
  const current = shown.key === key ? shown : EMPTY;
  return { data: current.data, error: current.error, isLoading: current.isLoading, reload };
}

/** Tell whether a change concerns the job `id`. @param {number} id */
export function touchesJob(id) {
  return (change) => change.jobs === null || change.jobs.includes(id);
}

/** Tell whether a change concerns any job. @param {import("./live.js").Change} change */
export function touchesJobs(change) {
  return change.jobs === null || change.jobs.length > 0;
}

const EMPTY = { data: null, error: null, isLoading: true };

/** Asks in turn: one request at a time, and one more when something was told meanwhile. */
class Loader {
  load = null;
  #show = null;
  #abort = null;
  #timer = null;
  #isAsked = false;
  #lastAt = -Infinity;

  start(show) {
    this.#show = show;
    this.#run();
  }

  stop() {
    this.#show = null;
    this.#isAsked = false;
    this.#abort?.abort();
    this.#abort = null;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  ask() {
    this.#isAsked = true;
    if (this.#abort === null && this.#timer === null && this.#show !== null) {
      this.#later(Math.max(0, this.#lastAt + FASTEST_MILLISECONDS - performance.now()));
    }
  }

  #later(milliseconds) {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#run();
    }, milliseconds);
  }

  async #run() {
    const abort = new AbortController();
    const show = this.#show;
    this.#abort = abort;
    this.#isAsked = false;
    this.#lastAt = performance.now();
    let failed = false;
    show({ isLoading: true });
    try {
      const data = await this.load(abort.signal);
      if (!abort.signal.aborted) show({ data, error: null, isLoading: false });
    } catch (error) {
      failed = true;
      if (!abort.signal.aborted) show({ error, isLoading: false });
      if (!abort.signal.aborted && !("status" in error)) console.error(error);
    }
    if (abort.signal.aborted) return;
    this.#abort = null;
    if (failed) this.#later(AFTER_FAILURE_MILLISECONDS);
    else if (this.#isAsked) this.ask();
  }
}
