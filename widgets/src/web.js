// The pages of `wfkernel serve`. The server gives an empty frame (wfkernel/web/pages.py); the body's data-view says what goes into it.
// No inline style or script: the page's policy forbids both.
import { approveView } from "./web_approve.js";
import { loginView } from "./web_login.js";
import { runView } from "./web_run.js";
import { runsView } from "./web_runs.js";
import { send } from "./web_http.js";

const VIEWS = { approve: approveView, login: loginView, run: runView, runs: runsView, message: () => {} };

document.getElementById("leave")?.addEventListener("click", async () => {
  await send("/logout", {});
  location.assign("/login");
});

VIEWS[document.body.dataset.view]?.(document.getElementById("main"), document.body.dataset);
