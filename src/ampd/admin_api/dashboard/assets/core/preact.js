/** The one place that names the vendored drawing library (vendor/vendor.json tells its version). */
export {
  html,
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
