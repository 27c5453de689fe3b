/** The fields by which jobs are found. */
import { compact, number } from "../core/format.js";
import { html, useState } from "../core/preact.js";
import { go, to } from "../core/router.js";
import { criteria, isEmpty, sameStates, STATE_CHOICES, STATES, understand } from "./job-filter.js";
import { fromField, ownZone, toField } from "../core/moments.js";
import { Time } from "../components/time.js";

const KINDS = ["extraction", "http", "verification", "compaction"];
const NAMES = {
  kind: "kind",
  dataset: "dataset",
  dataset_namespace: "dataset namespace",
  worker_id: "worker",
  recurring: "with a timetable",
  from: "created from",
  to: "created before",
};

/** How many jobs are in which state; each count is a link to them. */
export function StateChoices({ filter, stats, addressOf }) {
  return html`<nav class="choices" aria-label="Jobs by state">
    ${STATE_CHOICES.map(({ name, states, counted }) => {
      const count = stats === null ? null : counted.reduce((sum, word) => sum + stats[word], 0);
      return html`<a key=${name} href=${addressOf(states)} aria-current=${sameStates(filter.state, states) ? "true" : undefined}
        title=${count === null ? undefined : number(count)}>${name} <b>${count === null ? "…" : count < 100_000 ? number(count) : compact(count)}</b></a>`;
    })}
  </nav>`;
}

/** Goes to a job, or adds to the filter. */
export function Search({ filter, show }) {
  const [refused, refuse] = useState(null);
  const submit = (event) => {
    event.preventDefault();
    const field = event.target.elements.search;
    const found = understand(field.value, filter);
    refuse(found === null ? field.value : null);
    if (found === null) return;
    field.value = "";
    if (found.id !== undefined) go(to(["jobs", found.id]));
    else show(found.change);
  };
  return html`<form class="search" role="search" onSubmit=${submit}>
    <label>Search <small>for the id of a job, a dataset (namespace/name, or …@version), or a label (key=value)</small>
      <span class="joined"><input name="search" type="search" required autocomplete="off" spellcheck=${false} aria-describedby=${refused === null ? undefined : "search-refused"} aria-invalid=${refused !== null} />
      <button type="submit">Find</button></span></label>
    ${refused !== null && html`<p class="failure" id="search-refused" role="alert">“<bdi>${refused}</bdi>” is no id, no dataset and no label. Type for example 17, ethereum/mainnet or env=prd.</p>`}
  </form>`;
}

/** All other filters; each counts as soon as it is changed. */
export function FilterFields({ filter, show }) {
  const [isOpen, open] = useState(Object.keys(criteria(filter)).length > 1);
  const changed = (name) => (event) => show({ [name]: event.target.value.trim() });
  const moment = (name) => (event) => show({ [name]: fromField(event.target.value) });
  const toggled = (state) => (event) => {
    const others = filter.state.filter((one) => one.toUpperCase() !== state);
    show({ state: event.target.checked ? [...others, state] : others });
  };
  const text = (name, title, more = {}) => html`<label key=${name}>${title}<input ...${more} value=${filter[name] ?? ""} onChange=${changed(name)} autocomplete="off" spellcheck=${false} /></label>`;
  return html`<details class="more-filters" open=${isOpen} onToggle=${(event) => open(event.target.open)}>
    <summary>More filters</summary>
    <form onSubmit=${(event) => event.preventDefault()}>
      <fieldset class="states"><legend>States <small>(none: all)</small></legend>
        ${STATES.map((state) => html`<label key=${state}><input type="checkbox" checked=${filter.state.some((one) => one.toUpperCase() === state)} onChange=${toggled(state)} /> ${state.toLowerCase().replace("_", " ")}</label>`)}
      </fieldset>
      <div class="filters">
        ${text("kind", "Kind", { list: "job-kinds", placeholder: "any" })}
        <datalist id="job-kinds">${KINDS.map((kind) => html`<option value=${kind} />`)}</datalist>
        ${text("dataset", "Dataset", { placeholder: "namespace/name" })}
        ${text("dataset_namespace", "Dataset namespace", { placeholder: "any" })}
        ${text("worker_id", "Worker", { placeholder: "any" })}
        <label>Timetable <select onChange=${changed("recurring")} value=${filter.recurring ?? ""}>
          <option value="">with or without</option><option value="true">with</option><option value="false">without</option>
        </select></label>
        <label>Created from <input type="datetime-local" value=${toField(filter.from)} onChange=${moment("from")} title=${ownZone()} /></label>
        <label>Created before <input type="datetime-local" value=${toField(filter.to)} onChange=${moment("to")} title=${ownZone()} /></label>
      </div>
    </form>
  </details>`;
}

/** What the filter consists of; each part can be taken away. */
export function FilterTokens({ filter, show }) {
  const { state, label, ...rest } = filter;
  if (isEmpty({ state: [], label, ...rest })) return null;
  const token = (key, words, change) => html`<li key=${key}><bdi>${words}</bdi>
    <button type="button" class="plain" aria-label=${`Take this filter away: ${key}`} onClick=${() => show(change)}>×</button></li>`;
  return html`<ul class="tokens" aria-label="Filters">
    ${Object.entries(rest).map(([name, value]) => token(`${NAMES[name]} ${value}`, html`${NAMES[name]}: <b>${["from", "to"].includes(name) ? html`<${Moment} at=${value} />` : value}</b>`, { [name]: undefined }))}
    ${label.map((one) => token(`label ${one}`, html`label: <b>${one}</b>`, { label: label.filter((other) => other !== one) }))}
    <li><button type="button" class="plain" onClick=${() => go(to(["jobs"]))}>Take all filters away</button></li>
  </ul>`;
}

/** A moment of the address, which may hold anything. */
function Moment({ at }) {
  return Number.isNaN(new Date(at).getTime()) ? at : html`<${Time} at=${at} />`;
}
