// Coming in: by the code in the link's fragment (which no server and no log sees), else by the token.
import { send } from "./web_http.js";

export function loginView(main) {
  const form = document.getElementById("login");
  const error = form.querySelector(".error");
  async function enter(proof) {
    error.hidden = true;
    try {
      await send("/login", proof);
      location.replace("/");
    } catch (problem) {
      error.textContent = problem.message;
      error.hidden = false;
      main.querySelector("input").focus();
    }
  }
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    enter({ token: form.elements.token.value });
  });
  const code = location.hash.slice(1);
  if (code) {
    history.replaceState(null, "", "/login"); // the code stays out of the browser's history
    enter({ code });
  }
}
