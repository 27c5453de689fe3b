/** Who has a token signs in with it. */
import { Failure } from "../components/failure.js";
import { html, useState } from "../preact.js";
import { signIn } from "../session.js";

export default function SignIn() {
  const [state, set] = useState({ isBusy: false, error: null });
  const submit = async (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    set({ isBusy: true, error: null });
    try {
      await signIn(token);
    } catch (error) {
      set({ isBusy: false, error });
    }
  };
  return html`<section class="narrow">
    <h1>Sign in</h1>
    <p>Give a token of this cluster. On the controller's machine <code>ampd token create --role viewer</code> makes one.</p>
    <form onSubmit=${submit}>
      <label>Token <input name="token" type="password" autocomplete="current-password" required autofocus spellcheck="false" /></label>
      <${Failure} error=${state.error} title="You are not signed in" />
      <div class="actions"><button type="submit" class="primary" disabled=${state.isBusy}>Sign in</button></div>
    </form>
  </section>`;
}
