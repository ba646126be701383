/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libevcache: a region's cache from within a C or C++ program, without a proxy in between.
 *
 * A handle reads the cache's configuration file, connects to every node of every zone of its region
 * and writes to the replication queue through a journal of its own, by the same code as a proxy:
 * what it stores reaches every zone at once and the other regions through the relay. It has one
 * background thread that does all of that; the functions here only hand it requests and take
 * replies. The library installs no signal handler, changes no signal's disposition and writes
 * nothing to standard output or error.
 *
 *     evcache *cache;
 *     evcache_error error;
 *     if (evcache_open("/etc/evcache/movies.yaml", "virginia", NULL, &cache, &error) != EVCACHE_OK)
 *         fprintf(stderr, "%s\n", error.text);
 *     evcache_set(cache, &(evcache_request){.key = evcache_str("user:1"),
 *                                           .value = evcache_str("Ada"), .ttl_s = 300}, NULL);
 *     evcache_close(cache);
 *
 * Threads: every function may be called from any thread, several at once, except where its
 * description says otherwise. A handle does not survive fork: open it in the process that uses it.
 *
 * Order: calls that wait for each other are in order; calls about one key that are on their way at
 * the same time may take effect in either order, but in the same one in every zone and region.
 */
#ifndef EVCACHE_EVCACHE_H
#define EVCACHE_EVCACHE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EVCACHE_API __attribute__((visibility("default")))
#define EVCACHE_MUST_USE __attribute__((warn_unused_result))

enum {
    EVCACHE_KEY_LEN_MAX = 250,  /* bytes; 186 where it has blanks, line ends or NULs */
    EVCACHE_ZONES_MAX = 8,      /* zones of a region */
    EVCACHE_CALLS_MAX = 65536,  /* of a handle, not answered yet */
    EVCACHE_CLIENT_SLOTS = 192, /* handles of a region that may be open at once */
    EVCACHE_ERROR_TEXT_BYTES = 512,
};

/**
 * How a call ended. 0 and above: the cache has answered. Below 0: it has not, or not as asked; each
 * says whether the write may have had effect.
 */
enum evcache_status {
    EVCACHE_OK = 0,         /* found, stored, deleted, touched, counted */
    EVCACHE_NOT_FOUND = 1,  /* get, cas, delete, touch, incr, decr: there is no such item */
    EVCACHE_NOT_STORED = 2, /* add: it is there; replace, append, prepend: it is not, or would grow
                               too long */
    EVCACHE_EXISTS = 3,     /* with a version: the item has another one by now */
    EVCACHE_NOT_A_NUMBER = 4, /* incr, decr: what is there is no decimal number */

    EVCACHE_E_INVALID = -1,     /* an argument is not allowed; no effect */
    EVCACHE_E_TOO_LARGE = -2,   /* the value is longer than values.max; no effect */
    EVCACHE_E_CONFIG = -3,      /* the configuration is wrong; the error says where */
    EVCACHE_E_SYSTEM = -4,      /* a system call failed; the error says which */
    EVCACHE_E_NO_MEMORY = -5,   /* no effect, except for a get: nothing is known */
    EVCACHE_E_BUSY = -6,        /* a bound is reached, or somebody has it; no effect, try again */
    EVCACHE_E_CLOSED = -7,      /* the handle is closing; no effect */
    EVCACHE_E_TIMEOUT = -8,     /* no answer in time; a write may have had effect, or have it yet */
    EVCACHE_E_UNAVAILABLE = -9, /* no zone could be asked; no effect */
    EVCACHE_E_PARTIAL = -10,    /* fewer zones than asked for have it or will; it is repaired */
    EVCACHE_E_REJECTED = -11,   /* the nodes answered with an error: evcache_reply_error */
};

/** What has to be read when something cannot be opened. */
typedef struct evcache_error {
    int status;                          /* enum evcache_status */
    char text[EVCACHE_ERROR_TEXT_BYTES]; /* one line: what is wrong, where, what to do */
} evcache_error;

/** A view of bytes that belong to somebody else; not NUL-terminated. */
typedef struct evcache_bytes {
    const void *ptr;
    size_t len;
} evcache_bytes;

/** An open cache. */
typedef struct evcache evcache;

/** The answer to one call; whoever gets one frees it with evcache_reply_free. */
typedef struct evcache_reply evcache_reply;

/** Where the answers to asynchronous calls arrive. */
typedef struct evcache_inbox evcache_inbox;

/** The bytes of a C string without its NUL. */
static inline evcache_bytes
evcache_str(const char *text)
{
    evcache_bytes bytes;

    bytes.ptr = text;
    bytes.len = strlen(text);
    return bytes;
}

/* --- opening and closing --- */

