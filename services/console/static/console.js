// Shows what the server renders; sends forms and follows links without a new page. Without this
// script, both work as in any page.
"use strict";

const find = (id) => document.getElementById(id);
const link = find("link");
const SILENCE = 16000; // ms without an event: the servers' boxes change every 5 seconds
const OWN = ["aria-busy", "open"]; // attributes that are the page's, and not rendered
const fresh = new Map(); // elements that are to be shown, by their ids
const moved = new WeakSet(); // the <output> of each slider that was moved and is not sent
let source = null;
let heard = 0;
let followed = new AbortController(); // the request of the link that was followed last

function say(state) {
  link.dataset.state = state;
  link.textContent = link.dataset[state];
}

// Makes a node what another one is, and leaves alone what is so already. So a field keeps its
// caret and what was typed into it, which the attribute `value` does not change (HTML, 4.10.18.1).
function become(node, other) {
  if (node.nodeName !== other.nodeName || node.id !== other.id) return node.replaceWith(other);
  if (moved.has(node)) return;
  if (!node.attributes) {
    if (node.data !== other.data) node.data = other.data;
    return;
  }
  const untouched = node.type === "number" && node.value === node.defaultValue;
  const later = untouched && node === document.activeElement; // it may be selected, to type over it
  if (node.type === "number") node.onblur = later ? () => become(node, other) : null;
  for (const name of new Set([...node.getAttributeNames(), ...other.getAttributeNames()])) {
    const value = other.getAttribute(name);
    if (OWN.includes(name) || (later && name === "value")) continue;
    if (value === null) node.removeAttribute(name);
    else if (value !== node.getAttribute(name)) node.setAttribute(name, value);
  }
  const [inside, wanted] = [[...node.childNodes], [...other.childNodes]];
  wanted.forEach((each, at) => (inside[at] ? become(inside[at], each) : node.append(each)));
  inside.slice(wanted.length).forEach((each) => each.remove());
}

function put(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const each of template.content.children) {
    fresh.delete(each.id); // it goes to the end: another one may contain it
    fresh.set(each.id, each);
  }
  show();
}

function show() {
  const focused = document.activeElement.id;
  for (const [id, each] of fresh) {
    if (find(id)?.matches(":active")) continue; // a click is on one element, from press to release
    if (find(id)) become(find(id), each);
    fresh.delete(id);
  }
  if (document.activeElement.id !== focused) find(focused)?.focus({ preventScroll: true });
}

for (const end of ["pointerup", "keyup"]) addEventListener(end, () => setTimeout(show));

async function ask(url, options) {
  find("problem").replaceChildren();
  try {
    const response = await fetch(url, { ...options, headers: { "Console-Update": "1" } });
    const html = await response.text();
    if (response.headers.get("Content-Type")?.startsWith("text/html")) put(html);
    else find("problem").textContent = html;
    return response.ok;
  } catch (error) {
    if (error.name !== "AbortError") say("lost");
    return false;
  }
}

addEventListener("submit", async (event) => {
  const form = event.target;
  const fields = (button) => new URLSearchParams(new FormData(form, button));
  event.preventDefault();
  if (form.hasAttribute("aria-busy")) return;
  form.setAttribute("aria-busy", "true");
  const [body, sent] = [fields(event.submitter), String(fields())];
  const done = await ask(form.getAttribute("action"), { method: "POST", body });
  form.removeAttribute("aria-busy");
  if (!done || !find("network").contains(form)) return;
  // The fields say what the server does from now on; what was changed meanwhile is sent as well.
  if (String(fields()) === sent) {
    form.reset();
    form.querySelectorAll("output").forEach((each) => moved.delete(each));
  } else if (form.querySelector("[data-send]")) form.requestSubmit();
});

// A slider or a choice of something that is on takes effect when it is let go.
addEventListener("change", (event) => {
  if (event.target.matches("[data-send]")) event.target.form.requestSubmit();
});

addEventListener("input", (event) => {
  const output = event.target.form?.querySelector(`output[for="${event.target.id}"]`);
  if (output) output.textContent = `${event.target.value} ${output.dataset.unit}`;
  if (output) moved.add(output);
});

addEventListener("click", async (event) => {
  const anchor = event.target.closest("a[data-update]");
  if (!anchor || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  followed.abort(); // its answer could come after that of this one
  followed = new AbortController();
  if (!(await ask(anchor.href, { signal: followed.signal }))) return;
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
    put(event.data);
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
const follow = () => (document.hidden ? source?.close() : connect());

document.addEventListener("visibilitychange", follow);
addEventListener("pageshow", (event) => event.persisted && follow());
follow();
