<?php
// kv with PHP's extension xmlrpc, which was part of PHP up to 7.4 and is in PECL since then.
declare(strict_types=1);

const JSON = JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION;

$url = $argv[1];
$of_1999 = str_ends_with($url, '/1999');

class Fault extends Exception {}

function report(string $name, ?bool $ok, string $detail): void
{
    echo json_encode(['check' => $name, 'ok' => $ok, 'detail' => $detail], JSON), "\n";
}

/** Makes a check, and prints whether the function returns what is expected. */
function check(string $name, mixed $expected, callable $function): void
{
    try {
        $got = $function();
        $ok = $got === $expected;
        report($name, $ok, $ok ? '' : var_export($got, true) . ' instead of ' . var_export($expected, true));
    } catch (Throwable $error) {
        report($name, false, $error::class . ': ' . $error->getMessage());
    }
}

/** Says why a check cannot be made. */
function absent(string $name, string $reason): void
{
    report($name, null, $reason);
}

/** Makes a call, and returns its result; throws a Fault with its code. */
function call(string $method, mixed ...$arguments): mixed
{
    global $url;
    $request = xmlrpc_encode_request($method, $arguments, ['encoding' => 'utf-8', 'escaping' => 'markup']);
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => 'Content-Type: text/xml',
        'content' => $request,
    ]]);
    $result = xmlrpc_decode(file_get_contents($url, false, $context), 'utf-8');
    if (is_array($result) && xmlrpc_is_fault($result)) {
        throw new Fault($result['faultString'], $result['faultCode']);
    }
    return $result;
}

/** Sets a value, and returns what is stored. */
function round_trip(mixed $value): mixed
{
    call('set', 'php', $value);
    return call('get', 'php');
}

/** Returns a value as one of the types that PHP has not: datetime or base64. */
function typed(string $value, string $type): mixed
{
    xmlrpc_set_type($value, $type);
    return $value;
}

/** Returns the code of the fault that a call ends with. */
function fault_of(string $method, mixed ...$arguments): mixed
{
    try {
        return call($method, ...$arguments);
    } catch (Fault $fault) {
        return $fault->getCode();
    }
}

check('set', $of_1999 ? true : null, fn() => call('set', 'php', 'spam'));
check('get', 'spam', fn() => round_trip('spam'));
check('exists', [true, false], function () {
    call('set', 'php', 1);
    return [call('exists', 'php'), call('exists', 'php: missing')];
});
check('keys', true, function () {
    call('set', 'php', 1);
    return in_array('php', call('keys'), true);
});
check('delete', [$of_1999 ? true : null, false], function () {
    call('set', 'php', 1);
    return [call('delete', 'php'), call('exists', 'php')];
});
check('compare_and_set', [true, false, 2], function () {
    call('set', 'php', 1);
    return [call('compare_and_set', 'php', 1, 2), call('compare_and_set', 'php', 1, 3), call('get', 'php')];
});

check('int', [0, 2147483647], fn() => array_map(round_trip(...), [0, 2147483647]));
check('negative int', -2147483648, fn() => round_trip(-2147483648));
check('double', [-0.1, 1.0, 1234567.125], fn() => array_map(round_trip(...), [-0.1, 1.0, 1234567.125]));
check('boolean', [true, false], fn() => array_map(round_trip(...), [true, false]));
check('text beyond ASCII', 'Zoë 漢字', fn() => round_trip('Zoë 漢字'));
check('emoji', '🐍', fn() => round_trip('🐍'));
check('markup', '<b>&amp; "]]>\'</b>', fn() => round_trip('<b>&amp; "]]>\'</b>'));
check('line ends', "a\r\nb\rc\n", fn() => round_trip("a\r\nb\rc\n"));
check('white space', [" \t a ", ''], fn() => array_map(round_trip(...), [" \t a ", '']));
check('dateTime', '19980717T14:08:55', fn() => round_trip(typed('19980717T14:08:55', 'datetime'))->scalar);
check('base64', bin2hex("\x00\xff\r\n"), fn() => bin2hex(round_trip(typed("\x00\xff\r\n", 'base64'))->scalar));
check('array', [1, 'two', false, []], fn() => round_trip([1, 'two', false, []]));
check('struct', ['one' => 1, 'zwei ü' => '2'], fn() => round_trip(['one' => 1, 'zwei ü' => '2']));
check('nested', ['a' => [[1, [2]], ['b' => ['c']]]], fn() => round_trip(['a' => [[1, [2]], ['b' => ['c']]]]));

check('fault', 1, fn() => fault_of('get', 'php: missing'));

check('listMethods', true, fn() => in_array('compare_and_set', call('system.listMethods'), true));
check('methodHelp', true, fn() => str_contains(call('system.methodHelp', 'set'), 'name'));
check('methodSignature', [['boolean', 'string']], fn() => call('system.methodSignature', 'exists'));
check('multicall', [true, 'spam', 1], function () {
    call('set', 'php', 'spam');
    [$exists, $value, $fault] = call('system.multicall', [
        ['methodName' => 'exists', 'params' => ['php']],
        ['methodName' => 'get', 'params' => ['php']],
        ['methodName' => 'get', 'params' => ['php: missing']],
    ]);
    return [$exists[0], $value[0], $fault['faultCode']];
});
absent('keep-alive', 'A stream of PHP is a connection.');
check('nil', $of_1999 ? 3 : null, function () {
    call('set', 'php', null);
    return fault_of('get', 'php');
});
