package Checks;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP;

our @EXPORT = qw(check absent connections);
my $text = JSON::PP->new->canonical->allow_nonref->allow_blessed;
my $json = JSON::PP->new->canonical->utf8;

$| = 1;

# Makes a check, and prints whether the function returns what is expected.
sub check {
    my ($name, $expected, $function) = @_;
    my $got = eval { $function->() };
    return report($name, JSON::PP::false, "$@") if $@;
    my ($is, $should) = map { $text->encode($_) } $got, $expected;
    my $ok = $is eq $should;
    report($name, $ok ? JSON::PP::true : JSON::PP::false, $ok ? '' : "$is instead of $should");
}

# Says why a check cannot be made.
sub absent {
    my ($name, $reason) = @_;
    report($name, undef, $reason);
}

sub report {
    my ($name, $ok, $detail) = @_;
    print $json->encode({check => $name, ok => $ok, detail => $detail}), "\n";
}

# How many connections this network namespace has opened: ActiveOpens of proc_pid_net(5), snmp.
sub connections {
    open my $file, '<', '/proc/net/snmp' or die "/proc/net/snmp: $!";
    my @lines = grep { /^Tcp:/ } <$file>;
    return (split ' ', $lines[-1])[5] + 0;
}

1;