/** How a cache is opened; all zero is right for most. */
typedef struct evcache_options {
    const char *zone; /* the zone to read first, by name; NULL: the region's first */
    /**
     * The client slots this handle may take one of: slot_count from slot_first on, of 0 to
     * EVCACHE_CLIENT_SLOTS - 1. slot_count 0: any. A slot is taken by a lock on this machine only;
     * where processes of several machines write to one region (queue.kind kafka),
     * give each machine slots of its own: then slot_count 0 is refused.
     */
    unsigned slot_first, slot_count;
    uint64_t reserved[4]; /* zero */
} evcache_options;

/**
 * Opens the cache described by config_file for the region of this name, and waits until every node
 * has answered, at most timeouts.connect: a node that is away is no error here, but is tried again
 * for as long as the handle is open. options may be NULL. Takes a journal in journal.path, as every
 * process that writes does; relative paths of the file start at the working directory.
 *
 * Returns EVCACHE_OK and the handle in *ret; or EVCACHE_E_CONFIG, EVCACHE_E_SYSTEM,
 * EVCACHE_E_INVALID, EVCACHE_E_NO_MEMORY, EVCACHE_E_BUSY (every client slot it may take is taken),
 * with *error, which may be NULL, saying why.
 */
EVCACHE_API EVCACHE_MUST_USE int evcache_open(const char *config_file, const char *region,
                                              const evcache_options *options, evcache **ret,
                                              evcache_error *error);

/**
 * Waits until what is under way has ended and the journal is fed to the queue, at most some seconds
 * (what is left stays in the journal for the next process that takes the slot), and frees the
 * handle. NULL is allowed. No other thread may be in a call, and none may begin one.
 *
 * Returns EVCACHE_OK, or EVCACHE_E_BUSY with nothing done when an inbox is still open.
 */
EVCACHE_API int evcache_close(evcache *cache);

/* --- requests --- */

/** How many zones must have a write before it counts as done. */
enum evcache_ack {
    EVCACHE_ACK_CONFIGURED = 0, /* as writes.acknowledge says */
    EVCACHE_ACK_ONE = 1,
    EVCACHE_ACK_QUORUM = 2,      /* more than half */
    EVCACHE_ACK_ALL_BUT_ONE = 3, /* of one or two zones, one */
    EVCACHE_ACK_ALL = 4,
};

/**
 * What is asked; start from all zero. The bytes need to live until the call returns (also
 * evcache_start's: it copies them).
 */
typedef struct evcache_request {
    evcache_bytes key;   /* 1 to EVCACHE_KEY_LEN_MAX bytes of any kind */
    evcache_bytes value; /* set, add, replace, cas; append, prepend: what is put to the value */
    uint32_t flags;      /* set, add, replace, cas: kept with the value, as memcached does */
    /**
     * Seconds until the item expires; 0: never. set, add, replace, cas, touch. Other functions
     * leave the item's as it is.
     */
    uint32_t ttl_s;
    /**
     * cas: the version the item must still have. replace, append, prepend, incr, decr, touch,
     * delete: the same if not 0.
     */
    uint64_t version;
    uint64_t delta; /* incr, decr */
    /**
     * Milliseconds until the call is answered, or up to some 10 ms later; 0 or more than that:
     * timeouts.read or timeouts.write. Only the wait ends: a write goes on in the zones that have
     * not answered yet, until timeouts.write.
     */
    uint32_t timeout_ms;
    enum evcache_ack ack; /* of writes */
    uint64_t reserved[4]; /* zero */
} evcache_request;

/* --- blocking calls --- */

/**
 * Reads an item from the first zone, from the others in turn where that one misses or fails.
 * EVCACHE_OK: the reply has value, flags and version. EVCACHE_NOT_FOUND: no zone that answered has
 * it, or it is deleted.
 *
 * This and all blocking calls: the calling thread waits for the answer, at most until the deadline.
 * The status is returned; *ret is the reply, to be freed with evcache_reply_free, whatever the
 * status is, or NULL when there was no memory for one. ret may be NULL (not for a get). Beside what
 * is said for each, all may return EVCACHE_E_INVALID, EVCACHE_E_NO_MEMORY, EVCACHE_E_BUSY
 * (EVCACHE_CALLS_MAX), EVCACHE_E_TIMEOUT, EVCACHE_E_UNAVAILABLE and EVCACHE_E_REJECTED; writes also
 * EVCACHE_E_PARTIAL and EVCACHE_E_TOO_LARGE.
 */
EVCACHE_API int evcache_get(evcache *cache, const evcache_request *request, evcache_reply **ret);

/**
 * Reads count items at once. ret[i] becomes the reply to requests[i]; each is to be freed. Every
 * request has its own deadline.
 *
 * Returns the number of items found, or EVCACHE_E_NO_MEMORY: nothing was asked, there is no reply.
 */
