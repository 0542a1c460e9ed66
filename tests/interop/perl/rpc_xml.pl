# kv with RPC::XML, the XML-RPC library of Perl that is maintained.
use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::Bin;
use MIME::Base64;
use RPC::XML;
use RPC::XML::Client;
use Checks;

$RPC::XML::ENCODING = 'utf-8';

my $url = shift;
my $of_1999 = $url =~ m{/1999$};
my $kv = RPC::XML::Client->new($url, useragent => [keep_alive => 1]);

# Makes a call, and returns its result; dies with the code of a fault.
sub call {
    my ($name, @arguments) = @_;
    my $response = $kv->send_request($name, @arguments);
    die "$response\n" if !ref $response;    # of the connection
    die $response->code . "\n" if $response->is_fault;
    return $response->value;
}

# Sets a value, and returns what is stored.
sub round_trip {
    my ($value) = @_;
    call('set', 'rpc_xml', $value);
    return call('get', 'rpc_xml');
}

# Returns the code of the fault that a call ends with.
sub fault_of {
    my @call = @_;
    eval { call(@call) };
    return $@ =~ /^(-?\d+)$/ ? $1 + 0 : "no fault: $@";
}

check('set', $of_1999 ? 1 : undef, sub { call('set', 'rpc_xml', 'spam') });
check('get', 'spam', sub { round_trip('spam') });
check('exists', [1, 0], sub {
    call('set', 'rpc_xml', 1);
    return [map { call('exists', $_) + 0 } 'rpc_xml', 'rpc_xml: missing'];
});
check('keys', 1, sub {
    call('set', 'rpc_xml', 1);
    return scalar grep { $_ eq 'rpc_xml' } @{call('keys')};
});
check('delete', [$of_1999 ? 1 : undef, 0], sub {
    call('set', 'rpc_xml', 1);
    return [call('delete', 'rpc_xml'), call('exists', 'rpc_xml') + 0];
});
check('compare_and_set', [1, 0, '2'], sub {
    call('set', 'rpc_xml', 1);
    return [(map { call('compare_and_set', 'rpc_xml', 1, $_) + 0 } 2, 3), call('get', 'rpc_xml')];
});

# Numbers come back as texts: to Perl that is one thing.
check('int', ['0', '2147483647'], sub { [map { round_trip(RPC::XML::int->new($_)) } 0, 2147483647] });
check('negative int', '-2147483648', sub { round_trip(RPC::XML::int->new(-2147483648)) });
check('double', [-0.1, 1, 1234567.125], sub { [map { round_trip(RPC::XML::double->new($_)) + 0 } -0.1, 1, 1234567.125] });
check('boolean', [1, 0], sub { [map { round_trip(RPC::XML::boolean->new($_)) + 0 } 1, 0] });
check('text beyond ASCII', 'Zoë 漢字', sub { round_trip('Zoë 漢字') });
check('emoji', '🐍', sub { round_trip('🐍') });
check('markup', q{<b>&amp; "]]>'</b>}, sub { round_trip(q{<b>&amp; "]]>'</b>}) });
check('line ends', "a\r\nb\rc\n", sub { round_trip("a\r\nb\rc\n") });
check('white space', [" \t a ", ''], sub { [map { round_trip($_) } " \t a ", ''] });
check('dateTime', '19980717T14:08:55', sub {
    return round_trip(RPC::XML::datetime_iso8601->new('19980717T14:08:55'));
});
check('base64', 'AP8NCg==', sub {
    return encode_base64(round_trip(RPC::XML::base64->new("\x00\xff\r\n")), '');
});
check('array', ['1', 'two', []], sub { round_trip([1, 'two', []]) });
check('struct', {one => '1', 'zwei ü' => 'x'}, sub { round_trip({one => 1, 'zwei ü' => 'x'}) });
check('nested', {a => [['1', ['2']], {b => ['c']}]}, sub { round_trip({a => [[1, [2]], {b => ['c']}]}) });

check('fault', 1, sub { fault_of('get', 'rpc_xml: missing') });

check('listMethods', 1, sub { scalar grep { $_ eq 'compare_and_set' } @{call('system.listMethods')} });
check('methodHelp', 1, sub { call('system.methodHelp', 'set') =~ /name/ ? 1 : 0 });
check('methodSignature', [['boolean', 'string']], sub { call('system.methodSignature', 'exists') });
check('multicall', [1, 'spam', '1'], sub {
    call('set', 'rpc_xml', 'spam');
    my $results = call('system.multicall', [
        {methodName => 'exists', params => ['rpc_xml']},
        {methodName => 'get', params => ['rpc_xml']},
        {methodName => 'get', params => ['rpc_xml: missing']},
    ]);
    return [$results->[0][0] + 0, $results->[1][0], $results->[2]{faultCode}];
});
check('keep-alive', 0, sub {
    call('exists', 'rpc_xml');
    my $before = connections();
    call('exists', 'rpc_xml') for 1 .. 3;
    return connections() - $before;
});
check('nil', $of_1999 ? 3 : undef, sub {
    local $RPC::XML::ALLOW_NIL = 1;
    call('set', 'rpc_xml', RPC::XML::nil->new);
    return $of_1999 ? fault_of('get', 'rpc_xml') : call('get', 'rpc_xml');
});
