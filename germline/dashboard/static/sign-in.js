// The door: who has no session shows a token.
import { html, useState } from "./vendor/htm-preact.module.js";
import { ask } from "./ask.js";

export function SignIn({ wrong }) {
  const [token, setToken] = useState("");
  const [said, setSaid] = useState(wrong ? "The token of this link is wrong, or older than this dashboard." : "");
  const enter = async (event) => {
    event.preventDefault();
    try {
      await ask("/api/session", { post: { token: token.trim() } });
      const query = new URLSearchParams(location.search);
      query.delete("token");
      location.replace(location.pathname + (query.size ? `?${query}` : ""));
    } catch (error) {
      setSaid(error.status === 401 ? "This is not the token." : error.message);
    }
  };
  return html`
    <main class="alone">
      <h1>germline</h1>
      <p class="lead">This dashboard wants a token: open the link that <code>germline dashboard</code> printed, or enter the
      token that it was started with.</p>
      <form onSubmit=${enter}>
        <label for="token">Token</label>
        <input id="token" type="password" autocomplete="current-password" value=${token} onInput=${(event) => setToken(event.target.value)}
          aria-describedby="said" aria-invalid=${said ? "true" : undefined} required />
        <button type="submit" class="loud">Enter</button>
        <p id="said" role="alert" class="wrong">${said}</p>
      </form>
    </main>`;
}
