# SPDX-License-Identifier: Apache-2.0
# Perl's Cache::Memcached at its ordinary work; see test_clients.py for what that is.
use strict;
use warnings;
use Cache::Memcached;

my ($host, $port) = @ARGV;
my $client = Cache::Memcached->new({servers => ["$host:$port"], select_timeout => 10});
$| = 1;

sub check { my ($holds, $what) = @_; die "$what\n" unless $holds; }

check(!defined $client->get("missing"), "get of a missing key");
check($client->set("a", "1") && $client->get("a") eq "1", "set and get");
check(!$client->add("a", "2") && $client->add("b", "2"), "add");
check($client->replace("a", "3") && !$client->replace("c", "3"), "replace");
check($client->append("a", "4") && $client->prepend("a", "2") && $client->get("a") eq "234", "append and prepend");
check($client->incr("a", 6) == 240 && $client->decr("a", 40) == 200, "incr and decr");
check($client->set("x", {list => [1, 2]}) && $client->get("x")->{list}[1] == 2, "a structure");
my $many = $client->get_multi("b", "none", "a");
check(keys %$many == 2 && $many->{b} eq "2", "get of many");
check($client->delete("x") && !defined $client->get("x"), "delete");
check($client->set("large", "v" x 500000) && length $client->get("large") == 500000, "a large value");
check($client->set("counter", "0"), "set of the counter");
check($client->set("old-$_", $_), "set of old-$_") for 0 .. 99;
print "ready\n";
<STDIN>;    # a node is lost
for my $i (0 .. 99) {
    check($client->set("new-$i", $i) && $client->get("new-$i") == $i, "new-$i");
    my $old = $client->get("old-$i");
    check(defined $old && $old == $i, "old-$i");
    check($client->incr("counter") == $i + 1, "counter at $i");
}
check(keys %{$client->get_multi(map { "old-$_" } 0 .. 99)} == 100, "all the old ones");
print "done\n";
