-- A Wireshark dissector for multiprocessing.connection: what object-echo and rpc speak.
--
-- To use it:  wireshark -X lua_script:wirelab.lua FILE  (or tshark), or copy it to the folder that
-- Help > About Wireshark > Folders calls "Personal Lua Plugins". docs/wireshark.md shows it.
--
-- A message is its length, a signed 32-bit big-endian integer, and as many bytes; -1 says that the
-- length follows as a 64-bit one. The first messages are the handshake: each side proves with an
-- HMAC of the other's random bytes that it knows the key. All others are pickles: programs of
-- one-byte instructions, opcodes, which build an object. (CPython: Lib/multiprocessing/connection.py
-- and Lib/pickletools.py.) Nothing of a pickle is run here: its opcodes are listed, and the object
-- is described in text. Opcodes that make whoever loads the pickle import or call something are
-- warnings, as they can do anything.
--
-- Written for Wireshark 4.0 (Lua 5.2) to 4.4 (Lua 5.4): hence no integer division, bitwise
-- operators, goto or string.unpack, which only one of the two has.

local connection = Proto("mpconn", "multiprocessing.connection")
local pickle = Proto("pickle", "Python pickle")

connection.prefs.ports = Pref.range("TCP ports", "25000,17000,25020,17020",
    "Ports of the servers: object-echo, rpc, and the same behind the relay", 65535)
connection.prefs.max_message = Pref.uint("Largest message (bytes)", 64 * 1024 * 1024,
    "A longer one is not put together: what follows in its direction is not decoded")
pickle.prefs.max_opcodes = Pref.uint("Most opcodes to list for a pickle", 1000,
    "The others are not decoded")

