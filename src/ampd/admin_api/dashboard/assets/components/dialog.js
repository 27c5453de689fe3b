/** Questions before something is done: native dialogs, so that the keyboard and screen readers know them. */
import { html, useEffect, useRef, useState } from "../core/preact.js";
import { Failure } from "./failure.js";

let open = (_question) => {};

/**
 * Ask whether to do `act`, and do it while the dialog shows that it is being done; a failure is shown in it.
 *
 * @param {{title: string, text?: unknown, action: string, act: (values: Record<string, string>) => Promise<unknown>,
 *   isDangerous?: boolean, fields?: unknown, preview?: (values: Record<string, string>) => Promise<unknown>}} question `fields`: inputs with names, whose
 *   values `act` is given; `preview` shows what would be done (a dry run)
 * @returns {Promise<boolean>} whether it was done
 */
export function confirm(question) {
  return new Promise((resolve) => open({ ...question, resolve }));
}

/** Draws the questions of {@link confirm}: once, at the root. */
export function Dialogs() {
  const [question, ask] = useState(null);
  open = ask;
  if (question === null) return null;
  const end = (isDone) => {
    ask(null);
    question.resolve(isDone);
  };
  return html`<${Question} question=${question} end=${end} />`;
}

function Question({ question, end }) {
  const dialog = useRef(null);
  const form = useRef(null);
  const isOver = useRef(false);
  const [state, set] = useState({ isBusy: false, error: null, preview: null });
  useEffect(() => {
    const { current } = dialog;
    const leave = () => end(false); // what was asked about is not shown any more
    current.showModal();
    addEventListener("hashchange", leave);
    return () => {
      removeEventListener("hashchange", leave);
      isOver.current = true;
      current.close(); // gives the focus back to where it was
    };
  }, []);
  const values = () => Object.fromEntries(new FormData(form.current));
  const run = async (work) => {
    set({ isBusy: true, error: null, preview: null });
    try {
      return await work(values());
    } catch (error) {
      set({ isBusy: false, error, preview: null });
      throw error;
    }
  };
  const act = (event) => {
    event.preventDefault();
    run(question.act).then(() => end(true), () => {});
  };
  const preview = () => run(question.preview).then((shown) => set({ isBusy: false, error: null, preview: shown }), () => {});
  return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${() => isOver.current || end(false)}>
    <form ref=${form} onSubmit=${act}>
      <h2 id="dialog-title">${question.title}</h2>
      <div>${question.text}</div>
      ${question.fields}
      ${state.preview !== null && html`<div class="preview" role="status">${state.preview}</div>`}
      <${Failure} error=${state.error} />
      <div class="actions">
        <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
        ${question.preview && html`<button type="button" disabled=${state.isBusy} onClick=${preview}>Show what it would do</button>`}
        <button type="submit" class=${question.isDangerous ? "danger" : "primary"} disabled=${state.isBusy}>${question.action}</button>
      </div>
    </form>
  </dialog>`;
}
