/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See books.h. The blob, little-endian: u64 format 1 · u64 received · u64 lost · u64 duplicate ·
 * u64 outcome × EVC_OUTCOME_MAX · u64 producers · producers × {u64 producer, u64 next, u64
 * heard_us, u64 slot}.
 */
#include "replication/books.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"

enum {
    BOOKS_BLOB_FORMAT = 1,
    BOOKS_SLOT_CONFLICT_US = 10 * 1000 * 1000,
    BOOKS_PRODUCERS_FIRST = 8,
};

struct producer {
    uint64_t id;
    uint64_t next_open;   /* the number expected next */
    uint64_t next_folded; /* the same behind the folded position: what is saved */
    uint64_t heard_us;    /* when its latest batch was fed */
    uint64_t slot;
};

struct evc_books {
    struct evc_list abandoned; /* on a list when nobody owns the books any more */
    bool is_abandoned;
    struct evc_books_totals totals;
    uint64_t position; /* everything before it is folded */
    uint64_t position_saved;
    uint64_t open_events;
    uint64_t failing_since_us;
    struct evc_list batches; /* open or waiting to be folded, in order */
    struct evc_pool pool;
    struct producer *producers;
    unsigned producer_count, producer_capacity;
    struct evc_histogram lag;
};

struct evc_books *
evc_books_create(void)
{
    struct evc_books *books = calloc(1, sizeof(*books));

    if (!books) {
        return NULL;
    }
    evc_list_init(&books->abandoned);
    evc_list_init(&books->batches);
    evc_pool_init(&books->pool, sizeof(struct evc_batch), EVC_BOOKS_BATCHES_MAX);
    evc_histogram_init(&books->lag);
    return books;
}

void
evc_books_destroy(struct evc_books *books)
{
    struct evc_list *link;

    if (!books) {
        return;
    }
    evc_list_remove(&books->abandoned);
    while ((link = evc_list_pop_front(&books->batches))) {
        evc_pool_give_back(&books->pool, EVC_CONTAINER_OF(link, struct evc_batch, link));
    }
    evc_pool_finish(&books->pool);
    free(books->producers);
    free(books);
}

struct evc_histogram *
evc_books_lag(struct evc_books *books)
{
    return &books->lag;
}

/* --- producers --- */

/** Room for one more; the longest silent is forgotten at the bound. NULL without memory. */
static struct producer *
producer_add(struct evc_books *books)
{
    struct producer *oldest = books->producers;

    if (books->producer_count < books->producer_capacity) {
        return &books->producers[books->producer_count++];
    }
    if (books->producer_capacity < EVC_BOOKS_PRODUCERS_MAX) {
        unsigned capacity =
            books->producer_capacity ? books->producer_capacity * 2 : BOOKS_PRODUCERS_FIRST;
        struct producer *grown = realloc(books->producers, capacity * sizeof(*grown));

        if (!grown) {
            return NULL;
        }
        books->producers = grown;
        books->producer_capacity = capacity;
        return &books->producers[books->producer_count++];
    }
    for (unsigned i = 1; i < books->producer_count; i++) {
        if (books->producers[i].heard_us < oldest->heard_us) {
            oldest = &books->producers[i];
        }
    }
    return oldest;
}

static struct producer *
producer_find(struct evc_books *books, uint64_t id)
{
    for (unsigned i = 0; i < books->producer_count; i++) {
        if (books->producers[i].id == id) {
            return &books->producers[i];
        }
    }
    return NULL;
}

static struct producer *
producer_find_or_add(struct evc_books *books, const struct evc_record_header *header)
{
    struct producer *producer = producer_find(books, header->producer);

    if (!producer) {
        producer = producer_add(books);
        if (producer) {
            *producer = (struct producer){
                .id = header->producer,
                .next_open = 1,
                .next_folded = 1,
                .slot = header->slot,
            };
        }
    }
    return producer;
}

static bool
is_slot_conflict(const struct evc_books *books, const struct evc_record_header *header)
{
    for (unsigned i = 0; i < books->producer_count; i++) {
        const struct producer *other = &books->producers[i];

        if (other->slot == header->slot && other->id != header->producer &&
            other->heard_us + BOOKS_SLOT_CONFLICT_US > header->fed_us) {
            return true;
        }
    }
    return false;
}

/** Compares a batch's numbers with those expected. */
static void
check_numbers(struct evc_books *books, struct evc_batch *batch,
              const struct evc_record_header *header)
{
    struct producer *producer = producer_find_or_add(books, header);
    uint64_t end = header->first_seq + header->count;

    batch->producer = header->producer;
    batch->next_seq = end;
    if (!producer) {
        return; /* out of memory: numbers of this producer go unchecked, its events do not */
    }
    if (header->first_seq > producer->next_open) {
        batch->lost = header->first_seq - producer->next_open;
    } else {
        uint64_t repeated = producer->next_open - header->first_seq;

        batch->duplicate = repeated < header->count ? repeated : header->count;
    }
    if (end > producer->next_open) {
        producer->next_open = end;
    }
    if (header->fed_us > producer->heard_us) {
        producer->heard_us = header->fed_us;
    }
}

