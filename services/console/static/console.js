// Puts the HTML that the server renders in its place; sends forms and follows links without a new
// page. Without this script, both work as in any page.
"use strict";

const find = (id) => document.getElementById(id);
const link = find("link");
const SILENCE = 16000; // ms without an event: the servers' boxes change every 5 seconds
let source = null;
let heard = 0;

function say(state) {
  link.dataset.state = state;
  link.textContent = link.dataset[state];
}

// Whether somebody is changing a field of an element: what they do is not to be taken from them.
function isBusy(element) {
  const field = document.activeElement;
  if (!element.contains(field)) return false;
  if (field.matches("select")) return !field.selectedOptions[0]?.defaultSelected;
  return field.matches("input") && field.value !== field.defaultValue;
}

function put(html, asked) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const fresh of [...template.content.children]) {
    const old = find(fresh.id);
    if (!old || (!asked && isBusy(old))) continue;
    // A live region is only read out if it is the same one, with another text.
    if (fresh.hasAttribute("role")) {
      if (old.textContent !== fresh.textContent) old.replaceChildren(...fresh.childNodes);
      continue;
    }
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const opened = [old, ...old.querySelectorAll("details")].filter((each) => each.open);
    old.replaceWith(fresh);
    for (const each of opened) if (find(each.id)) find(each.id).open = true;
    if (focused) find(focused)?.focus({ preventScroll: true });
  }
}

async function ask(url, options) {
  find("problem").replaceChildren();
  try {
    const response = await fetch(url, { ...options, headers: { "Console-Update": "1" } });
    const html = await response.text();
    if (response.headers.get("Content-Type")?.startsWith("text/html")) put(html, true);
    else find("problem").textContent = html;
    return response.ok;
  } catch {
    say("lost");
    return false;
  }
}

addEventListener("submit", async (event) => {
  const form = event.target;
  const busy = form.getAttribute("aria-busy") === "true";
  event.preventDefault();
  if (busy) return;
  form.setAttribute("aria-busy", "true");
  const body = new URLSearchParams(new FormData(form, event.submitter));
  await ask(form.getAttribute("action"), { method: "POST", body });
  form.removeAttribute("aria-busy");
});

// A slider or a choice of something that is on takes effect when it is let go.
addEventListener("change", (event) => {
  if (event.target.matches("[data-send]")) event.target.form.requestSubmit();
});

addEventListener("input", (event) => {
  const output = event.target.form?.querySelector(`output[for="${event.target.id}"]`);
  if (output) output.textContent = `${event.target.value} ${output.dataset.unit}`;
});

addEventListener("click", async (event) => {
  const anchor = event.target.closest("a[data-update]");
  if (!anchor || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (!(await ask(anchor.href))) return;
  history.replaceState(null, "", anchor.href);
  find(anchor.hash.slice(1))?.focus();
});

function connect() {
  source?.close();
  heard = Date.now();
  source = new EventSource(document.body.dataset.events);
  source.addEventListener("begin", (event) => {
    heard = Date.now();
    if (event.data !== document.body.dataset.boot) location.reload();
    else say("live");
  });
  source.addEventListener("element", (event) => {
    heard = Date.now();
    put(event.data, false);
  });
  source.addEventListener("error", () => {
    say("lost");
    // It comes again by itself, unless the answer was not a stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

// A console that hangs closes no connection; what says so is that nothing comes.
setInterval(() => {
  if (document.hidden || link.dataset.state !== "live" || Date.now() - heard < SILENCE) return;
  say("lost");
  connect();
}, 1000);

// A browser has six connections to one server: pages that nobody sees leave them to the others.
function follow() {
  if (!document.hidden) connect();
  else source?.close();
}

document.addEventListener("visibilitychange", follow);
addEventListener("pageshow", (event) => event.persisted && follow());
follow();
