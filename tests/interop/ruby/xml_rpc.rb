# kv with Ruby's own library, which was part of Ruby up to 2.3 and is a gem since then.
require "xmlrpc/client"
require_relative "checks"

url = ARGV.fetch(0)
of_1999 = url.end_with?("/1999")
kv = XMLRPC::Client.new2(url)

# Sets a value, and returns what is stored.
round_trip = lambda do |value|
  kv.call("set", "ruby", value)
  kv.call("get", "ruby")
end

check("set", of_1999 ? true : nil) { kv.call("set", "ruby", "spam") }
check("get", "spam") { kv.call("set", "ruby", "spam") && kv.call("get", "ruby") }
check("exists", [true, false]) do
  kv.call("set", "ruby", 1)
  [kv.call("exists", "ruby"), kv.call("exists", "ruby: missing")]
end
check("keys", true) { kv.call("set", "ruby", 1) && kv.call("keys").include?("ruby") }
check("delete", [of_1999 ? true : nil, false]) do
  kv.call("set", "ruby", 1)
  [kv.call("delete", "ruby"), kv.call("exists", "ruby")]
end
check("compare_and_set", [true, false, 2]) do
  kv.call("set", "ruby", 1)
  [kv.call("compare_and_set", "ruby", 1, 2), kv.call("compare_and_set", "ruby", 1, 3), kv.call("get", "ruby")]
end

check("int", [0, 2_147_483_647]) { [round_trip[0], round_trip[2_147_483_647]] }
check("negative int", -2_147_483_648) { round_trip[-2_147_483_648] }
check("double", [-0.1, 1.0, 1234567.125]) { [round_trip[-0.1], round_trip[1.0], round_trip[1234567.125]] }
check("boolean", [true, false]) { [round_trip[true], round_trip[false]] }
check("text beyond ASCII", "Zoë 漢字") { round_trip["Zoë 漢字"] }
check("emoji", "🐍") { round_trip["🐍"] }
check("markup", "<b>&amp; \"]]>'</b>") { round_trip["<b>&amp; \"]]>'</b>"] }
check("line ends", "a\r\nb\rc\n") { round_trip["a\r\nb\rc\n"] }
check("white space", [" \t a ", ""]) { [round_trip[" \t a "], round_trip[""]] }
check("dateTime", [1998, 7, 17, 14, 8, 55]) { round_trip[XMLRPC::DateTime.new(1998, 7, 17, 14, 8, 55)].to_a }
check("base64", "\x00\xFF\r\n".b) { round_trip[XMLRPC::Base64.new("\x00\xFF\r\n".b)].b }
check("array", [1, "two", false, []]) { round_trip[[1, "two", false, []]] }
check("struct", { "one" => 1, "zwei ü" => "2" }) { round_trip[{ "one" => 1, "zwei ü" => "2" }] }
check("nested", { "a" => [[1, [2]], { "b" => ["c"] }] }) { round_trip[{ "a" => [[1, [2]], { "b" => ["c"] }] }] }

check("fault", 1) do
  kv.call("get", "ruby: missing")
rescue XMLRPC::FaultException => fault
  fault.faultCode
end

check("listMethods", true) { kv.call("system.listMethods").include?("compare_and_set") }
check("methodHelp", true) { kv.call("system.methodHelp", "set").include?("name") }
check("methodSignature", [%w[boolean string]]) { kv.call("system.methodSignature", "exists") }
check("multicall", [true, "spam", 1]) do
  kv.call("set", "ruby", "spam")
  exists, value, fault = kv.multicall(%w[exists ruby], %w[get ruby], ["get", "ruby: missing"])
  [exists, value, fault.faultCode]
end
check("keep-alive", 0) do
  kv.call("exists", "ruby")
  before = connections
  3.times { kv.call("exists", "ruby") }
  connections - before
end

# Last, since it is for the whole program.
check("nil", of_1999 ? 3 : nil) do
  $VERBOSE = nil
  XMLRPC::Config.const_set(:ENABLE_NIL_CREATE, true)
  XMLRPC::Config.const_set(:ENABLE_NIL_PARSER, true)
  round_trip[nil]
rescue XMLRPC::FaultException => fault
  fault.faultCode
end
