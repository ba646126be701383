// SPDX-License-Identifier: Apache-2.0
// spymemcached in text mode at its ordinary work; see test_clients.py for what that is.

import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.MemcachedClient;

public class WithSpymemcached {
    static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    public static void main(String[] arguments) throws Exception {
        MemcachedClient client = new MemcachedClient(
            new ConnectionFactoryBuilder().setProtocol(ConnectionFactoryBuilder.Protocol.TEXT)
                .setOpTimeout(10000).build(),
            List.of(new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]))));

        check(client.get("missing") == null, "get of a missing key");
        check(client.set("a", 0, "1").get() && client.get("a").equals("1"), "set and get");
        check(!client.add("a", 0, "2").get() && client.add("b", 0, "2").get(), "add");
        check(client.replace("a", 0, "3").get() && !client.replace("c", 0, "3").get(), "replace");
        check(client.append("a", "4").get() && client.prepend("a", "2").get(), "append and prepend");
        check(client.get("a").equals("234"), "what was appended and prepended");
        check(client.incr("a", 6) == 240 && client.decr("a", 40) == 200, "incr and decr");
        CASValue<Object> found = client.gets("b");
        check(found.getValue().equals("2"), "gets");
        check(client.cas("b", found.getCas(), "5") == CASResponse.OK, "cas");
        check(client.cas("b", found.getCas(), "6") == CASResponse.EXISTS, "cas of another");
        check(client.touch("b", 100).get(), "touch");
        check(client.getBulk("a", "none", "b").size() == 2, "get of many");
        check(client.delete("b").get() && client.get("b") == null, "delete");
        check(client.set("large", 0, new byte[10000]).get(), "set of a large value");
        check(((byte[])client.get("large")).length == 10000, "a large value");
        check(client.set("counter", 0, "0").get(), "set of the counter");
        List<String> old = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            old.add("old-" + i);
            check(client.set("old-" + i, 0, i).get(), "set of old-" + i);
        }
        System.out.println("ready");
        System.in.read(); // a node is lost
        for (int i = 0; i < 100; i++) {
            check(client.set("new-" + i, 0, i).get() && client.get("new-" + i).equals(i), "new-" + i);
            check(Integer.valueOf(i).equals(client.get("old-" + i)), "old-" + i);
            check(client.incr("counter", 1) == i + 1, "counter at " + i);
        }
        check(client.getBulk(old).size() == 100, "all the old ones");
        System.out.println("done");
        client.shutdown();
    }
}
