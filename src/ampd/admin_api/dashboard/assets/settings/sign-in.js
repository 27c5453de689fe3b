/** Who has a token signs in with it; the page that was asked for is shown then. */
import { Failure } from "../components/failure.js";
import { html, useEffect, useRef, useState } from "../core/preact.js";
import { signIn, useSession } from "../core/session.js";

export default function SignIn() {
  const session = useSession();
  const [state, set] = useState({ isBusy: false, error: null });
  const [isShown, show] = useState(false);
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    set({ isBusy: true, error: null });
    try {
      await signIn(field.current.value.trim());
    } catch (error) {
      set({ isBusy: false, error });
      field.current.select();
    }
  };
  return html`<section class="narrow card">
    <h1>Sign in</h1>
    ${session?.ended_because && state.error === null && html`<p class="note" role="status"><strong>You were signed out.</strong> ${session.ended_because}</p>`}
    <form onSubmit=${submit}>
      <label>Token <input ref=${field} name="token" type=${isShown ? "text" : "password"} autocomplete="current-password" required spellcheck=${false}
        autocapitalize="off" aria-describedby="token-help" /></label>
      <label class="check"><input type="checkbox" checked=${isShown} onChange=${(event) => show(event.target.checked)} /> Show what is typed</label>
      <${Failure} error=${state.error} title="You are not signed in" />
      <div class="actions"><button type="submit" class="primary" disabled=${state.isBusy}>${state.isBusy ? "Signing in …" : "Sign in"}</button></div>
    </form>
    <p id="token-help" class="help"><small>Whoever runs this cluster makes tokens: <code>ampctl token create --role viewer</code>, or${" "}
      <code>ampd token create</code> on the controller's machine. The browser keeps a session in place of the token; it ends after 12 hours without use.</small></p>
  </section>`;
}
