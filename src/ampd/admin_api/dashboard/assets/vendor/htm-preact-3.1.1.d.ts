/** What of the vendored file is used, for the check of types (tests/node/dashboard.tsconfig.json). Not served. */
export function h(type: unknown, props: unknown, ...children: unknown[]): any;
export function render(what: unknown, place: Element): void;
export function createContext<T>(value: T): any;
export function useCallback<T>(act: T, needs: unknown[]): T;
export function useContext(context: unknown): any;
export function useEffect(act: () => void | (() => void), needs?: unknown[]): void;
export function useErrorBoundary(told?: (error: Error) => void): [Error | undefined, () => void];
export function useLayoutEffect(act: () => void | (() => void), needs?: unknown[]): void;
export function useMemo<T>(make: () => T, needs: unknown[]): T;
export function useRef<T>(value: T | null): { current: T | null };
export function useState<T>(value: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
