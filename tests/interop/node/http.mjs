// rest and httpbin with Node.js: `fetch`, and `node:http` for what fetch leaves to it.
import { request } from "node:http";
import { check, connections } from "./checks.mjs";

const [rest, httpbin] = process.argv.slice(2);
const json = async (...args) => (await fetch(...args)).json();
const acceptJson = { Accept: "application/json" };

// Returns the status of a response and its type, without parameters.
async function outcome(...args) {
  const response = await fetch(...args);
  await response.arrayBuffer();
  return [response.status, response.headers.get("Content-Type").split(";")[0]];
}

await check("GET", "<h1>Hello Zoë!</h1>", async () => {
  const page = await (await fetch(`${rest}/hello?name=${encodeURIComponent("Zoë")}`)).text();
  return page.match(/<h1>.*<\/h1>/)[0];
});
await check("HEAD", [true, ""], async () => {
  const response = await fetch(`${rest}/hello?name=x`, { method: "HEAD" });
  return [Number(response.headers.get("Content-Length")) > 0, await response.text()];
});
await check("form", "a & b=ü", async () => {
  const body = new URLSearchParams({ name: "a & b=ü" });
  return (await json(`${rest}/hello`, { method: "POST", headers: acceptJson, body })).name;
});
await check("multipart", ["spam.txt", 5], async () => {
  const body = new FormData();
  body.append("file", new Blob(["spam\n"]), "spam.txt");
  const [file] = await json(`${rest}/files`, { method: "POST", headers: acceptJson, body });
  return [file.name, file.size];
});
await check("100-continue", ["continue", 200], () => {
  const headers = { Expect: "100-continue", "Content-Type": "application/x-www-form-urlencoded" };
  const seen = [];
  return new Promise((resolve, reject) => {
    const call = request(`${rest}/hello`, { method: "POST", headers });
    call.on("continue", () => {
      seen.push("continue");
      call.end("name=x");
    });
    call.on("response", (response) => {
      response.resume();
      resolve([...seen, response.statusCode]);
    });
    call.on("error", reject);
    call.flushHeaders();
  });
});
await check("chunked request", "x", async () => {
  const body = new Blob(["name=x"]).stream(); // of no known length
  const headers = { ...acceptJson, "Content-Type": "application/x-www-form-urlencoded" };
  return (await json(`${rest}/hello`, { method: "POST", headers, body, duplex: "half" })).name;
});
await check("keep-alive", 0, async () => {
  await outcome(`${rest}/localtime`);
  const before = connections();
  for (let i = 0; i < 3; i++) await outcome(`${rest}/localtime`);
  return connections() - before;
});

const problem = "application/problem+json";
await check("404", [404, problem], () => outcome(`${rest}/missing`));
await check("405", [405, "GET, HEAD, OPTIONS"], async () => {
  const response = await fetch(`${rest}/localtime`, { method: "DELETE" });
  return [(await response.json()).status, response.headers.get("Allow")];
});
await check("406", [406, problem], () => outcome(`${rest}/hello?name=x`, { headers: { Accept: "image/png" } }));
await check("413", [413, problem], () => {
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  return outcome(`${rest}/hello`, { method: "POST", headers, body: "x".repeat(1100000) });
});
await check("415", [415, problem], () =>
  outcome(`${rest}/hello`, { method: "POST", headers: { "Content-Type": "application/pdf" }, body: "x" }),
);
const types = ["text/html", "application/json", "application/xml", "text/csv"];
await check("Accept", types, async () => {
  const answers = types.map((type) => outcome(`${rest}/hello?name=x`, { headers: { Accept: type } }));
  return (await Promise.all(answers)).map(([, type]) => type);
});

await check("cookies", { spam: "eggs" }, async () => {
  // fetch has no cookie jar outside of browsers.
  const set = await fetch(`${httpbin}/cookies/set?spam=eggs`, { redirect: "manual" });
  const cookie = set.headers.getSetCookie()[0].split(";")[0];
  return (await json(`${httpbin}/cookies`, { headers: { Cookie: cookie } })).cookies;
});
await check("redirect", [200, true], async () => {
  const response = await fetch(`${httpbin}/redirect/3`);
  return [response.status, response.redirected];
});
await check("basic auth", true, async () => {
  const headers = { Authorization: `Basic ${btoa("user:password")}` };
  return (await json(`${httpbin}/basic-auth/user/password`, { headers })).authenticated;
});
await check("gzip", true, async () => (await json(`${httpbin}/gzip`)).gzipped);
await check("chunked response", 5, async () => {
  const lines = await (await fetch(`${httpbin}/stream/5`)).text();
  return lines.trimEnd().split("\n").length;
});
await check("large body", 500000, async () => {
  const body = "x".repeat(500000);
  return (await json(`${httpbin}/post`, { method: "POST", body })).data.length;
});
