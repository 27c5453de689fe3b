/** Requests to the Admin API, on which everything here stands. */

/** An answer that is no success: `code` and `message` are the API's, `status` is HTTP's (0: no answer at all). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {number | null} retryAfter seconds
   */
  constructor(status, code, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

let csrfToken = null;
let onSignedOut = (_why) => {};
let renewCsrfToken = async () => {};

/** Send `token` along with what changes something from now on. @param {string | null} token */
export function setCsrfToken(token) {
  csrfToken = token;
}

/** Call `renew` when the token is not that of the session: somebody has signed in anew in another tab. @param {() => Promise<void>} renew */
export function whenCsrfTokenIsOld(renew) {
  renewCsrfToken = renew;
}

/** Call `listener` whenever the API says that nobody is signed in, with why. @param {(why: string) => void} listener */
export function whenSignedOut(listener) {
  onSignedOut = listener;
}

/**
 * Make a request and return the JSON of its answer; null for an answer without a body.
 *
 * @param {string} method
 * @param {string} path
 * @param {{query?: object, body?: unknown, signal?: AbortSignal}} [options] `query`: what is null, undefined or "" is left
 *   out, lists are repeated
 * @throws {ApiError}
 */
export async function request(method, path, options = {}) {
  try {
    return await requestOnce(method, path, options);
  } catch (error) {
    if (error.code !== "CSRF_TOKEN_INVALID") throw error;
    await renewCsrfToken();
    return requestOnce(method, path, options);
  }
}

/** @param {string} method @param {string} path @param {{query?: object, body?: unknown, signal?: AbortSignal}} options */
async function requestOnce(method, path, { query, body, signal }) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (csrfToken !== null && method !== "GET") headers["X-CSRF-Token"] = csrfToken;
  const sent = body === undefined ? undefined : JSON.stringify(body);
  let response;
  try {
    response = await fetch(withQuery(path, query), { method, headers, body: sent, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "CONTROLLER_UNREACHABLE", "The controller does not answer. Is it running? The page asks again.");
  }
  if (!response.ok) throw await refusal(response, path);
  return readJson(response);
}

/** @param {string} path @param {object} [query] @param {AbortSignal} [signal] */
export function get(path, query, signal) {
  return request("GET", path, { query, signal });
}

/** @param {string} path @param {unknown} [body] */
export function post(path, body = {}) {
  return request("POST", path, { body });
}

/**
 * Return `path` with the parameters of `query` that have a value.
 *
 * @param {string} path
 * @param {object} [query]
 * @returns {string}
 */
export function withQuery(path, query = {}) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") pairs.append(name, String(one));
    }
  }
  const text = pairs.toString();
  return text ? `${path}?${text}` : path;
}

/** Return a path from its parts, each of them encoded: `path("jobs", 17, "stop")`. @param {...(string | number)} parts */
export function path(...parts) {
  return `/${parts.map((part) => encodeURIComponent(String(part))).join("/")}`;
}

async function readJson(response) {
  const text = await response.text();
  // Some operations, such as registering a provider, say nothing but that they are done.
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(response.status, "ANSWER_MALFORMED", `${response.url} answers something that is no JSON.`);
  }
}

async function refusal(response, path) {
  const body = await response.json().catch(() => ({}));
  const code = body.error_code ?? `HTTP_${response.status}`;
  const message = body.error_message ?? `${path} answers ${response.status} ${response.statusText}`;
  if (response.status === 401) onSignedOut(message);
  const after = Number(response.headers.get("Retry-After"));
  return new ApiError(response.status, code, message, Number.isFinite(after) && after > 0 ? after : null);
}
