/** The one place that names the vendored drawing libraries (vendor/vendor.json tells their versions). */
import htm from "../vendor/htm-3.1.1.js";
import { h } from "../vendor/htm-preact-3.1.1.js";

/**
 * Make what a component draws. A part of a template that never changes is made anew each time: kept and drawn at several
 * places, as htm does by itself, it holds on to all elements that it was ever drawn as.
 */
export const html = htm.bind(function create(type, props, ...children) {
  this[0] = 3;
  return h(type, props, ...children);
});

export {
  render,
  createContext,
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "../vendor/htm-preact-3.1.1.js";
