require "json"

# Makes a check, and prints whether the block returns what is expected.
def check(name, expected)
  got = yield
  ok = got == expected
  report(name, ok, ok ? "" : "#{got.inspect} instead of #{expected.inspect}")
rescue StandardError => error
  report(name, false, "#{error.class}: #{error.message}")
end

# Says why a check cannot be made.
def absent(name, reason)
  report(name, nil, reason)
end

def report(name, ok, detail)
  puts JSON.generate({ check: name, ok: ok, detail: detail })
end

# How many connections this network namespace has opened: ActiveOpens of proc_pid_net(5), snmp.
def connections
  File.readlines("/proc/net/snmp").grep(/^Tcp:/).last.split[5].to_i
end