EVCACHE_API int evcache_get_many(evcache *cache, const evcache_request *requests, size_t count,
                                 evcache_reply **ret);

/** Stores an item in every zone, whatever was there. EVCACHE_OK: the zones asked for have it. */
EVCACHE_API int evcache_set(evcache *cache, const evcache_request *request, evcache_reply **ret);

/** Stores an item where there is none. EVCACHE_NOT_STORED: there is one. */
EVCACHE_API int evcache_add(evcache *cache, const evcache_request *request, evcache_reply **ret);

/** Stores an item where there is one. EVCACHE_NOT_STORED: there is none. */
EVCACHE_API int evcache_replace(evcache *cache, const evcache_request *request,
                                evcache_reply **ret);

/**
 * Stores an item if it still has the version that a get has returned (evcache_reply_version).
 * EVCACHE_EXISTS: it has another. EVCACHE_NOT_FOUND: it is gone.
 */
EVCACHE_API int evcache_cas(evcache *cache, const evcache_request *request, evcache_reply **ret);

/**
 * Deletes an item in every zone and region. EVCACHE_NOT_FOUND: the first zone had none; the delete
 * is carried out all the same, so that no older copy survives elsewhere. With a version:
 * EVCACHE_EXISTS when it has another, and nothing is deleted.
 */
EVCACHE_API int evcache_delete(evcache *cache, const evcache_request *request, evcache_reply **ret);

/** Gives an item a new time to live, in every zone and region. EVCACHE_NOT_FOUND: there is none. */
EVCACHE_API int evcache_touch(evcache *cache, const evcache_request *request, evcache_reply **ret);

/**
 * Adds delta to an item whose value is a decimal number of up to 64 bits; beyond that it wraps. It
 * is decided once, in one zone, and the result is what the other zones and regions receive.
 * EVCACHE_OK: evcache_reply_number is the new number. EVCACHE_NOT_FOUND, EVCACHE_NOT_A_NUMBER.
 */
EVCACHE_API int evcache_incr(evcache *cache, const evcache_request *request, evcache_reply **ret);

/** As evcache_incr, but subtracts; not below 0. */
EVCACHE_API int evcache_decr(evcache *cache, const evcache_request *request, evcache_reply **ret);

/** Puts value behind the item's. EVCACHE_NOT_STORED: there is none, or it would grow too long. */
EVCACHE_API int evcache_append(evcache *cache, const evcache_request *request, evcache_reply **ret);

/** Puts value before the item's. EVCACHE_NOT_STORED: there is none, or it would grow too long. */
EVCACHE_API int evcache_prepend(evcache *cache, const evcache_request *request,
                                evcache_reply **ret);

/* --- replies --- */

/** Frees a reply and all that was got from it. NULL is allowed. */
EVCACHE_API void evcache_reply_free(evcache_reply *reply);

/** How the call ended: enum evcache_status. */
EVCACHE_API int evcache_reply_status(const evcache_reply *reply);

/** The value a get has found, valid as long as the reply; else no bytes. */
EVCACHE_API evcache_bytes evcache_reply_value(const evcache_reply *reply);

/** The flags stored with the value a get has found; else 0. */
EVCACHE_API uint32_t evcache_reply_flags(const evcache_reply *reply);

/** The version of the item a get has found, or of what a write has stored; 0: none. */
EVCACHE_API uint64_t evcache_reply_version(const evcache_reply *reply);

/** What incr or decr has made; else 0. */
EVCACHE_API uint64_t evcache_reply_number(const evcache_reply *reply);

/** One line why a call ended below 0, valid as long as the reply; "" where nothing is wrong. */
EVCACHE_API const char *evcache_reply_error(const evcache_reply *reply);

/** What one zone has said of a call when it was answered. */
enum evcache_zone_status {
    EVCACHE_ZONE_NOT_ASKED = 0,   /* an earlier one had the value; or nothing was written to it */
    EVCACHE_ZONE_WAITING = 1,     /* asked, and the call was answered before it */
    EVCACHE_ZONE_OK = 2,          /* it has the write; the value read is from it */
    EVCACHE_ZONE_MISSED = 3,      /* reading: it has no such item */
    EVCACHE_ZONE_UNREACHABLE = 4, /* it could not be asked: no effect in it */
    EVCACHE_ZONE_SILENT = 5,      /* asked, also what it holds, and no answer in time */
    EVCACHE_ZONE_REJECTED = 6,    /* its node answered with an error */
};

/**
 * How many zones there are results of: the region's, but for drained ones; 0 for a request that was
 * refused.
 */
