/** A new job that calls a URL. */
import { post } from "../core/api.js";
import { html } from "../core/preact.js";
import { go, to } from "../core/router.js";
import { confirm } from "../components/dialog.js";
import { notice } from "../components/notices.js";
import { previewed, ScheduleFields, scheduleOf } from "../schedules/dialog-fields.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/** Ask for what a new http job needs, create it, and show it. */
export async function createHttpJob() {
  let job = null;
  const isDone = await confirm({
    title: "New http job",
    text: html`<p>It calls a URL; an answer 2xx completes it. Headers and whatever needs secrets: <code>ampctl job create http</code>.</p>`,
    action: "Create job",
    fields: html`
      <div class="pair narrow-first">
        <label>Method <select name="method">${METHODS.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
        <label>URL <input name="url" type="url" required maxlength="4096" placeholder="https://example.com/reports" spellcheck=${false} /></label>
      </div>
      <label>Body <small>(JSON; not for GET and HEAD)</small><textarea name="body" rows="3" spellcheck=${false}></textarea></label>
      <div class="pair">
        <label>Tried again after a failure <small>(times)</small><input name="retries" type="number" min="0" step="1" value="0" required /></label>
        <label>Label <small>(key=value)</small><input name="label" pattern="[^=]+=.*" title="key=value" spellcheck=${false} /></label>
      </div>
      <details><summary>Timetable</summary><${ScheduleFields} /></details>`,
    preview: (values) => previewed(scheduleOf(values)),
    act: async (values) => {
      job = await post("/jobs", requestOf(values));
    },
  });
  if (!isDone) return;
  notice(`Job ${job.id} created`);
  go(to(["jobs", job.id]));
}

function requestOf(values) {
  const { method, url, body, retries, label } = values;
  const input = { method, url };
  if (body.trim()) input.body = parsed(body);
  const schedule = scheduleOf(values);
  const request = { kind: "http", input, retries: Number(retries) };
  if (label.trim()) {
    const at = label.indexOf("=");
    request.labels = { [label.slice(0, at).trim()]: label.slice(at + 1).trim() };
  }
  return Object.keys(schedule).length > 0 ? { ...request, schedule } : request;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`The body is no JSON: ${error.message}`), { code: "INVALID_BODY" });
  }
}
