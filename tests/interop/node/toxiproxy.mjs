// toxiproxy-node-client 4.1.0 against the relay: `toxiproxy.mjs HOST PORT UPSTREAM`.
import assert from "node:assert/strict";
import net from "node:net";
import toxiproxyNodeClient from "toxiproxy-node-client";

const { Toxiproxy } = toxiproxyNodeClient;
const [host, port, upstream] = process.argv.slice(2);

// What comes back through a proxy, and the milliseconds that it took.
function echo(proxy) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const socket = net.connect(Number(proxy.listen.split(":").pop()), host, () => socket.write("hello"));
    socket.setTimeout(10_000, () => socket.destroy(new Error("no echo")));
    socket.on("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve([data.toString(), performance.now() - began]);
    });
  });
}

const server = new Toxiproxy(`http://${host}:${port}`);
assert.match(String(await server.getVersion()), /2\.12\.0/);
assert.ok("tcp-echo" in (await server.getAll()));
let proxy = await server.createProxy({ name: "node", listen: "0.0.0.0:0", upstream });
try {
  assert.equal((await echo(proxy))[0], "hello");
  await assert.rejects(server.createProxy({ name: "node", listen: "0.0.0.0:0", upstream }));

  const toxic = await proxy.addToxic({
    name: "slow", type: "latency", stream: "downstream", toxicity: 1,
    attributes: { latency: 300, jitter: 0 },
  });
  assert.ok((await echo(proxy))[1] >= 299);
  await toxic.update({ toxicity: 1, attributes: { latency: 400, jitter: 0 } });
  assert.equal((await proxy.getToxic("slow")).attributes.latency, 400);
  assert.ok((await echo(proxy))[1] >= 399);
  await toxic.remove();
  await assert.rejects(proxy.getToxic("slow"));
  await assert.rejects(proxy.addToxic({
    name: "x", type: "nonsense", stream: "downstream", toxicity: 1, attributes: {},
  }));

  const { listen } = proxy;
  proxy = await proxy.update({ enabled: false, listen, upstream });
  assert.equal(proxy.enabled, false);
  await assert.rejects(echo({ listen }), { code: "ECONNREFUSED" });
  await server.reset();
  proxy = await server.get("node");
  assert.equal(proxy.enabled, true);
  assert.equal((await echo(proxy))[0], "hello");
  const populated = await server.populate([{ name: "node", listen, upstream }]);
  assert.deepEqual(Object.keys(populated), ["node"]);
} finally {
  await proxy.remove();
}
await assert.rejects(server.get("node"));
console.log("ok");