/* --- batches --- */

bool
evc_books_has_room(const struct evc_books *books)
{
    return books->pool.in_use < EVC_BOOKS_BATCHES_MAX;
}

bool
evc_batch_is_pinned(const struct evc_batch *batch)
{
    return batch->books->pool.in_use > EVC_BOOKS_BATCHES_MAX / 2;
}

void
evc_books_forget_failing(struct evc_books *books)
{
    books->failing_since_us = 0;
}

void
evc_batch_note_failing(struct evc_batch *batch, uint64_t since_us)
{
    struct evc_books *books = batch->books;

    if (books->failing_since_us == 0 || since_us < books->failing_since_us) {
        books->failing_since_us = since_us;
    }
}

uint64_t
evc_books_failing_since_us(const struct evc_books *books)
{
    return books->failing_since_us;
}

bool
evc_batch_is_abandoned(const struct evc_batch *batch)
{
    return batch->books->is_abandoned;
}

static void
fold_one(struct evc_books *books, struct evc_batch *batch)
{
    struct producer *producer = producer_find(books, batch->producer);

    books->totals.received += batch->event_count;
    books->totals.lost += batch->lost;
    books->totals.duplicate += batch->duplicate;
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        books->totals.outcome[i] += batch->outcome[i];
    }
    books->position = batch->position + 1;
    books->open_events -= batch->event_count;
    if (producer && batch->next_seq > producer->next_folded) {
        producer->next_folded = batch->next_seq;
    }
    evc_list_remove(&batch->link);
    evc_pool_give_back(&books->pool, batch);
}

static void
fold(struct evc_books *books)
{
    while (!evc_list_is_empty(&books->batches)) {
        struct evc_batch *batch = EVC_CONTAINER_OF(books->batches.next, struct evc_batch, link);

        if (batch->open > 0) {
            return;
        }
        fold_one(books, batch);
    }
}

struct evc_batch *
evc_books_open(struct evc_books *books, uint64_t position, const struct evc_record_header *header,
               struct evc_books_opened *ret)
{
    struct evc_batch *batch = evc_pool_borrow(&books->pool);

    assert(batch && !books->is_abandoned);
    *batch = (struct evc_batch){
        .books = books,
        .position = position,
        .open = header->count,
        .event_count = header->count,
        .slot = header->slot,
    };
    ret->is_slot_conflict = is_slot_conflict(books, header);
    check_numbers(books, batch, header);
    ret->lost = batch->lost;
    ret->duplicate = batch->duplicate;
    books->open_events += header->count;
    evc_list_push_back(&books->batches, &batch->link);
    if (batch->open == 0) {
        fold(books);
        return NULL;
    }
    return batch;
}

void
evc_batch_outcome(struct evc_batch *batch, enum evc_outcome outcome)
{
    assert(batch->open > 0);
    assert((unsigned)outcome < EVC_OUTCOME_MAX);
    batch->outcome[outcome]++;
    if (--batch->open == 0) {
        struct evc_books *books = batch->books;

        fold(books);
        if (books->is_abandoned && books->open_events == 0) {
            evc_books_destroy(books);
        }
    }
}

void
evc_books_abandon(struct evc_books *books, struct evc_list *abandoned)
{
    books->is_abandoned = true;
    if (books->open_events == 0) {
        evc_books_destroy(books);
    } else {
        evc_list_push_back(abandoned, &books->abandoned);
    }
}

struct evc_books *
evc_books_of_link(struct evc_list *link)
{
    return EVC_CONTAINER_OF(link, struct evc_books, abandoned);
}

uint64_t
evc_books_position(const struct evc_books *books, bool *ret_moved)
{
    *ret_moved = books->position != books->position_saved;
    return books->position;
}

void
evc_books_totals(const struct evc_books *books, struct evc_books_totals *ret, uint64_t *ret_open)
{
    *ret = books->totals;
    *ret_open = books->open_events;
}

/* --- the blob --- */

enum {
    BLOB_HEAD_BYTES = (5 + EVC_OUTCOME_MAX) * sizeof(uint64_t),
    BLOB_PRODUCER_BYTES = 4 * sizeof(uint64_t),
};

unsigned
evc_books_producers(const struct evc_books *books)
{
    return books->producer_count;
}

