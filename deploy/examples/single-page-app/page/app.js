import { Away, callApi, Refused, Session } from "./session.js";

const REFRESH_EVERY_MS = 5 * 60 * 1000;

const find = (id) => document.getElementById(id);
const issuer = document.querySelector("meta[name=issuer]").content;
const session = new Session(issuer);
let usedSince = false; // the last refresh
let asked = 0;

async function show(known) {
  find("login").hidden = known !== null;
  find("session").hidden = known === null;
  if (known === null) {
    find("notes").replaceChildren();
    return;
  }
  find("email-of-user").textContent = known.user.email;
  showTimes(known);
  await askNotes("GET");
}

function showTimes(known) {
  const time = find("idle-until");
  time.dateTime = known.idle_until;
  time.textContent = new Date(known.idle_until).toLocaleString();
}

async function askNotes(method, body) {
  const mine = ++asked;
  const notes = await callApi("/api/notes", method, body);
  if (notes === null) return gone();
  if (mine !== asked) return; // somebody was quick, and a later answer has all that is in this one
  find("notes").replaceChildren(
    ...notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
  );
}

function gone() {
  say("You are not logged in any more.");
  return show(null);
}

function say(text) {
  find("notice").textContent = text;
}

// What a person does, and the words for what may come of it.
function acting(act) {
  return async (event) => {
    event?.preventDefault();
    say("");
    try {
      await act(event?.target);
    } catch (error) {
      if (error instanceof Away) say("The service cannot be reached. Nothing has changed: try again in a moment.");
      else if (error instanceof Refused) say(`That did not work: ${error.message}.`);
      else throw error;
    }
  };
}

// Only while somebody is here: a page that refreshes by itself would keep a forgotten browser logged in for good.
const refresh = acting(async () => {
  if (!usedSince || find("session").hidden) return;
  usedSince = false;
  const known = await session.refresh();
  if (known === null) await gone();
  else showTimes(known);
});

find("issuer").href = `${issuer}/account`;
find("elsewhere").href = session.loginPage;
find("login").addEventListener("submit", acting(async (form) => {
  const known = await session.logIn(form.email.value, form.password.value);
  form.reset();
  await show(known);
}));
find("add").addEventListener("submit", acting(async (form) => {
  await askNotes("POST", { text: form.text.value });
  form.reset();
}));
find("log-out").addEventListener("click", acting(async () => {
  await session.logOut();
  await show(null);
  say("You are logged out, here and at the service.");
}));
for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => { usedSince = true; });
setInterval(refresh, REFRESH_EVERY_MS);
addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

// Somebody may have logged in or out on another page meanwhile.
const look = acting(async () => show(await session.look()));
look();
