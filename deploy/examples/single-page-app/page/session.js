// All of it that has to do with logging in: to copy.
//
// There is no token here, and none anywhere that a script could look. The browser has a cookie that no script reads,
// and sends it along where `credentials` says so. What this module keeps, in memory, is the word by which the service
// knows that a request was made by this page and by no other (`X-CSRF-Token`); it opens nothing without the cookie.

let csrfToken = "";

export class Away extends Error {
  name = "Away"; // the service cannot say; nobody is logged out by that
}

export class Refused extends Error {
  name = "Refused";
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export class Session {
  constructor(issuer) {
    this.address = `${issuer}/api/v1/session`;
    this.loginPage = `${issuer}/login?app=${encodeURIComponent(location.origin)}`;
  }

  // Whose is this browser? Null: nobody's. Asking keeps nobody logged in.
  look() {
    return this.#ask("GET", this.address);
  }

  // Somebody is here: let the session go on.
  refresh() {
    return this.#ask("POST", `${this.address}/refresh`);
  }

  // Or go to `loginPage`: there is everything that it takes to log in, and it leads back to this page.
  logIn(email, password) {
    return this.#ask("POST", this.address, { email, password });
  }

  async logOut() {
    await this.#ask("DELETE", this.address);
    csrfToken = "";
  }

  async #ask(method, address, body) {
    const answer = await send(address, { method, credentials: "include" }, body);
    if (answer.status === 204) return null;
    const told = await answer.json();
    if (answer.status === 401 && told.type === "urn:authsvc:problem:no-session") return null;
    if (!answer.ok) throw new Refused(answer.status, told.detail ?? told.title);
    csrfToken = told.csrf_token;
    return told;
  }
}

// What the API says, that stands behind a gateway on this page's own origin. Null: nobody is logged in any more.
export async function callApi(path, method = "GET", body) {
  const answer = await send(path, { method, credentials: "same-origin" }, body);
  if (answer.status === 401) return null;
  if (!answer.ok) throw new Refused(answer.status, `the API says ${answer.status}`);
  return answer.json();
}

async function send(address, request, body) {
  const headers = { "X-CSRF-Token": csrfToken };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(address, { ...request, headers, cache: "no-store", redirect: "error" });
  } catch {
    throw new Away();
  }
  if (answer.status === 429 || answer.status >= 500) throw new Away();
  return answer;
}
