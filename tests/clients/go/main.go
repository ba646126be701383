// SPDX-License-Identifier: Apache-2.0

// gomemcache at its ordinary work; see test_clients.py for what that is.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

func check(holds bool, what string, err error) {
	if !holds {
		fmt.Fprintln(os.Stderr, what, err)
		os.Exit(1)
	}
}

func set(client *memcache.Client, key, value string) {
	err := client.Set(&memcache.Item{Key: key, Value: []byte(value), Flags: 7})
	check(err == nil, "set of "+key, err)
}

func expect(client *memcache.Client, key, value string) {
	item, err := client.Get(key)
	check(err == nil && string(item.Value) == value && item.Flags == 7, "get of "+key, err)
}

func work(client *memcache.Client) {
	_, err := client.Get("missing")
	check(err == memcache.ErrCacheMiss, "get of a missing key", err)
	set(client, "a", "1")
	expect(client, "a", "1")
	err = client.Add(&memcache.Item{Key: "a", Value: []byte("2")})
	check(err == memcache.ErrNotStored, "add over another", err)
	err = client.Replace(&memcache.Item{Key: "a", Value: []byte("3"), Flags: 7})
	check(err == nil, "replace", err)
	number, err := client.Increment("a", 239)
	check(err == nil && number == 242, "incr", err)
	number, err = client.Decrement("a", 42)
	check(err == nil && number == 200, "decr", err)
	item, err := client.Get("a")
	check(err == nil, "get before cas", err)
	item.Value = []byte("5")
	err = client.CompareAndSwap(item)
	check(err == nil, "cas", err)
	err = client.CompareAndSwap(item)
	check(err == memcache.ErrCASConflict, "cas of another", err)
	err = client.Touch("a", 100)
	check(err == nil, "touch", err)
	items, err := client.GetMulti([]string{"a", "none"})
	check(err == nil && len(items) == 1, "get of many", err)
	err = client.Delete("a")
	check(err == nil, "delete", err)
	err = client.Delete("a")
	check(err == memcache.ErrCacheMiss, "delete of what is missing", err)
	set(client, "counter", "0")
}

func main() {
	client := memcache.New(os.Args[1] + ":" + os.Args[2])
	client.Timeout = 10 * time.Second
	work(client)
	old := make([]string, 100)
	for i := range old {
		old[i] = fmt.Sprintf("old-%d", i)
		set(client, old[i], strconv.Itoa(i))
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n') // a node is lost
	for i, key := range old {
		set(client, fmt.Sprintf("new-%d", i), strconv.Itoa(i))
		expect(client, fmt.Sprintf("new-%d", i), strconv.Itoa(i))
		expect(client, key, strconv.Itoa(i))
		number, err := client.Increment("counter", 1)
		check(err == nil && number == uint64(i+1), "counter", err)
	}
	items, err := client.GetMulti(old)
	check(err == nil && len(items) == 100, "all the old ones", err)
	fmt.Println("done")
}