EVCACHE_API unsigned evcache_reply_zone_count(const evcache_reply *reply);

/**
 * What zone number zone has said: enum evcache_zone_status. Zones that serve come first, in the
 * order of the configuration, then those that are only written to.
 */
EVCACHE_API int evcache_reply_zone_status(const evcache_reply *reply, unsigned zone);

/** The name of zone number zone; NULL when there is none. Valid as long as the cache is open. */
EVCACHE_API const char *evcache_zone_name(const evcache *cache, unsigned zone);

/* --- asynchronous calls --- */

/** What evcache_start asks for; each is described with the blocking call of its name. */
enum evcache_op {
    EVCACHE_GET = 0,
    EVCACHE_SET = 1,
    EVCACHE_ADD = 2,
    EVCACHE_REPLACE = 3,
    EVCACHE_CAS = 4,
    EVCACHE_DELETE = 5,
    EVCACHE_TOUCH = 6,
    EVCACHE_INCR = 7,
    EVCACHE_DECR = 8,
    EVCACHE_APPEND = 9,
    EVCACHE_PREPEND = 10,
};

/** Gets the reply to a call, and with it the duty to free it. Called by evcache_inbox_dispatch. */
typedef void (*evcache_done_fn)(void *ctx, evcache_reply *reply);

/**
 * Makes an inbox: a program has one for each thread or event loop that takes replies. Returns
 * EVCACHE_OK, EVCACHE_E_SYSTEM (no descriptor left) or EVCACHE_E_NO_MEMORY, with *error, which may
 * be NULL, saying why.
 */
EVCACHE_API EVCACHE_MUST_USE int evcache_inbox_open(evcache *cache, evcache_inbox **ret,
                                                    evcache_error *error);

/**
 * Waits for the calls still under way, hands all their replies out, and frees the inbox. Its
 * thread, and not from within a done function. NULL is allowed.
 */
EVCACHE_API void evcache_inbox_close(evcache_inbox *inbox);

/**
 * A descriptor that is readable while there are replies: give it to poll, epoll, or an event loop
 * (evcache/uv.h does it for libuv), for reading only, and call evcache_inbox_dispatch when it is
 * readable. It belongs to the inbox; do not read or close it.
 */
EVCACHE_API int evcache_inbox_fd(const evcache_inbox *inbox);

/**
 * Calls done for every reply that has arrived; does not wait. The inbox's thread. done may start
 * further calls. Returns how many there were.
 */
EVCACHE_API size_t evcache_inbox_dispatch(evcache_inbox *inbox);

/**
 * Starts a call and returns at once. done(ctx, reply) comes exactly once, from the inbox's thread,
 * within the deadline and what the thread takes to look. Any thread.
 *
 * Returns EVCACHE_OK; otherwise nothing was started and done does not come: EVCACHE_E_INVALID,
 * EVCACHE_E_TOO_LARGE, EVCACHE_E_NO_MEMORY, or EVCACHE_E_BUSY (EVCACHE_CALLS_MAX).
 */
EVCACHE_API EVCACHE_MUST_USE int evcache_start(evcache_inbox *inbox, enum evcache_op op,
                                               const evcache_request *request, evcache_done_fn done,
                                               void *ctx);

/* --- about the cache --- */

/** How a handle does. Figures count from its opening. */
typedef struct evcache_stats {
    unsigned zones, nodes, nodes_up;
    unsigned slot;             /* the client slot it has taken, 0 to EVCACHE_CLIENT_SLOTS - 1 */
    uint64_t calls_in_flight;  /* not answered yet */
    uint64_t writes_in_flight; /* not settled in every zone yet */
    uint64_t zone_failures;    /* zones that did not acknowledge a write */
    uint64_t repairs;          /* writes that a relay was asked to look after */
    uint64_t events_waiting;   /* in the journal, not in the queue yet */
    uint64_t events_replayed;  /* left by the slot's last process, taken over at opening */
    uint64_t events_lost;      /* the journal was full: other regions will not hear of them */
    int is_queue_refusing;     /* the last batch of events could not be put into the queue */
    char queue_error[EVCACHE_ERROR_TEXT_BYTES]; /* why, or "" */
    uint64_t reserved[8];
} evcache_stats;

/**
 * Says how a handle does, in *ret. Waits for the background thread, at most a second. Returns
 * EVCACHE_OK or EVCACHE_E_TIMEOUT.
 */
EVCACHE_API int evcache_get_stats(evcache *cache, evcache_stats *ret);

/** A short name of a status, such as "not found"; a literal. */
EVCACHE_API const char *evcache_status_str(int status);

/** The library's version, such as "0.1.0"; a literal. */
EVCACHE_API const char *evcache_version(void);

#ifdef __cplusplus
}
#endif

#endif
