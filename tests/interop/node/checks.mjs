import { readFileSync } from "node:fs";
import { isDeepStrictEqual, inspect } from "node:util";

// Makes a check, and prints whether the function returns what is expected.
export async function check(name, expected, run) {
  try {
    const got = await run();
    const ok = isDeepStrictEqual(got, expected);
    report(name, ok, ok ? "" : `${inspect(got)} instead of ${inspect(expected)}`);
  } catch (error) {
    report(name, false, `${error.name}: ${error.message}`);
  }
}

// Says why a check cannot be made.
export function absent(name, reason) {
  report(name, null, reason);
}

function report(name, ok, detail) {
  console.log(JSON.stringify({ check: name, ok, detail }));
}

// How many connections this network namespace has opened: ActiveOpens of proc_pid_net(5), snmp.
export function connections() {
  const lines = readFileSync("/proc/net/snmp", "utf8").split("\n");
  return Number(lines.findLast((line) => line.startsWith("Tcp:")).split(" ")[5]);
}
