<?php
// SPDX-License-Identifier: Apache-2.0
// PHP's memcached (libmemcached) at its ordinary work; see test_clients.py for what that is.

function check(bool $holds, string $what): void
{
    if (!$holds) {
        fwrite(STDERR, "$what\n");
        exit(1);
    }
}

$client = new Memcached();
$client->setOptions([Memcached::OPT_BINARY_PROTOCOL => false, Memcached::OPT_COMPRESSION => false]);
$client->addServer($argv[1], (int)$argv[2]);

check($client->get("missing") === false && $client->getResultCode() === Memcached::RES_NOTFOUND, "a missing key");
check($client->set("a", "1") && $client->get("a") === "1", "set and get");
check(!$client->add("a", "2") && $client->add("b", "2"), "add");
check($client->replace("a", "3") && !$client->replace("c", "3"), "replace");
check($client->append("a", "4") && $client->prepend("a", "2") && $client->get("a") === "234", "append and prepend");
check($client->increment("a", 6) === 240 && $client->decrement("a", 40) === 200, "increment and decrement");
$got = $client->get("b", null, Memcached::GET_EXTENDED);
check($got["value"] === "2" && $client->cas($got["cas"], "b", "5") && !$client->cas($got["cas"], "b", "6"), "cas");
check($client->setMulti(["x" => 1, "y" => [2, 3]]) && $client->getMulti(["x", "none", "y"]) === ["x" => 1, "y" => [2, 3]], "many");
check($client->touch("x", 100) && $client->delete("x") && !$client->delete("x") && $client->get("x") === false, "touch and delete");
check($client->set("large", str_repeat("v", 500000)) && strlen($client->get("large")) === 500000, "a large value");
check($client->set("counter", 0), "set of the counter");
for ($i = 0; $i < 100; $i++) {
    check($client->set("old-$i", $i), "set of old-$i");
}
echo "ready\n";
fgets(STDIN); // a node is lost
for ($i = 0; $i < 100; $i++) {
    check($client->set("new-$i", $i) && $client->get("new-$i") === $i && $client->get("old-$i") === $i, "keys at $i");
    check($client->increment("counter") === $i + 1, "counter at $i");
}
check(count($client->getMulti(array_map(fn($i) => "old-$i", range(0, 99)))) === 100, "all the old ones");
echo "done\n";
