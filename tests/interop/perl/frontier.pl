# kv with Frontier::Client, the first XML-RPC library of Perl, by the authors of the specification.
use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::Bin;
use Encode;
use Frontier::Client;
use MIME::Base64;
use Checks;

my $url = shift;
my $of_1999 = $url =~ m{/1999$};
my $kv = Frontier::Client->new(url => $url, encoding => 'UTF-8');

# Sets a value, and returns what is stored.
sub round_trip {
    my ($value) = @_;
    $kv->call('set', 'frontier', $value);
    return $kv->call('get', 'frontier');
}

# Returns the code of the fault that a call ends with.
sub fault_of {
    my @call = @_;
    eval { $kv->call(@call) };
    return $@ =~ /fault code (-?\d+)/ ? $1 + 0 : "no fault: $@";
}

check('set', $of_1999 ? 1 : undef, sub {
    my $set = $kv->call('set', 'frontier', 'spam');
    return $set->value + 0;
});
check('get', 'spam', sub { round_trip('spam') });
check('exists', [1, 0], sub {
    $kv->call('set', 'frontier', 1);
    return [map { $kv->call('exists', $_)->value + 0 } 'frontier', 'frontier: missing'];
});
check('keys', 1, sub {
    $kv->call('set', 'frontier', 1);
    return scalar grep { $_ eq 'frontier' } @{$kv->call('keys')};
});
check('delete', [1, 0], sub {
    $kv->call('set', 'frontier', 1);
    return [map { $kv->call($_, 'frontier')->value + 0 } 'delete', 'exists'];
});
check('compare_and_set', [1, 0, '2'], sub {
    $kv->call('set', 'frontier', 1);
    my @set = map { $kv->call('compare_and_set', 'frontier', 1, $_)->value + 0 } 2, 3;
    return [@set, $kv->call('get', 'frontier')];
});

# Numbers come back as texts: to Perl that is one thing.
check('int', ['0', '2147483647'], sub { [map { round_trip($kv->int($_)) } 0, 2147483647] });
check('negative int', '-2147483648', sub { round_trip($kv->int(-2147483648)) });
check('double', [-0.1, 1, 1234567.125], sub { [map { round_trip($kv->double($_)) + 0 } -0.1, 1, 1234567.125] });
check('boolean', [1, 0], sub { [map { round_trip($kv->boolean($_))->value + 0 } 1, 0] });
check('text beyond ASCII', 'Zoë 漢字', sub { round_trip('Zoë 漢字') });
check('emoji', '🐍', sub { round_trip('🐍') });
check('markup', q{<b>&amp; "]]>'</b>}, sub { round_trip(q{<b>&amp; "]]>'</b>}) });
check('line ends', "a\r\nb\rc\n", sub { round_trip("a\r\nb\rc\n") });
check('white space', [" \t a ", ''], sub { [map { round_trip($_) } " \t a ", ''] });
check('dateTime', '19980717T14:08:55', sub {
    return round_trip($kv->date_time('19980717T14:08:55'))->value;
});
check('base64', 'AP8NCg==', sub {
    my $bytes = round_trip($kv->base64(encode_base64("\x00\xff\r\n", '')));
    return encode_base64(decode_base64($bytes->value), '');
});
check('array', ['1', 'two', []], sub { round_trip([1, 'two', []]) });
# It encodes texts, but not the names of members.
check('struct', {one => '1', 'zwei ü' => 'x'}, sub { round_trip({one => 1, encode_utf8('zwei ü') => 'x'}) });
check('nested', {a => [['1', ['2']], {b => ['c']}]}, sub { round_trip({a => [[1, [2]], {b => ['c']}]}) });

check('fault', 1, sub { fault_of('get', 'frontier: missing') });

check('listMethods', 1, sub { scalar grep { $_ eq 'compare_and_set' } @{$kv->call('system.listMethods')} });
check('methodHelp', 1, sub { $kv->call('system.methodHelp', 'set') =~ /name/ ? 1 : 0 });
check('methodSignature', [['boolean', 'string']], sub { $kv->call('system.methodSignature', 'exists') });
check('multicall', [1, 'spam', '1'], sub {
    $kv->call('set', 'frontier', 'spam');
    my $results = $kv->call('system.multicall', [
        {methodName => 'exists', params => ['frontier']},
        {methodName => 'get', params => ['frontier']},
        {methodName => 'get', params => ['frontier: missing']},
    ]);
    return [$results->[0][0]->value + 0, $results->[1][0], $results->[2]{faultCode}];
});
absent('keep-alive', 'Opens a connection for each call.');
absent('nil', 'Has no nil.');
