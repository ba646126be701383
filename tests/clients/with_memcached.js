// SPDX-License-Identifier: Apache-2.0
// Node's memcached at its ordinary work; see test_clients.py for what that is.
'use strict';

const assert = require('assert');
const readline = require('readline');
const util = require('util');
const Memcached = require('memcached');

const client = new Memcached(`${process.argv[2]}:${process.argv[3]}`, {timeout: 10000, retries: 0});
const call = (name, ...values) => util.promisify(client[name]).call(client, ...values);
const refused = (name, ...values) => call(name, ...values).then((result) => !result, () => true);

async function work() {
  assert.strictEqual(await call('get', 'missing'), undefined);
  assert(await call('set', 'a', 'text', 0));
  assert.strictEqual(await call('get', 'a'), 'text');
  assert(await refused('add', 'a', '2', 0));
  assert(await call('add', 'b', '2', 0));
  assert(await call('replace', 'a', '3', 0));
  assert(await call('append', 'a', '4'));
  assert(await call('prepend', 'a', '2'));
  assert.strictEqual(await call('get', 'a'), '234');
  assert.strictEqual(await call('incr', 'a', 6), 240);
  assert.strictEqual(await call('decr', 'a', 40), 200);
  const found = await call('gets', 'b');
  assert(await call('cas', 'b', '5', found.cas, 0));
  assert(await refused('cas', 'b', '6', found.cas, 0));
  assert(await call('touch', 'b', 100));
  assert.strictEqual((await call('getMulti', ['a', 'none', 'b'])).b, '5');
  assert(await call('del', 'b'));
  assert.strictEqual(await call('get', 'b'), undefined);
  assert(await call('set', 'large', 'v'.repeat(500000), 0));
  assert.strictEqual((await call('get', 'large')).length, 500000);
  assert(await call('set', 'counter', 0, 0));
}

async function main() {
  await work();
  const old = [...Array(100).keys()].map((i) => `old-${i}`);
  for (const [i, key] of old.entries()) {
    assert(await call('set', key, i, 0));
  }
  console.log('ready');
  const input = readline.createInterface({input: process.stdin});
  await new Promise((resolve) => input.once('line', resolve)); // a node is lost
  for (const [i, key] of old.entries()) {
    assert(await call('set', `new-${i}`, i, 0));
    assert.strictEqual(await call('get', `new-${i}`), i);
    assert.strictEqual(await call('get', key), i);
    assert.strictEqual(await call('incr', 'counter', 1), i + 1);
  }
  assert.strictEqual(Object.keys(await call('getMulti', old)).length, 100);
  console.log('done');
  input.close();
  client.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
