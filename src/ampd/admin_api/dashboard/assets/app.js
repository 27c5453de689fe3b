/** The frame around the pages: who looks, where they are, whether what they see is live. */
import { Dialogs } from "./components/dialog.js";
import { Failure } from "./components/failure.js";
import { Notices } from "./components/notices.js";
import { connectLive, disconnectLive, useLiveState } from "./core/live.js";
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./core/preact.js";
import { to, useRoute } from "./core/router.js";
import { loadSession, signOut, useSession } from "./core/session.js";

const AGAIN_MILLISECONDS = 2000;

/** The pages: each module exports `default`, a component that is given the rest of the path and the query. */
const PAGES = [
  { name: "", title: "Overview", load: () => import("./overview/overview.js") },
  { name: "jobs", title: "Jobs", load: () => import("./jobs/jobs.js"), loadOne: () => import("./jobs/job.js") },
  { name: "workers", title: "Workers", load: () => import("./workers/workers.js"), loadOne: () => import("./workers/worker.js") },
  { name: "datasets", title: "Datasets", load: () => import("./datasets/datasets.js"), loadOne: () => import("./datasets/dataset.js") },
  { name: "webhooks", title: "Webhooks", load: () => import("./webhooks/webhooks.js"), loadOne: () => import("./webhooks/webhook.js") },
  { name: "settings", title: "Settings", load: () => import("./settings/settings.js") },
];

const LIVE_WORDS = {
  live: ["●", "live"],
  connecting: ["○", "connecting"],
  away: ["⚠", "no connection to the controller; trying again"],
};

function App() {
  const session = useSession();
  const [error, fail] = useState(null);
  useEffect(() => keepAsking(fail), []);
  const isIn = session?.signed_in === true;
  useEffect(() => {
    if (!isIn) return undefined;
    connectLive();
    return disconnectLive;
  }, [isIn]);
  if (session === null) return html`<main id="content">${error ? html`<${Failure} error=${error} />` : html`<p class="loading">Loading …</p>`}</main>`;
  return html`<${Header} session=${session} /><${Content} isIn=${isIn} /><${Notices} /><${Dialogs} />`;
}

function Header({ session }) {
  const { parts } = useRoute();
  const here = parts[0] === "sign-in" ? "" : parts[0] ?? "";
  return html`
    <a class="skip" href="#content" onClick=${focusContent}>Skip to the content</a>
    <header class="top">
      <a class="brand" href=${to([])}><img src="/assets/icon.svg" alt="" width="24" height="24" /> ampd</a>
      ${session.signed_in && html`<nav aria-label="Main">
        ${PAGES.map(({ name, title }) => html`<a href=${to(name ? [name] : [])} aria-current=${name === here ? "page" : undefined}>${title}</a>`)}
      </nav>`}
      ${session.signed_in && html`<div class="who"><${LiveState} /><${Who} session=${session} /></div>`}
    </header>`;
}

function LiveState() {
  const state = useLiveState();
  const [sign, words] = LIVE_WORDS[state];
  return html`<span class=${`live ${state}`} role="status"><span aria-hidden="true">${sign}</span> ${words}</span>`;
}

function Who({ session }) {
  if (!session.needs_token) return html`<span title="There are no tokens: everybody who reaches the controller may do everything.">open to everybody</span>`;
  return html`<span>${session.actor} <small>(${session.role})</small></span> <button type="button" class="plain" onClick=${signOut}>Sign out</button>`;
}

function Content({ isIn }) {
  const { parts, query } = useRoute();
  // Who has signed in at #/sign-in asked for no page: the first one is shown.
  const [name = "", ...rest] = isIn ? (parts[0] === "sign-in" ? [] : parts) : ["sign-in"];
  const page = PAGES.find((one) => one.name === name);
  const load = isIn ? (rest.length > 0 && page?.loadOne) || page?.load : () => import("./settings/sign-in.js");
  const title = isIn ? page?.title ?? "Not found" : "Sign in";
  const main = useRef(null);
  useEffect(() => {
    document.title = [...rest.slice().reverse(), title, "ampd"].join(" · ");
  }, [title, rest.join("/")]);
  useEffect(() => {
    // Who reads by ear hears the new page from its begin; at the first page the browser does that itself.
    if (main.current.dataset.seen) main.current.focus();
    main.current.dataset.seen = "yes";
    scrollTo(0, 0);
  }, [name, rest.join("/")]);
  return html`<main id="content" tabindex="-1" ref=${main}>
    ${load ? html`<${Page} key=${`${name}/${rest.join("/")}`} load=${load} rest=${rest} query=${query} />` : html`<${NotFound} />`}
  </main>`;
}

function Page({ load, rest, query }) {
  const [component, set] = useState(null);
  const [failed, fail] = useState(null);
  const [broken] = useErrorBoundary((error) => console.error(error));
  useEffect(() => {
    load().then((module) => set({ draw: module.default }), fail);
  }, []);
  const error = broken ?? failed;
  if (error) return html`<${Failure} error=${error} title="This page is broken" retry=${() => location.reload()} />`;
  if (component === null) return html`<p class="loading" role="status">Loading …</p>`;
  return html`<${component.draw} rest=${rest} query=${query} />`;
}

function NotFound() {
  return html`<h1>Not found</h1><p>There is no such page. <a href=${to([])}>Back to the overview</a></p>`;
}

function focusContent(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}

/** Ask who is signed in until the controller answers. */
function keepAsking(fail) {
  let timer = null;
  const ask = () =>
    loadSession().then(() => fail(null), (error) => {
      fail(error);
      timer = setTimeout(ask, AGAIN_MILLISECONDS);
    });
  ask();
  return () => clearTimeout(timer);
}

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