local fields = {
    length = ProtoField.int32("mpconn.length", "Length"),
    long_length = ProtoField.uint64("mpconn.long_length", "Long length"),
    kind = ProtoField.string("mpconn.kind", "Kind"),
    wanted = ProtoField.string("mpconn.challenge.digest", "Digest asked for"),
    random = ProtoField.bytes("mpconn.challenge.random", "Random bytes"),
    digest = ProtoField.string("mpconn.digest", "Digest"),
    hmac = ProtoField.bytes("mpconn.hmac", "HMAC"),
    answers = ProtoField.framenum("mpconn.answers", "Answers the challenge in", base.NONE,
        frametype.REQUEST),
    data = ProtoField.bytes("mpconn.data", "Data"),
}
local problems = {
    length = ProtoExpert.new("mpconn.invalid_length", "Invalid length", expert.group.MALFORMED,
        expert.severity.ERROR),
    incomplete = ProtoExpert.new("mpconn.incomplete", "Incomplete message", expert.group.UNDECODED,
        expert.severity.NOTE),
    failure = ProtoExpert.new("mpconn.failure", "Wrong key", expert.group.RESPONSE_CODE,
        expert.severity.WARN),
}
local pickle_fields = {
    opcode = ProtoField.string("pickle.opcode", "Opcode"),
    position = ProtoField.uint32("pickle.position", "Position"),
    argument = ProtoField.string("pickle.argument", "Argument"),
    object = ProtoField.string("pickle.object", "Object"),
}
local pickle_problems = {
    dangerous = ProtoExpert.new("pickle.dangerous", "Imports or calls", expert.group.SECURITY,
        expert.severity.WARN),
    malformed = ProtoExpert.new("pickle.malformed", "Malformed pickle", expert.group.MALFORMED,
        expert.severity.ERROR),
    more = ProtoExpert.new("pickle.more", "More opcodes", expert.group.UNDECODED,
        expert.severity.NOTE),
}
local function values(named)
    local list = {}
    for _, value in pairs(named) do
        list[#list + 1] = value
    end
    return list
end
connection.fields, connection.experts = values(fields), values(problems)
pickle.fields, pickle.experts = values(pickle_fields), values(pickle_problems)

---------------------------------------------------------------------------------------------------
-- Numbers and text. Everything is read from Lua strings, whose ends are checked here.

-- Big numbers are floats: lengths of 64 bits have to be compared and shown, and nothing else.
local function unsigned(bytes)
    local number = 0
    for at = #bytes, 1, -1 do
        number = number * (#bytes > 6 and 256.0 or 256) + bytes:byte(at)
    end
    return number
end

local function signed(bytes)
    local number = unsigned(bytes)
    if #bytes > 0 and bytes:byte(-1) > 127 then
        number = number - (#bytes > 6 and 256.0 or 256) ^ #bytes
    end
    return number
end

local function decimal(number)
    return ("%.0f"):format(number)
end

-- An integer in two's complement; too long for a number, it is shown in hexadecimal.
local function long(bytes)
    if #bytes <= 6 then
        return decimal(signed(bytes))
    end
    local digits = bytes:sub(1, 32):reverse():gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
    end)
    return ("0x%s%s (%d bytes%s)"):format(#bytes > 32 and "…" or "", digits, #bytes,
        bytes:byte(-1) > 127 and ", negative" or "")
end

local function float(bytes)
    local number = Struct.unpack(">d", bytes)
    for digits = 15, 17 do
        local text = ("%%.%dg"):format(digits):format(number)
        if tonumber(text) == number or number ~= number then
            return text:find("[%.einf]") and text or text .. ".0"
        end
    end
    return tostring(number)
end

local UTF8 = { -- without control characters; what is none of these is shown as \xNN
    "^[\32-\126]", "^\194[\160-\191]", "^[\195-\223][\128-\191]", "^\224[\160-\191][\128-\191]",
    "^[\225-\236\238\239][\128-\191][\128-\191]", "^\237[\128-\159][\128-\191]",
    "^\240[\144-\191][\128-\191][\128-\191]", "^[\241-\243][\128-\191][\128-\191][\128-\191]",
    "^\244[\128-\143][\128-\191][\128-\191]",
}
local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ["'"] = "\\'" }
local MAX_TEXT = 80 -- bytes of a text that are shown

local function escaped(bytes, ascii)
    local parts, at, last = {}, 1, math.min(#bytes, MAX_TEXT)
    while at <= last do
        local character = bytes:sub(at, at)
        local text = ESCAPES[character]
        for index = 1, text and 0 or (ascii and 1 or #UTF8) do
            local _, stop = bytes:find(UTF8[index], at)
            if stop then
                text = bytes:sub(at, stop)
                at = stop
                break
            end
        end
        parts[#parts + 1] = text or ("\\x%02x"):format(character:byte())
        at = at + 1
    end
    return table.concat(parts) .. (#bytes > last and "…" or "")
end

local function text(bytes)
    return "'" .. escaped(bytes) .. "'"
end

local function byte_text(bytes)
    return "b'" .. escaped(bytes, true) .. "'"
end

---------------------------------------------------------------------------------------------------
-- Arguments of opcodes: functions of the pickle and where the argument begins. They return where it
-- ends, how it is shown, and its bytes; nothing if it runs past the end of the pickle.

local function fixed(size, show)
    return function(data, at)
        if at + size - 1 <= #data then
            local bytes = data:sub(at, at + size - 1)
            return at + size, show(bytes), bytes
        end
    end
end

local function counted(size, show)
    return function(data, at)
        local count = unsigned(data:sub(at, at + size - 1))
        local first = at + size
        if first - 1 <= #data and count <= #data - first + 1 then
            local bytes = data:sub(first, first + count - 1)
            return first + #bytes, show(bytes), bytes
        end
    end
end

local function lines(count)
    return function(data, at)
        local found = {}
        for _ = 1, count do
            local newline = data:find("\n", at, true)
            if not newline then
                return
            end
            -- As it stands there: text in such a line is escaped already.
            local line = escaped(data:sub(at, newline - 1)):gsub("\\([\\'])", "%1")
            found[#found + 1] = line
            at = newline + 1
        end
        return at, table.concat(found, " ")
    end
end

local function nothing(_, at)
    return at
end

local function show_unsigned(bytes)
    return decimal(unsigned(bytes))
end

local function show_signed(bytes)
    return decimal(signed(bytes))
end

local UINT1, UINT2 = fixed(1, show_unsigned), fixed(2, show_unsigned)
local UINT4, UINT8 = fixed(4, show_unsigned), fixed(8, show_unsigned)
local INT4, FLOAT8 = fixed(4, show_signed), fixed(8, float)
local LINE, TWO_LINES = lines(1), lines(2)

---------------------------------------------------------------------------------------------------
-- What opcodes do: functions that change a machine, which has a stack and a memo of descriptions.
-- A description is a text, or a table: of items, between `open` and `close`.

local MARK = {}

local function pop(machine)
    local value = table.remove(machine.stack)
    if value == nil or value == MARK then
        machine.lost = true -- the pickle is not what it should be: there is no object to describe
        return "?"
    end
    return value
end

local function push(machine, value)
    machine.stack[#machine.stack + 1] = value
end

-- What stands above the last mark, which is removed as well.
local function pop_items(machine)
    local stack, items = machine.stack, {}
    local at = #stack
    while at > 0 and stack[at] ~= MARK do
        at = at - 1
    end
    machine.lost = machine.lost or at == 0
    for index = at + 1, #stack do
        items[#items + 1] = stack[index]
    end
    for index = #stack, math.max(at, 1), -1 do
        stack[index] = nil
    end
    return items
end

local function pop_some(count)
    return function(machine)
        local items = {}
        for at = count, 1, -1 do
            items[at] = pop(machine)
        end
        return items
    end
end

local function constant(value)
    return function(machine)
        push(machine, value)
    end
end

local function container(open, close, take, pairs_of)
    return function(machine)
        push(machine, { open = open, close = close, pairs = pairs_of, items = take(machine) })
    end
end

local function no_items()
    return {}
end

-- Adds items to the container below them.
local function fill(take)
    return function(machine)
        local items = take(machine)
        local target = pop(machine)
        if type(target) ~= "table" then
            machine.lost = true
        else
            for _, item in ipairs(items) do
                target.items[#target.items + 1] = item
            end
        end
        push(machine, target)
    end
end

-- A call: of what is named, with what is given to it.
local function call(machine)
    local arguments = pop(machine)
    local callable = pop(machine)
    if type(arguments) == "table" then
        arguments = { open = arguments.open, close = arguments.close, items = arguments.items,
            pairs = arguments.pairs, call = true }
    end
    push(machine, { open = "", close = "", joint = "", items = { callable, arguments } })
end

local function call_with_names(machine)
    local names = pop(machine)
    call(machine)
    push(machine, { open = "", close = "", joint = " with ", items = { pop(machine), names } })
end

local function unquoted(value)
    return type(value) == "string" and value:match("^'(.*)'$") or "?"
end

local function named(machine)
    local name = pop(machine)
    local module = pop(machine)
    push(machine, unquoted(module) .. "." .. unquoted(name))
end

local function set_state(machine)
    local state = pop(machine)
    local value = pop(machine)
    push(machine, { open = "", close = "", joint = " with state ", items = { value, state } })
end

local function argument_line(machine, argument)
    push(machine, (argument:gsub(" ", ".", 1)))
end

local function memoize(machine, argument)
    local index = argument or decimal(machine.memoized)
    machine.memo[index] = machine.stack[#machine.stack]
    machine.memoized = machine.memoized + 1
end

local function recall(machine, argument)
    push(machine, machine.memo[argument] or "?")
end

local function ignore() end

---------------------------------------------------------------------------------------------------
-- The opcodes: name, argument, what it says, what it does; and for those that can do anything when
-- the pickle is loaded, the warning.

local IMPORTS = "%s imports a module and takes a name from it"
local CALLS = "%s calls what the pickle names"
local OTHERS = "%s asks the program that loads the pickle for an object"

local OPCODES = {
    [0x80] = { "PROTO", UINT1, "the protocol of this pickle", ignore },
    [0x95] = { "FRAME", UINT8, "so many bytes belong together", ignore },
    [0x2E] = { "STOP", nothing, "the value on the stack is the object", ignore },

    [0x28] = { "MARK", nothing, "items begin here", constant(MARK) },
    [0x30] = { "POP", nothing, "drop the top of the stack",
        function(machine) table.remove(machine.stack) end },
    [0x31] = { "POP_MARK", nothing, "drop everything down to the last mark", pop_items },
    [0x32] = { "DUP", nothing, "push the top again",
        function(machine) push(machine, machine.stack[#machine.stack] or "?") end },

    [0x94] = { "MEMOIZE", nothing, "keep the top at the next index of the memo", memoize },
    [0x70] = { "PUT", LINE, "keep the top in the memo, at this index", memoize },
    [0x71] = { "BINPUT", UINT1, "keep the top in the memo, at this index", memoize },
    [0x72] = { "LONG_BINPUT", UINT4, "keep the top in the memo, at this index", memoize },
    [0x67] = { "GET", LINE, "push what the memo has at this index", recall },
    [0x68] = { "BINGET", UINT1, "push what the memo has at this index", recall },
    [0x6A] = { "LONG_BINGET", UINT4, "push what the memo has at this index", recall },

    [0x4E] = { "NONE", nothing, "push None", constant("None") },
    [0x88] = { "NEWTRUE", nothing, "push True", constant("True") },
    [0x89] = { "NEWFALSE", nothing, "push False", constant("False") },
    [0x49] = { "INT", LINE, "push an integer, or 00 for False and 01 for True", push },
    [0x4B] = { "BININT1", UINT1, "push an integer", push },
    [0x4D] = { "BININT2", UINT2, "push an integer", push },
    [0x4A] = { "BININT", INT4, "push an integer", push },
    [0x4C] = { "LONG", LINE, "push an integer", push },
    [0x8A] = { "LONG1", counted(1, long), "push an integer", push },
    [0x8B] = { "LONG4", counted(4, long), "push an integer", push },
    [0x46] = { "FLOAT", LINE, "push a float", push },
    [0x47] = { "BINFLOAT", FLOAT8, "push a float", push },

    [0x53] = { "STRING", LINE, "push a text of Python 2", push },
    [0x54] = { "BINSTRING", counted(4, byte_text), "push a text of Python 2", push },
    [0x55] = { "SHORT_BINSTRING", counted(1, byte_text), "push a text of Python 2", push },
    [0x56] = { "UNICODE", LINE, "push a text",
        function(machine, argument) push(machine, "'" .. argument .. "'") end },
    [0x58] = { "BINUNICODE", counted(4, text), "push a text", push },
    [0x8C] = { "SHORT_BINUNICODE", counted(1, text), "push a text", push },
    [0x8D] = { "BINUNICODE8", counted(8, text), "push a text", push },
    [0x42] = { "BINBYTES", counted(4, byte_text), "push bytes", push },
    [0x43] = { "SHORT_BINBYTES", counted(1, byte_text), "push bytes", push },
    [0x8E] = { "BINBYTES8", counted(8, byte_text), "push bytes", push },
    [0x96] = { "BYTEARRAY8", counted(8, byte_text), "push a bytearray",
        function(machine, argument) push(machine, "bytearray(" .. argument .. ")") end },
    [0x97] = { "NEXT_BUFFER", nothing, "push a buffer that is sent beside the pickle",
        constant("<buffer>") },
    [0x98] = { "READONLY_BUFFER", nothing, "make the buffer on top read-only", ignore },

    [0x29] = { "EMPTY_TUPLE", nothing, "push ()", container("(", ")", no_items) },
    [0x85] = { "TUPLE1", nothing, "a tuple of the top", container("(", ")", pop_some(1)) },
    [0x86] = { "TUPLE2", nothing, "a tuple of the two on top", container("(", ")", pop_some(2)) },
    [0x87] = { "TUPLE3", nothing, "a tuple of the three on top", container("(", ")", pop_some(3)) },
    [0x74] = { "TUPLE", nothing, "a tuple of everything above the last mark",
        container("(", ")", pop_items) },
    [0x5D] = { "EMPTY_LIST", nothing, "push []", container("[", "]", no_items) },
    [0x6C] = { "LIST", nothing, "a list of everything above the last mark",
        container("[", "]", pop_items) },
    [0x61] = { "APPEND", nothing, "append the top to the list below it", fill(pop_some(1)) },
    [0x65] = { "APPENDS", nothing, "append everything above the mark to the list below it",
        fill(pop_items) },
    [0x7D] = { "EMPTY_DICT", nothing, "push {}", container("{", "}", no_items, true) },
    [0x64] = { "DICT", nothing, "a dict of the keys and values above the last mark",
        container("{", "}", pop_items, true) },
    [0x73] = { "SETITEM", nothing, "put a key and its value into the dict below them",
        fill(pop_some(2)) },
    [0x75] = { "SETITEMS", nothing, "put the keys and values above the mark into the dict below",
        fill(pop_items) },
    [0x8F] = { "EMPTY_SET", nothing, "push an empty set", container("{", "}", no_items) },
    [0x90] = { "ADDITEMS", nothing, "add everything above the mark to the set below it",
        fill(pop_items) },
    [0x91] = { "FROZENSET", nothing, "a frozenset of everything above the last mark",
        container("frozenset({", "})", pop_items) },

    [0x63] = { "GLOBAL", TWO_LINES, "push what this module has by this name", argument_line,
        IMPORTS },
    [0x93] = { "STACK_GLOBAL", nothing, "push what the module below has by the name on top", named,
        IMPORTS },
    [0x52] = { "REDUCE", nothing, "call what is below the top, with the tuple on top", call, CALLS },
    [0x69] = { "INST", TWO_LINES, "call what is named, with everything above the last mark",
        function(machine, argument)
            local items = pop_items(machine)
            argument_line(machine, argument)
            push(machine, { open = "(", close = ")", items = items })
            call(machine)
        end, CALLS },
    [0x6F] = { "OBJ", nothing, "call what is above the last mark, with everything above that",
        function(machine)
            local items = pop_items(machine)
            push(machine, table.remove(items, 1) or "?")
            push(machine, { open = "(", close = ")", items = items })
            call(machine)
        end, CALLS },
    [0x81] = { "NEWOBJ", nothing, "make an object of the class below the top", call, CALLS },
    [0x92] = { "NEWOBJ_EX", nothing, "the same, with named arguments on top", call_with_names,
        CALLS },
    [0x62] = { "BUILD", nothing, "give the object below the top its state", set_state,
        "%s changes an object, by a method of its own if it has one" },
    [0x82] = { "EXT1", UINT1, "push what is registered by this number", push, OTHERS },
    [0x83] = { "EXT2", UINT2, "push what is registered by this number", push, OTHERS },
    [0x84] = { "EXT4", INT4, "push what is registered by this number", push, OTHERS },
    [0x50] = { "PERSID", LINE, "push what the program knows by this name", push, OTHERS },
    [0x51] = { "BINPERSID", nothing, "push what the program knows by the name on top", ignore,
        OTHERS },
}

local MAX_ITEMS, MAX_DEPTH, MAX_DESCRIBED = 12, 6, 200 -- of a description that is shown
local MAX_OBJECT = 300 -- bytes

-- A description as one line; `left` is how many more values may be put into it.
local function line(value, left, depth)
    left.values = left.values - 1
    if type(value) == "string" then
        return value
    elseif depth > MAX_DEPTH or left.values < 0 then
        return "…"
    end
    local parts = {}
    local step = value.pairs and 2 or 1
    for at = 1, #value.items, step do
        if #parts == MAX_ITEMS then
            parts[#parts + 1] = "…"
            break
        end
        local part = line(value.items[at], left, depth + 1)
        if value.pairs then
            part = part .. ": " .. line(value.items[at + 1] or "?", left, depth + 1)
        end
        parts[#parts + 1] = part
    end
    local joined = table.concat(parts, value.joint or ", ")
    if value.open == "(" and #value.items == 1 and not value.call then
        joined = joined .. "," -- as Python writes a tuple of one
    elseif value.open == "{" and #value.items == 0 and not value.pairs then
        return "set()"
    end
    return value.open .. joined .. value.close
end

-- Cuts a text where it is too long, never within a character.
local function cut(described)
    if #described <= MAX_OBJECT then
        return described
    end
    return (described:sub(1, MAX_OBJECT):gsub("[\192-\247][\128-\191]*$", "")) .. "…"
end

---------------------------------------------------------------------------------------------------
-- A pickle: its opcodes into the tree, its object into one line.

local MAX_NESTED = 3 -- pickles in pickles: a client may pickle its call, and then these bytes

local function looks_like_a_pickle(bytes)
    return bytes and #bytes > 3 and bytes:find("^\128[\2-\5]") and bytes:sub(-1) == "."
end

-- Returns what is known of a pickle: its `opcodes`, the `object` that they describe, if they do,
-- and if the pickle is malformed or longer, the `position` where, and what is `wrong`.
local function read_pickle(data, nested)
    local machine = { stack = {}, memo = {}, memoized = 0 }
    local found, at = {}, 1
    local function wrong(why, position)
        return { opcodes = found, wrong = why, position = position }
    end
    while at <= #data do
        if #found == pickle.prefs.max_opcodes then
            return { opcodes = found, position = at - 1 }
        end
        local known = OPCODES[data:byte(at)]
        if not known then
            return wrong(("there is no opcode 0x%02x"):format(data:byte(at)), at - 1)
        end
        local stop, argument, bytes = known[2](data, at + 1)
        if not stop then
            return wrong(("the argument of %s runs past the end"):format(known[1]), at - 1)
        end
        local inner
        if nested < MAX_NESTED and looks_like_a_pickle(bytes) then
            inner = read_pickle(bytes, nested + 1)
            inner.size = #bytes
        end
        found[#found + 1] = { opcode = known, at = at - 1, stop = stop - 1, argument = argument,
            inner = inner }
        if known[1] == "STOP" then
            if stop <= #data then
                return wrong(("%d bytes follow STOP"):format(#data - stop + 1), stop - 1)
            end
            local object = #machine.stack == 1 and pop(machine)
            if machine.lost or not object then
                return wrong("STOP needs exactly one value on the stack", at - 1)
            end
            return { opcodes = found, object = cut(line(object, { values = MAX_DESCRIBED }, 1)) }
        end
        known[4](machine, inner and inner.object and "pickle of " .. inner.object or argument)
        at = stop
    end
    return wrong("there is no STOP", #data)
end

-- Lists a pickle that was read from these bytes.
local function show_pickle(range, tree, read)
    local root = tree:add(pickle, range)
    root:append_text((", %d opcodes%s"):format(#read.opcodes, read.object and ": " .. read.object or ""))
    if read.object then
        root:add(pickle_fields.object, range, read.object):set_hidden()
    end
    for _, each in ipairs(read.opcodes) do
        local name, meaning, warning = each.opcode[1], each.opcode[3], each.opcode[5]
        local shown = range(each.at, each.stop - each.at)
        local item = root:add(pickle_fields.opcode, shown, name)
        local argument = each.argument and " " .. each.argument or ""
        item:set_text(("%4d: %s%s  — %s"):format(each.at, name, argument, meaning))
        item:add(pickle_fields.position, shown, each.at):set_hidden()
        if each.argument then
            item:add(pickle_fields.argument, shown, each.argument):set_hidden()
        end
        if warning then
            item:add_proto_expert_info(pickle_problems.dangerous, warning:format(name))
        end
        if each.inner then
            show_pickle(range(each.stop - each.inner.size, each.inner.size), item, each.inner)
        end
    end
    if read.wrong then
        root:add_proto_expert_info(pickle_problems.malformed,
            ("Malformed pickle: at position %d %s"):format(read.position, read.wrong))
    elseif read.position then
        root:add_proto_expert_info(pickle_problems.more,
            ("More opcodes follow from position %d on"):format(read.position))
    end
end

---------------------------------------------------------------------------------------------------
-- The connection. What has to be known of earlier messages is noted when a frame is first seen;
-- frames may be looked at again later, in any order.

local stream_field = Field.new("tcp.stream")

local challenged -- by stream and sender: the frame with a challenge that is not answered yet
local answers -- by frame and message: the frame of the challenge that it answers
local broken -- by stream and sender: the frame after which lengths are not known any more

function connection.init()
    challenged, answers, broken = {}, {}, {}
end

local function sender(pinfo)
    local stream = stream_field()
    local port = tostring(pinfo.src_port)
    return tostring(stream and stream.value) .. ":" .. port
end

local function receiver(pinfo)
    local stream = stream_field()
    return tostring(stream and stream.value) .. ":" .. tostring(pinfo.dst_port)
end

-- Returns the digest that a message names and what follows it; nothing if it names none.
local function named_digest(message)
    return message:match("^{([%w_]+)}(.*)$")
end

-- Whether this message answers the challenge of the other side: returns the frame of that.
local function answered(pinfo, message)
    local key = pinfo.number .. ":" .. message
    if not pinfo.visited and challenged[receiver(pinfo)]
        and (#message == 16 or named_digest(message)) then
        answers[key] = challenged[receiver(pinfo)]
        challenged[receiver(pinfo)] = nil
    end
    return answers[key]
end

local CHALLENGE = "#CHALLENGE#"
local MAX_HANDSHAKE = 256 -- bytes of a message

local function show_challenge(range, tree, message)
    local digest = named_digest(message:sub(#CHALLENGE + 1))
    local prefix = #CHALLENGE + (digest and #digest + 2 or 0)
    local wanted = digest or "MD5, as it names none (Python 3.11 and older)"
    tree:add(fields.wanted, range(0, prefix), wanted)
    if prefix < #message then
        tree:add(fields.random, range(prefix))
    end
    return ("challenge: %d random bytes, HMAC-%s wanted"):format(#message - prefix, digest or "MD5")
end

local function show_digest(range, tree, message, challenge)
    local digest = named_digest(message)
    local prefix = digest and #digest + 2 or 0
    tree:add(fields.digest, range(0, prefix), digest or "MD5, without its name")
    if prefix < #message then
        tree:add(fields.hmac, range(prefix))
    end
    tree:add(fields.answers, challenge):set_generated()
    return ("answer: HMAC-%s of the challenge in frame %d"):format(digest or "MD5", challenge)
end

-- Shows the content of a message: returns its kind, and a line that says what it is.
local function show_content(range, pinfo, tree)
    local message = range:raw()
    if #message <= MAX_HANDSHAKE then
        local challenge = answered(pinfo, message)
        if challenge then
            return "answer", show_digest(range, tree, message, challenge)
        elseif message:sub(1, #CHALLENGE) == CHALLENGE then
            if not pinfo.visited then
                challenged[sender(pinfo)] = pinfo.number
            end
            return "challenge", show_challenge(range, tree, message)
        elseif message == "#WELCOME#" then
            return "welcome", "welcome: the answer is right"
        elseif message == "#FAILURE#" then
            tree:add_proto_expert_info(problems.failure, "The keys are not the same")
            return "failure", "failure: the answer is wrong, the keys are not the same"
        end
    end
    local read = read_pickle(message, 1)
    if not read.wrong or message:find("^\128[\2-\5]") then
        show_pickle(range, tree, read)
        local line_of_it = read.object or (read.wrong and "malformed pickle: " .. read.wrong)
        return "pickle", line_of_it or ("a pickle of more than %d opcodes"):format(#read.opcodes)
    end
    tree:add(fields.data, range)
    return "bytes", ("%d bytes that are no pickle"):format(#message)
end

-- Returns the size of the header and of the message that begins at `offset`; nothing if more of
-- the header has to arrive.
local function sizes(tvb, offset)
    local left = tvb:len() - offset
    if left < 4 then
        return
    end
    local length = tvb(offset, 4):int()
    if length ~= -1 then
        return 4, length
    elseif left >= 12 then
        return 12, tvb(offset + 4, 8):uint64():tonumber()
    end
end

local function possible(length)
    return length and length >= 0 and length <= connection.prefs.max_message
end

-- How many bytes the message at `offset` has with its header; 0 if more has to arrive to tell.
local function message_size(tvb, _, offset)
    local header, length = sizes(tvb, offset)
    if not header then
        return 0
    end
    return possible(length) and header + length or tvb:len() - offset
end

local function show_message(tvb, pinfo, tree)
    local root = tree:add(connection, tvb())
    local header, length = sizes(tvb, 0)
    local kind, line_of_it = "incomplete", "the length is incomplete"
    if header then
        root:add(fields.length, tvb(0, 4))
        if header == 12 then
            root:add(fields.long_length, tvb(4, 8))
        end
        line_of_it = ("%s bytes announced"):format(decimal(length))
        if not possible(length) then
            local problem = length < 0 and problems.length or problems.incomplete
            local why = length < 0 and "there is none below -1" or "too many to put together"
            root:add_proto_expert_info(problem,
                ("%s bytes announced: %s. What follows is not decoded"):format(decimal(length), why))
            broken[sender(pinfo)] = math.min(broken[sender(pinfo)] or math.huge, pinfo.number)
        elseif header + length > tvb:len() then
            root:add_proto_expert_info(problems.incomplete,
                ("%d of %s bytes were captured"):format(tvb:len() - header, decimal(length)))
        elseif length == 0 then
            kind, line_of_it = "empty", "empty message"
        else
            kind, line_of_it = show_content(tvb(header, length), pinfo, root)
        end
    end
    root:add(fields.kind, kind):set_generated()
    root:append_text((", %s"):format(line_of_it))
    pinfo.cols.protocol = "MPCONN"
    -- Behind a fence, so that the next message of this frame does not replace it.
    pinfo.cols.info:set(line_of_it .. "  ")
    pinfo.cols.info:fence()
    return tvb:len()
end

function connection.dissector(tvb, pinfo, tree)
    local since = broken[sender(pinfo)]
    if since and since < pinfo.number then
        tree:add(connection, tvb()):append_text((", not decoded: see frame %d"):format(since))
        return tvb:len()
    end
    -- Of a packet that was not captured whole, all that is there is shown, and then Wireshark raises
    -- an error without a text. Others have one.
    local done, why = pcall(dissect_tcp_pdus, tvb, tree, 4, message_size, show_message)
    if not done and why then
        error(why, 0)
    end
    return tvb:len()
end

local registered = ""

local function register()
    local tcp = DissectorTable.get("tcp.port")
    if registered ~= connection.prefs.ports then
        if registered ~= "" then
            tcp:remove(registered, connection)
        end
        registered = connection.prefs.ports
        if registered ~= "" then
            tcp:add(registered, connection)
        end
    end
end

DissectorTable.get("tcp.port"):add_for_decode_as(connection)
connection.prefs_changed = register
register()
