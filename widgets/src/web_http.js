// Asking the server. What fails is told by an Error with the server's sentence, its kind and its facts.

async function answerOf(response) {
  const type = response.headers.get("content-type") ?? "";
  const body = type.startsWith("application/json") ? await response.json() : {};
  if (response.ok) return body;
  if (response.status === 401 && document.body.dataset.view !== "login") location.assign("/login");
  const said = body.error ?? {};
  throw Object.assign(new Error(said.message ?? `the server answered ${response.status}`), { kind: said.type, facts: said.facts ?? {} });
}

/** POST with what only our own page knows: a cookie alone changes nothing. `body`: a value, or JSON text. */
export async function send(path, body) {
  const headers = { "content-type": "application/json", "x-csrf-token": document.body.dataset.csrf ?? "" };
  return answerOf(await fetch(path, { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body) }));
}

export async function get(path) {
  return answerOf(await fetch(path));
}

/** As `get`, again and again: null where nothing is new. */
export function news(path) {
  let known = "";
  return async () => {
    const response = await fetch(path, { headers: known ? { "if-none-match": known } : {} });
    if (response.status === 304) return null;
    const body = await answerOf(response);
    known = response.headers.get("etag") ?? "";
    return body;
  };
}

const PAUSE = 2000; // ms
const MOST_PAUSE = 30_000;

/** Calls `look` now and then every two seconds while the page is seen, less often while it fails; `stop()` ends it. */
export function keepLooking(look, failed) {
  let timer = 0;
  let pause = PAUSE;
  let isStopped = false;
  async function once() {
    clearTimeout(timer);
    if (document.visibilityState !== "visible") return;
    try {
      await look();
      pause = PAUSE;
      failed(null);
    } catch (error) {
      pause = Math.min(MOST_PAUSE, pause * 2);
      failed(error);
    }
    if (!isStopped) timer = setTimeout(once, pause);
  }
  document.addEventListener("visibilitychange", once);
  once();
  return {
    again: once,
    stop() {
      isStopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", once);
    },
  };
}
