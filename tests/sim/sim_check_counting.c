/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_check.h: what was appended and counted, against what it was appended to and counted on.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim_check.h"
#include "sim_world.h"

enum {
    LETTERS = 64,
};

static uint64_t
number_of(const char *value, size_t len)
{
    char text[SIM_VALUE_MAX + 1] = {0};

    memcpy(text, value, len);
    return strtoull(text, NULL, 10);
}

/** Whether the number of a version is what the application was told, and one delta from the old. */
static bool
is_counted(const struct sim_write *write, const struct sim_version *version)
{
    uint64_t number = number_of(version->value, version->value_len);
    uint64_t before = number_of(version->over, version->over_len);

    if (number != write->number) {
        return false;
    }
    if (write->is_created || !version->has_over) {
        return true; /* nothing to count on, or it was another zone's */
    }
    if (write->kind == EVC_WRITE_INCR) {
        return number == before + write->delta;
    }
    return number == (before > write->delta ? before - write->delta : 0);
}

static bool
is_appended(const struct sim_write *write, const struct sim_version *version)
{
    bool is_append = write->kind == EVC_WRITE_APPEND;
    const char *rest = is_append ? version->value : version->value + 1;

    if (version->value_len == 0 ||
        version->value[is_append ? version->value_len - 1 : 0] != write->letter) {
        return false;
    }
    if (write->is_created) {
        return version->value_len == 1;
    }
    return !version->has_over || (version->value_len == version->over_len + 1 &&
                                  memcmp(rest, version->over, version->over_len) == 0);
}

static bool
is_right(const struct sim_write *write, const struct sim_version *version)
{
    if (write->kind == EVC_WRITE_INCR || write->kind == EVC_WRITE_DECR) {
        return is_counted(write, version);
    }
    return (write->kind != EVC_WRITE_APPEND && write->kind != EVC_WRITE_PREPEND) ||
           is_appended(write, version);
}

static bool
has_letter_twice(const struct sim_version *version)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < version->value_len; i++) {
        unsigned letter = (unsigned)version->value[i] - 'A';

        if (letter < LETTERS && seen >> letter & 1) {
            return true;
        }
        seen |= letter < LETTERS ? UINT64_C(1) << letter : 0;
    }
    return false;
}

void
sim_check_counting(struct sim_world *world)
{
    const struct sim_history *history = &world->history;

    for (unsigned i = 0; i < history->write_count; i++) {
        const struct sim_write *write = &history->writes[i];
        const struct sim_version *version =
            write->is_acked ? sim_history_find(history, write->key, write->version) : NULL;

        if (version && !sim_version_is_tombstone(version) && !is_right(write, version)) {
            sim_world_fail(world, SIM_FAILURE_COUNT, "write %u of key-%u, version %" PRIx64, i,
                           write->key, write->version);
        }
    }
    for (unsigned i = 0; i < history->version_count; i++) {
        if (has_letter_twice(&history->versions[i])) {
            sim_world_fail(world, SIM_FAILURE_COUNT, "version %" PRIx64 " of key-%u has it twice",
                           history->versions[i].version, history->versions[i].key);
        }
    }
}
