/** Who looks at the dashboard, and what they may do. */
import { ApiError, get, request, setCsrfToken, whenCsrfTokenIsOld, whenSignedOut } from "./api.js";
import { useEffect, useState } from "./preact.js";

const ROLES = ["viewer", "operator", "admin"];
const listeners = new Set();
let current = null;

// Also where nobody needed a token before: the first one has been made meanwhile.
whenSignedOut((why) => {
  if (current?.signed_in) {
    set({ ...current, signed_in: false, needs_token: true, role: null, actor: null, csrf_token: null, ended_because: why });
  }
});
whenCsrfTokenIsOld(loadSession);

/** Ask the controller who is signed in. @throws {ApiError} */
export async function loadSession() {
  set(await get("/session"));
}

/** Exchange a token for a session. @param {string} token @throws {ApiError} */
export async function signIn(token) {
  set(await request("POST", "/session", { body: { token } }));
}

/** @throws {ApiError} */
export async function signOut() {
  await request("DELETE", "/session");
  await loadSession();
}

/** Return the session (null: not known yet) and draw again when it changes. */
export function useSession() {
  const [session, change] = useState(current);
  useEffect(() => {
    listeners.add(change);
    change(current);
    return () => listeners.delete(change);
  }, []);
  return session;
}

/**
 * Tell why the viewer may not do what needs `role`; null when they may.
 *
 * @param {string} role viewer, operator or admin
 * @returns {string | null}
 */
export function whyNot(role) {
  const has = ROLES.indexOf(current?.role ?? "");
  if (has >= ROLES.indexOf(role)) return null;
  return `This needs the role ${role}; you are signed in as ${current?.role ?? "nobody"}.`;
}

/**
 * Tell why the viewer may not see or change what belongs to no namespace, such as providers and workers; null when they may.
 *
 * @returns {string | null}
 */
export function whyNotWhole() {
  const namespaces = current?.namespaces ?? null;
  if (namespaces === null) return null;
  return `This concerns the whole cluster; your token is limited to ${namespaces.join(", ")}.`;
}

function set(session) {
  current = session;
  setCsrfToken(session.csrf_token ?? null);
  for (const listener of listeners) listener(session);
}
