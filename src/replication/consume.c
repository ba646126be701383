/* SPDX-License-Identifier: Apache-2.0 */
/* See consume.h. */
#include "replication/consume.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"

enum {
    CONSUME_AHEAD = 8, /* events whose places in tables are fetched before their time */
};

void
evc_consume_init(struct evc_consume *consume, struct evc_ship *ship, struct evc_repair *repair)
{
    assert((ship != NULL) != (repair != NULL));
    *consume = (struct evc_consume){.ship = ship, .repair = repair};
    evc_list_init(&consume->abandoned);
}

void
evc_consume_finish(struct evc_consume *consume)
{
    for (unsigned i = 0; i < EVC_PARTITION_MAX; i++) {
        evc_books_destroy(consume->books[i]);
        consume->books[i] = NULL;
    }
    while (consume->abandoned.next && !evc_list_is_empty(&consume->abandoned)) {
        evc_books_destroy(evc_books_of_link(consume->abandoned.next));
    }
}

void
evc_consume_remove(struct evc_consume *consume, unsigned partition)
{
    struct evc_books *books = consume->books[partition];

    assert(books);
    consume->books[partition] = NULL;
    evc_books_abandon(books, &consume->abandoned);
}

int
evc_consume_add(struct evc_consume *consume, unsigned partition, uint64_t position,
                struct evc_slice blob)
{
    struct evc_books *books = evc_books_create();
    int rc;

    assert(partition < EVC_PARTITION_MAX && !consume->books[partition]);
    if (!books) {
        return EVC_E_NOMEM;
    }
    rc = evc_books_load(books, position, blob);
    if (rc != EVC_OK) {
        evc_books_destroy(books);
        return rc;
    }
    consume->books[partition] = books;
    return EVC_OK;
}

bool
evc_consume_has_room(const struct evc_consume *consume)
{
    for (unsigned i = 0; i < EVC_PARTITION_MAX; i++) {
        if (consume->books[i] && !evc_books_has_room(consume->books[i])) {
            return false;
        }
    }
    return consume->ship ? evc_ship_has_room(consume->ship, EVC_RECORD_EVENTS_MAX)
                         : evc_repair_has_room(consume->repair, EVC_RECORD_EVENTS_MAX);
}

/**
 * Reads every event of a record: a batch must not be opened for half of one. 0 or EVC_E_CORRUPT.
 */
static int
read_events(struct evc_consume *consume, struct evc_slice bytes, struct evc_record_header *ret)
{
    struct evc_record_reader reader;
    uint32_t count = 0;
    int rc = evc_record_reader_init(&reader, bytes);

    if (rc != EVC_OK) {
        return rc;
    }
    *ret = reader.header;
    while ((rc = evc_record_reader_next(&reader, &consume->events[count])) == EVC_OK) {
        consume->hashes[count] = evc_hash_key(consume->events[count].key);
        count++;
    }
    return rc == EVC_E_NOT_FOUND ? EVC_OK : rc;
}

static void
expect_event(struct evc_consume *consume, uint32_t number)
{
    if (consume->ship) {
        evc_ship_expect(consume->ship, consume->hashes[number]);
    } else {
        evc_repair_expect(consume->repair, consume->hashes[number]);
    }
}

static void
offer_events(struct evc_consume *consume, struct evc_batch *batch, unsigned partition,
             const struct evc_record_header *header)
{
    for (uint32_t i = 0; i < header->count && i < CONSUME_AHEAD; i++) {
        expect_event(consume, i);
    }
    for (uint32_t i = 0; i < header->count; i++) {
        if (i + CONSUME_AHEAD < header->count) {
            expect_event(consume, i + CONSUME_AHEAD);
        }
        if (consume->ship) {
            evc_ship_offer(consume->ship, batch, &consume->events[i]);
        } else {
            evc_repair_offer(consume->repair, batch, &consume->events[i], partition,
                             header->fed_us);
        }
    }
}

int
evc_consume_record(struct evc_consume *consume, unsigned partition, uint64_t position,
                   struct evc_slice bytes)
{
    struct evc_books *books = consume->books[partition];
    struct evc_record_header header;
    struct evc_batch *batch;

    assert(books && evc_consume_has_room(consume));
    if (read_events(consume, bytes, &header) != EVC_OK) {
        consume->corrupt_total++;
        return EVC_E_CORRUPT;
    }
    batch = evc_books_open(books, position, &header, &consume->last_opened);
    consume->last = header;
    consume->records_total++;
    consume->events_total += header.count;
    consume->slot_conflicts_total += consume->last_opened.is_slot_conflict;
    if (batch) {
        offer_events(consume, batch, partition, &header);
    }
    return EVC_OK;
}
