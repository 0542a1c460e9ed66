// kv with the package xmlrpc, the one of npm's that most use.
import { promisify } from "node:util";
import xmlrpc from "xmlrpc";
import { check, connections } from "./checks.mjs";

const url = process.argv[2];
const of1999 = url.endsWith("/1999");
const kv = xmlrpc.createClient(url);
const methodCall = promisify(kv.methodCall.bind(kv));
const call = (name, ...params) => methodCall(name, params);

// Sets a value, and returns what is stored.
async function roundTrip(value) {
  await call("set", "node", value);
  return call("get", "node");
}

async function roundTrips(...values) {
  const got = [];
  for (const value of values) got.push(await roundTrip(value));
  return got;
}

// Returns the code of the fault that a call ends with.
function faultOf(name, ...params) {
  return call(name, ...params).catch((fault) => fault.faultCode);
}

await check("set", of1999 ? true : null, () => call("set", "node", "spam"));
await check("get", "spam", () => roundTrip("spam"));
await check("exists", [true, false], async () => {
  await call("set", "node", 1);
  return [await call("exists", "node"), await call("exists", "node: missing")];
});
await check("keys", true, async () => {
  await call("set", "node", 1);
  return (await call("keys")).includes("node");
});
await check("delete", [of1999 ? true : null, false], async () => {
  await call("set", "node", 1);
  return [await call("delete", "node"), await call("exists", "node")];
});
await check("compare_and_set", [true, false, 2], async () => {
  await call("set", "node", 1);
  const set = [await call("compare_and_set", "node", 1, 2), await call("compare_and_set", "node", 1, 3)];
  return [...set, await call("get", "node")];
});

await check("int", [0, 2147483647], () => roundTrips(0, 2147483647));
await check("negative int", -2147483648, () => roundTrip(-2147483648));
await check("double", [-0.1, 1, 1234567.125], () => roundTrips(-0.1, 1.0, 1234567.125));
await check("boolean", [true, false], () => roundTrips(true, false));
await check("text beyond ASCII", "Zoë 漢字", () => roundTrip("Zoë 漢字"));
await check("emoji", "🐍", () => roundTrip("🐍"));
await check("markup", `<b>&amp; "]]>'</b>`, () => roundTrip(`<b>&amp; "]]>'</b>`));
await check("line ends", "a\r\nb\rc\n", () => roundTrip("a\r\nb\rc\n"));
await check("white space", [" \t a ", ""], () => roundTrips(" \t a ", ""));
await check("dateTime", new Date(1998, 6, 17, 14, 8, 55), () => roundTrip(new Date(1998, 6, 17, 14, 8, 55)));
await check("base64", "00ff0d0a", async () => (await roundTrip(Buffer.from("00ff0d0a", "hex"))).toString("hex"));
await check("array", [1, "two", false, []], () => roundTrip([1, "two", false, []]));
await check("struct", { one: 1, "zwei ü": "2" }, () => roundTrip({ one: 1, "zwei ü": "2" }));
await check("nested", { a: [[1, [2]], { b: ["c"] }] }, () => roundTrip({ a: [[1, [2]], { b: ["c"] }] }));

await check("fault", 1, () => faultOf("get", "node: missing"));

await check("listMethods", true, async () => (await call("system.listMethods")).includes("compare_and_set"));
await check("methodHelp", true, async () => (await call("system.methodHelp", "set")).includes("name"));
await check("methodSignature", [["boolean", "string"]], () => call("system.methodSignature", "exists"));
await check("multicall", [true, "spam", 1], async () => {
  await call("set", "node", "spam");
  const [exists, value, fault] = await call("system.multicall", [
    { methodName: "exists", params: ["node"] },
    { methodName: "get", params: ["node"] },
    { methodName: "get", params: ["node: missing"] },
  ]);
  return [exists[0], value[0], fault.faultCode];
});
await check("keep-alive", 0, async () => {
  await call("exists", "node");
  const before = connections();
  for (let i = 0; i < 3; i++) await call("exists", "node");
  return connections() - before;
});
await check("nil", of1999 ? 3 : null, async () => {
  await call("set", "node", null);
  return faultOf("get", "node");
});
