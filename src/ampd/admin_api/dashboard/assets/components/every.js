/** What goes on by itself: times that pass without anything being told. */
import { useEffect, useRef } from "../core/preact.js";

/**
 * Call `act` again and again while the page is shown and looked at; at once when it is looked at again.
 *
 * @param {number} milliseconds
 * @param {() => void} act
 */
export function useEvery(milliseconds, act) {
  const newest = useRef(act);
  newest.current = act;
  useEffect(() => {
    const run = () => {
      if (document.visibilityState === "visible") newest.current();
    };
    const timer = setInterval(run, milliseconds);
    document.addEventListener("visibilitychange", run);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", run);
    };
  }, [milliseconds]);
}