size_t
evc_books_blob_bytes(const struct evc_books *books)
{
    return BLOB_HEAD_BYTES + books->producer_count * (size_t)BLOB_PRODUCER_BYTES;
}

/** The longest silent one that may be forgotten; NULL: none may. */
static struct producer *
producer_to_forget(struct evc_books *books)
{
    struct producer *oldest = NULL;
    uint64_t heard_last_us = 0;

    for (unsigned i = 0; i < books->producer_count; i++) {
        struct producer *producer = &books->producers[i];

        if (producer->heard_us > heard_last_us) {
            heard_last_us = producer->heard_us;
        }
        if (producer->next_open == producer->next_folded &&
            (!oldest || producer->heard_us < oldest->heard_us)) {
            oldest = producer;
        }
    }
    return oldest && oldest->heard_us + EVC_BOOKS_SILENT_US < heard_last_us ? oldest : NULL;
}

unsigned
evc_books_forget_producers(struct evc_books *books, size_t bytes_max)
{
    unsigned count = 0;

    while (evc_books_blob_bytes(books) > bytes_max) {
        struct producer *producer = producer_to_forget(books);

        if (!producer) {
            break;
        }
        *producer = books->producers[--books->producer_count];
        count++;
    }
    return count;
}

static int
put_u64(struct evc_buf *out, uint64_t value)
{
    uint64_t le = htole64(value);

    return evc_buf_append(out, (struct evc_slice){.ptr = (const char *)&le, .len = sizeof(le)});
}

static bool
take_u64(struct evc_slice *in, uint64_t *ret)
{
    uint64_t le;

    if (in->len < sizeof(le)) {
        return false;
    }
    memcpy(&le, in->ptr, sizeof(le));
    in->ptr += sizeof(le);
    in->len -= sizeof(le);
    *ret = le64toh(le);
    return true;
}

int
evc_books_save(struct evc_books *books, struct evc_buf *out)
{
    const struct evc_books_totals *totals = &books->totals;
    int rc = put_u64(out, BOOKS_BLOB_FORMAT);

    rc = rc ? rc : put_u64(out, totals->received);
    rc = rc ? rc : put_u64(out, totals->lost);
    rc = rc ? rc : put_u64(out, totals->duplicate);
    for (unsigned i = 0; i < EVC_OUTCOME_MAX && !rc; i++) {
        rc = put_u64(out, totals->outcome[i]);
    }
    rc = rc ? rc : put_u64(out, books->producer_count);
    for (unsigned i = 0; i < books->producer_count && !rc; i++) {
        const struct producer *producer = &books->producers[i];

        rc = put_u64(out, producer->id);
        rc = rc ? rc : put_u64(out, producer->next_folded);
        rc = rc ? rc : put_u64(out, producer->heard_us);
        rc = rc ? rc : put_u64(out, producer->slot);
    }
    if (rc == EVC_OK) {
        books->position_saved = books->position;
    }
    return rc;
}

static bool
take_totals(struct evc_slice *in, struct evc_books_totals *ret)
{
    bool is_whole =
        take_u64(in, &ret->received) && take_u64(in, &ret->lost) && take_u64(in, &ret->duplicate);

    for (unsigned i = 0; i < EVC_OUTCOME_MAX && is_whole; i++) {
        is_whole = take_u64(in, &ret->outcome[i]);
    }
    return is_whole;
}

static int
take_producers(struct evc_books *books, struct evc_slice *in)
{
    uint64_t count;

    if (!take_u64(in, &count) || count > EVC_BOOKS_PRODUCERS_MAX) {
        return EVC_E_CORRUPT;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct producer *producer = producer_add(books);

        if (!producer) {
            return EVC_E_NOMEM;
        }
        if (!take_u64(in, &producer->id) || !take_u64(in, &producer->next_folded) ||
            !take_u64(in, &producer->heard_us) || !take_u64(in, &producer->slot)) {
            return EVC_E_CORRUPT;
        }
        producer->next_open = producer->next_folded;
    }
    return in->len == 0 ? EVC_OK : EVC_E_CORRUPT;
}

int
evc_books_load(struct evc_books *books, uint64_t position, struct evc_slice blob)
{
    struct evc_books_totals totals = {0};
    uint64_t format;
    int rc;

    assert(evc_list_is_empty(&books->batches) && books->producer_count == 0);
    books->position = position;
    books->position_saved = position;
    if (blob.len == 0) {
        return EVC_OK;
    }
    if (!take_u64(&blob, &format) || format != BOOKS_BLOB_FORMAT || !take_totals(&blob, &totals)) {
        return EVC_E_CORRUPT;
    }
    rc = take_producers(books, &blob);
    if (rc == EVC_OK) {
        books->totals = totals;
    }
    return rc;
}
