/* SPDX-License-Identifier: Apache-2.0 */
/* See consume.h. */
#include "replication/consume.h"

#include <assert.h>
#include <string.h>

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
    assert(partition < EVC_PARTITION_MAX && !consume->books[partition]);
    consume->books[partition] = evc_books_create();
    if (!consume->books[partition]) {
        return EVC_E_NOMEM;
    }
    return evc_books_load(consume->books[partition], position, blob);
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

/** Whether every event of a record can be read: a batch must not be opened for half of one. */
static bool
is_readable(struct evc_slice bytes, struct evc_record_header *ret_header)
{
    struct evc_record_reader reader;
    struct evc_event event;
    int rc = evc_record_reader_init(&reader, bytes);

    if (rc != EVC_OK) {
        return false;
    }
    *ret_header = reader.header;
    while ((rc = evc_record_reader_next(&reader, &event)) == EVC_OK) {
    }
    return rc == EVC_E_NOT_FOUND;
}

static void
offer_events(struct evc_consume *consume, struct evc_batch *batch, unsigned partition,
             struct evc_slice bytes)
{
    struct evc_record_reader reader;
    struct evc_event event;

    if (evc_record_reader_init(&reader, bytes) != EVC_OK) {
        assert(false); /* it was readable a moment ago */
    }
    while (evc_record_reader_next(&reader, &event) == EVC_OK) {
        if (consume->ship) {
            evc_ship_offer(consume->ship, batch, &event);
        } else {
            evc_repair_offer(consume->repair, batch, &event, partition, reader.header.fed_us);
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
    if (!is_readable(bytes, &header)) {
        consume->corrupt_total++;
        return EVC_E_CORRUPT;
    }
    batch = evc_books_open(books, position, &header, &consume->last_opened);
    consume->last = header;
    consume->records_total++;
    consume->events_total += header.count;
    consume->slot_conflicts_total += consume->last_opened.is_slot_conflict;
    if (batch) {
        offer_events(consume, batch, partition, bytes);
    }
    return EVC_OK;
}
