/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library with blocking calls: stores an item in every zone, reads it, changes it only if
 * nobody else has, counts, and deletes it.
 *
 *     blocking CONFIG REGION [ZONE]
 */
#include <evcache/evcache.h>
#include <inttypes.h>
#include <stdio.h>

/** Prints what each zone has said of a call. */
static void
print_zones(const evcache *cache, const evcache_reply *reply)
{
    static const char *const words[] = {"not asked",   "waiting", "ok",      "missed",
                                        "unreachable", "silent",  "rejected"};

    for (unsigned zone = 0; zone < evcache_reply_zone_count(reply); zone++) {
        printf("  zone %s: %s\n", evcache_zone_name(cache, zone),
               words[evcache_reply_zone_status(reply, zone)]);
    }
}

/** Reads an item and writes it back, unless somebody has changed it meanwhile. */
static int
change(evcache *cache, evcache_bytes key)
{
    evcache_reply *reply = NULL;
    evcache_request request = {.key = key};
    int status = evcache_get(cache, &request, &reply);

    if (status == EVCACHE_OK) {
        evcache_bytes value = evcache_reply_value(reply);

        printf("get: %.*s\n", (int)value.len, (const char *)value.ptr);
        request.value = evcache_str("Grace");
        request.version = evcache_reply_version(reply);
        status = evcache_cas(cache, &request, NULL);
    }
    evcache_reply_free(reply);
    return status;
}

static int
count(evcache *cache)
{
    const evcache_request visit = {.key = evcache_str("example:visits"), .delta = 1};
    const evcache_request first = {.key = visit.key, .value = evcache_str("0"), .ttl_s = 60};
    evcache_reply *reply = NULL;
    int status = evcache_add(cache, &first, NULL);

    if (status == EVCACHE_OK || status == EVCACHE_NOT_STORED) {
        status = evcache_incr(cache, &visit, &reply);
        printf("incr: %" PRIu64 "\n", evcache_reply_number(reply));
        evcache_reply_free(reply);
    }
    return status;
}

static int
use(evcache *cache)
{
    const evcache_request user = {
        .key = evcache_str("example:user"),
        .value = evcache_str("Ada"),
        .ttl_s = 300,
        .timeout_ms = 200,
        .ack = EVCACHE_ACK_ALL,
    };
    evcache_reply *reply = NULL;
    int status = evcache_set(cache, &user, &reply);

    printf("set: %s\n", evcache_status_str(status));
    if (reply) {
        print_zones(cache, reply);
    }
    evcache_reply_free(reply);
    if (status != EVCACHE_OK) {
        return status;
    }
    printf("cas: %s\n", evcache_status_str(change(cache, user.key)));
    status = count(cache);
    printf("delete: %s\n",
           evcache_status_str(evcache_delete(cache, &(evcache_request){.key = user.key}, NULL)));
    return status;
}

int
main(int argc, char **argv)
{
    const evcache_options options = {.zone = argc > 3 ? argv[3] : NULL};
    evcache_error error;
    evcache *cache;
    int status;

    if (argc < 3) {
        fprintf(stderr, "usage: %s CONFIG REGION [ZONE]\n", argv[0]);
        return 2;
    }
    if (evcache_open(argv[1], argv[2], &options, &cache, &error) != EVCACHE_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    status = use(cache);
    if (status < 0) {
        fprintf(stderr, "%s\n", evcache_status_str(status));
    }
    evcache_close(cache);
    return status < 0;
}
