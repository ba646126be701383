/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record of the queue: a batch of events of one producer for one partition, encoded. The bytes
 * are the contract between releases (docs/protocol.md has the table); little-endian, LEB128
 * varints, closed by an XXH3 checksum (low 32 bits).
 *
 *   u8 magic 0xEC · u8 format 1 · u16 slot · u64 producer · u64 first_seq · u64 base_version ·
 *   u64 fed_us · varint count · count entries · u32 checksum of everything before it
 *   entry: u8 op_and_flags (low nibble op, high nibble flags) · u8 key_len · key ·
 *          u8 only (of a carried event) ·
 *          varint zigzag(version - base_version) · varint expiry_s · varint zigzag(fed_us -
 * written_us)
 *
 * Events of a batch are numbered first_seq, first_seq + 1, … without gaps.
 */
#ifndef EVC_QUEUE_RECORD_H
#define EVC_QUEUE_RECORD_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "queue/event.h"

enum {
    EVC_RECORD_BYTES_MAX = 64 * 1024, /* encoded; an encoder stops before it */
    EVC_RECORD_EVENTS_MAX = 1024,
};

struct evc_record_header {
    uint16_t slot;      /* the producer's worker slot, as in its versions */
    uint64_t producer;  /* identity of the producer's journal, random, never reused */
    uint64_t first_seq; /* number of the first event for this partition; numbers start at 1 */
    evc_version base_version;
    uint64_t fed_us; /* Unix microseconds when the batch was made */
    uint32_t count;
};

/** Builds one record in a buffer. Owner thread only. */
struct evc_record_writer {
    struct evc_buf body; /* entries */
    struct evc_record_header header;
};

int evc_record_writer_init(struct evc_record_writer *writer);
void evc_record_writer_finish(struct evc_record_writer *writer);

/** Starts an empty batch; first_seq is given when it is finished. */
void evc_record_writer_begin(struct evc_record_writer *writer, uint16_t slot, uint64_t producer,
                             uint64_t fed_us);

/** Adds an event. 0, or EVC_E_FULL when the batch is at its bound (event not added). */
EVC_MUST_USE int evc_record_writer_add(struct evc_record_writer *writer,
                                       const struct evc_event *event);

/** Appends the whole encoded record to out. 0, EVC_E_LIMIT or EVC_E_NOMEM. */
EVC_MUST_USE int evc_record_writer_encode(struct evc_record_writer *writer, uint64_t first_seq,
                                          struct evc_buf *out);

/** Reads a record front to back; everything it returns is a view into bytes. */
struct evc_record_reader {
    struct evc_record_header header;
    struct evc_slice rest;
    uint32_t left;
};

/** Checks magic, format, checksum and bounds. 0 or EVC_E_CORRUPT. */
EVC_MUST_USE int evc_record_reader_init(struct evc_record_reader *reader, struct evc_slice bytes);

/** The next event. 0, EVC_E_NOT_FOUND after the last, or EVC_E_CORRUPT. */
EVC_MUST_USE int evc_record_reader_next(struct evc_record_reader *reader, struct evc_event *ret);

#endif
