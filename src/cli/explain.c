/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `explain`: asks the node that has a key in every zone of every region
 * (survey/explain.h), shows each copy and each version there is, and names the copies that are not
 * as they should be.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/options.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "meta/base64.h"
#include "meta/wire.h"
#include "survey/explain.h"

static const char help[] =
    "usage: evcache explain --config FILE [--json] [--base64] KEY\n"
    "\n"
    "Asks the node that has the key, in every zone of every region, and shows each copy: a value, "
    "a\n"
    "tombstone (it was deleted) or absent; its version, size, client flags and expiry; whether it "
    "is as\n"
    "new as the newest. Below stand the versions there are, with the time each was written and by "
    "whom,\n"
    "and by name what is not as it should be. Nodes are asked past every proxy, all at once; "
    "nothing is\n"
    "changed, and the access does not count as one.\n"
    "\n"
    "  --config FILE    the configuration, the same for every process\n"
    "  --json           everything as JSON\n"
    "  --base64         KEY is given in base64: for keys with blanks or control characters\n"
    "\n"
    "The copies: newest; behind (an older version); missing; different (the newest version, but "
    "another\n"
    "size, flags, expiry or kind); foreign (somebody wrote on the node past evcache, which has no "
    "version);\n"
    "absent (rightly: it is nowhere, or the key's policy leaves it to one region); unanswered (its "
    "node does\n"
    "not answer within 2 s); drained (not asked). A zone that is being filled is shown and not "
    "judged. While\n"
    "copies differ they are looked at up to 3 more times, 200 ms apart: a write may be on its "
    "way.\n"
    "\n"
    "The last events: what the relays remember of the key, about the last 32,768 events to each "
    "region, of\n"
    "one key the last 4; how each ended (see `evcache status --help`), or what it does now; the "
    "batch is\n"
    "partition/slot/first number, as in the logs.\n"
    "\n"
    "Colours are for terminals; NO_COLOR turns them off. Exit status: 0 all copies are alike, 1 "
    "copies\n"
    "differ, or it did not work, 2 the command line is wrong, 3 a node or relay does not answer "
    "(it "
    "is\n"
    "named).\n";

enum {
    KEY_ENCODED_MAX = EVC_KEY_LEN_MAX * 2,
    NAME_BYTES = 2 * EVC_CONFIG_NAME_LEN_MAX + 2,
    VERSION_BYTES = 20,
    TIME_BYTES = 40, /* and room for what the other two take */
    AGE_BYTES = EVC_TERMINAL_TEXT_BYTES + 8,
};

/* --- the key --- */

static bool
is_control(char character)
{
    return (unsigned char)character <= ' ' || character == 0x7f;
}

static bool
has_control(struct evc_slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (is_control(key.ptr[i])) {
            return true;
        }
    }
    return false;
}

/** The bytes of a key given in base64; 0: it is none. Strict: a plain key must not pass for one. */
static size_t
decode(const char *text, char bytes[KEY_ENCODED_MAX])
{
    char again[KEY_ENCODED_MAX * 2];
    struct evc_slice given = evc_slice_str(text);
    size_t len;

    if (given.len > KEY_ENCODED_MAX) {
        return 0;
    }
    len = evc_base64_decode(given, bytes);
    struct evc_slice encoded = {
        .ptr = again,
        .len = evc_base64_encode((struct evc_slice){.ptr = bytes, .len = len}, again)};
    return evc_slice_equal(given, encoded) ? len : 0;
}

/** Takes the key from the command line; decoded: memory for one in base64. An enum evc_exit. */
static int
take_key(const struct evc_cli_options *options, char decoded[KEY_ENCODED_MAX],
         struct evc_slice *ret)
{
    struct evc_wire_key wire;

    *ret = evc_slice_str(options->key);
    if (options->is_base64) {
        *ret = (struct evc_slice){.ptr = decoded, .len = decode(options->key, decoded)};
        if (ret->len == 0) {
            return evc_cli_misuse("explain", "the key is not base64 of 1 to %d bytes",
                                  EVC_KEY_LEN_MAX);
        }
    } else if (has_control(*ret)) {
        return evc_cli_misuse("explain", "the key has blanks or control characters; give such a "
                                         "key in base64, with --base64");
    }
    if (ret->len == 0 || ret->len > EVC_KEY_LEN_MAX) {
        return evc_cli_misuse("explain", "the key has %zu bytes; keys have 1 to %d", ret->len,
                              EVC_KEY_LEN_MAX);
    }
    if (evc_wire_key_init(&wire, *ret) != EVC_OK) {
        return evc_cli_misuse("explain",
                              "the key has %zu bytes; with blanks, newlines or NULs keys travel in "
                              "base64, of at most %d characters",
                              ret->len, EVC_KEY_LEN_MAX);
    }
    return EVC_EXIT_OK;
}

/* --- what is shown --- */

static const char *
copy_name(const struct evc_explain *explain, const struct evc_explain_copy *copy,
          char name[NAME_BYTES])
{
    const struct evc_config_region *region = &explain->config->regions[copy->region];

    snprintf(name, NAME_BYTES, "%s/%s", region->name, region->zones[copy->zone].name);
    return name;
}

static const char *
version_text(evc_version version, char text[VERSION_BYTES])
{
    snprintf(text, VERSION_BYTES, "%016" PRIx64, version);
    return text;
}

/** "2026-11-23 07:28:49.123 UTC". */
static const char *
time_text(uint64_t unix_ms, char text[TIME_BYTES])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    char day[24] = "";
    struct tm utc;

    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(day, sizeof(day), "%F %T", &utc);
    }
    snprintf(text, TIME_BYTES, "%s.%03u UTC", day, (unsigned)(unix_ms % 1000));
    return text;
}

/** The key, or its base64 where a terminal would not show it as it is. */
static void
print_head(const struct evc_explain *explain)
{
    char encoded[KEY_ENCODED_MAX];
    struct evc_slice key = explain->key;
    bool is_plain = !has_control(key);

    for (size_t i = 0; i < key.len; i++) {
        is_plain = is_plain && (unsigned char)key.ptr[i] < 0x80;
    }
    if (!is_plain) {
        key = (struct evc_slice){.ptr = encoded, .len = evc_base64_encode(key, encoded)};
    }
    printf("%s%s%s: key %.*s%s, %zu bytes, partition %u of %u, policy %s\n\n",
           evc_terminal_style(stdout, EVC_STYLE_BOLD), explain->config->cache,
           evc_terminal_style(stdout, EVC_STYLE_PLAIN), (int)key.len, key.ptr,
           is_plain ? "" : " in base64", explain->key.len, explain->partition,
           explain->config->queue.partitions, evc_explain_policy_str(explain->policy));
}

static enum evc_style
copy_style(const struct evc_explain_copy *copy)
{
    if (copy->state == EVC_COPY_NEWEST || copy->state == EVC_COPY_ABSENT) {
        return EVC_STYLE_GOOD;
    }
    if (copy->state == EVC_COPY_DRAINED) {
        return EVC_STYLE_DIM;
    }
    return copy->is_counted ? EVC_STYLE_BAD : EVC_STYLE_WARN;
}

static void
item_cells(struct evc_table *table, const struct evc_explain_copy *copy)
{
    const struct evc_node_reply *reply = &copy->reply;
    char text[EVC_TERMINAL_TEXT_BYTES], version[VERSION_BYTES];

    evc_table_cell(table, 3, EVC_STYLE_PLAIN,
                   copy->version != 0 ? version_text(copy->version, version) : "-");
    evc_table_cell(table, 4, EVC_STYLE_PLAIN, evc_terminal_count(reply->size, text));
    evc_table_cell(table, 5, EVC_STYLE_PLAIN,
                   reply->is_tombstone ? "-" : evc_terminal_count(reply->client_flags, text));
    evc_table_cell(
        table, 6, EVC_STYLE_PLAIN,
        reply->ttl_s < 0 ? "never" : evc_terminal_duration((uint64_t)reply->ttl_s * 1000000, text));
}

static void
print_copies(const struct evc_explain *explain)
{
    static const char *const headings[] = {"Its copies", "node",  "item",    "version",
                                           "size",       "flags", "expires", "state"};
    struct evc_table table;
    char name[NAME_BYTES];

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < explain->copy_count; i++) {
        const struct evc_explain_copy *copy = &explain->copies[i];

        evc_table_row(&table, copy_name(explain, copy, name));
        evc_table_cell(&table, 1, EVC_STYLE_PLAIN, copy->address ? copy->address->text : "-");
        evc_table_cell(&table, 2, EVC_STYLE_PLAIN,
                       !copy->has_answered        ? "-"
                       : !copy->is_found          ? "absent"
                       : copy->reply.is_tombstone ? "tombstone"
                                                  : "value");
        if (copy->is_found) {
            item_cells(&table, copy);
        }
        evc_table_cell(&table, 7, copy_style(copy), evc_copy_state_str(copy->state));
    }
    evc_table_print(&table, stdout);
    evc_table_finish(&table);
    putchar('\n');
}

/** How many copies have the version of copy i; 0 where an earlier one has been counted with it. */
static unsigned
count_version(const struct evc_explain *explain, size_t i)
{
    unsigned count = 0;

    for (size_t k = 0; k < explain->copy_count; k++) {
        if (explain->copies[k].version == explain->copies[i].version) {
            if (k < i) {
                return 0;
            }
            count++;
        }
    }
    return count;
}

/** How long ago a version was written, by its writer's clock; "ahead 1.00 s": that one is fast. */
static const char *
age_text(const struct evc_explain *explain, evc_version version, char text[AGE_BYTES])
{
    uint64_t now_us = explain->unix_us, written_us = evc_version_unix_ms(version) * 1000;
    char duration[EVC_TERMINAL_TEXT_BYTES];

    evc_terminal_duration(now_us > written_us ? now_us - written_us : written_us - now_us,
                          duration);
    snprintf(text, AGE_BYTES, "%s%s", now_us >= written_us ? "" : "ahead ", duration);
    return text;
}

static void
version_row(struct evc_table *table, const struct evc_explain *explain, evc_version version,
            unsigned copies)
{
    char text[TIME_BYTES], writer[EVC_EXPLAIN_WRITER_BYTES];

    evc_table_row(table, version_text(version, text));
    evc_table_cell(table, 1, EVC_STYLE_PLAIN, time_text(evc_version_unix_ms(version), text));
    evc_table_cell(table, 2, EVC_STYLE_PLAIN, age_text(explain, version, text));
    evc_table_cell(table, 3, EVC_STYLE_PLAIN, evc_explain_writer(explain->config, version, writer));
    evc_table_cell(table, 4, EVC_STYLE_PLAIN, evc_terminal_count(copies, text));
}

static void
print_versions(const struct evc_explain *explain)
{
    static const char *const headings[] = {"Its versions", "written", "ago", "by", "copies"};
    struct evc_table table;

    if (explain->newest == 0) {
        return;
    }
    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < explain->copy_count; i++) {
        evc_version version = explain->copies[i].version;
        unsigned count = version != 0 ? count_version(explain, i) : 0;

        if (count > 0) {
            version_row(&table, explain, version, count);
        }
    }
    evc_table_print(&table, stdout);
    evc_table_finish(&table);
    putchar('\n');
}

static void
event_row(struct evc_table *table, const struct evc_explain *explain,
          const struct evc_explain_way *way, const struct evc_explain_event *event)
{
    char text[NAME_BYTES + 8], batch[64], duration[EVC_TERMINAL_TEXT_BYTES];

    snprintf(text, sizeof(text), "%s → %s", explain->config->regions[way->source].name,
             explain->config->regions[way->destination].name);
    evc_table_row(table, text);
    evc_table_cell(table, 1, EVC_STYLE_PLAIN, event->kind);
    evc_table_cell(table, 2, EVC_STYLE_PLAIN, version_text(event->version, text));
    evc_table_cell(table, 3,
                   event->is_under_way                        ? EVC_STYLE_WARN
                   : strcmp(event->outcome, "abandoned") == 0 ? EVC_STYLE_BAD
                                                              : EVC_STYLE_PLAIN,
                   event->outcome);
    evc_table_cell(table, 4, EVC_STYLE_PLAIN,
                   event->is_under_way && event->age_us == 0
                       ? "-"
                       : evc_terminal_duration(event->age_us, duration));
    evc_table_cell(table, 5, EVC_STYLE_PLAIN, evc_terminal_count(event->attempts, duration));
    snprintf(batch, sizeof(batch), "%u/%u/%" PRIu64, way->partition, event->slot, event->first);
    evc_table_cell(table, 6, EVC_STYLE_PLAIN, batch);
}

static void
print_events(const struct evc_explain *explain)
{
    static const char *const headings[] = {"Its last events", "kind", "version", "outcome", "ago",
                                           "retries",         "batch"};
    struct evc_table table;
    unsigned count = 0;

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < explain->way_count; i++) {
        for (unsigned k = 0; k < explain->ways[i].event_count; k++) {
            event_row(&table, explain, &explain->ways[i], &explain->ways[i].events[k]);
            count++;
        }
    }
    if (count > 0) {
        evc_table_print(&table, stdout);
        putchar('\n');
    }
    evc_table_finish(&table);
}

/** Where no event is shown, why. */
static void
print_way_notes(const struct evc_explain *explain)
{
    char digits[EVC_TERMINAL_TEXT_BYTES];

    for (size_t i = 0; i < explain->way_count; i++) {
        const struct evc_explain_way *way = &explain->ways[i];

        if (way->event_count > 0) {
            continue;
        }
        printf("%s%s → %s%s ", evc_terminal_style(stdout, EVC_STYLE_DIM),
               explain->config->regions[way->source].name,
               explain->config->regions[way->destination].name,
               evc_terminal_style(stdout, EVC_STYLE_PLAIN));
        if (way->is_known) {
            printf("no event of it among the last %s that the relay remembers\n",
                   evc_terminal_count((int64_t)way->remembered, digits));
        } else {
            printf("its events are not known: no relay that answers has its partition\n");
        }
    }
}

/** What is to be said of a copy beyond its row. False: nothing. */
static bool
note_text(const struct evc_explain_copy *copy, char *text, size_t text_bytes)
{
    char duration[EVC_TERMINAL_TEXT_BYTES];

    switch (copy->state) {
    case EVC_COPY_UNANSWERED:
        snprintf(text, text_bytes, "does not answer: %s", copy->why);
        return true;
    case EVC_COPY_BEHIND:
        snprintf(text, text_bytes, "is behind: its version is %s older than the newest",
                 evc_terminal_duration(copy->behind_ms * 1000, duration));
        return true;
    case EVC_COPY_MISSING:
        snprintf(text, text_bytes, "has no copy");
        return true;
    case EVC_COPY_DIFFERENT:
        snprintf(text, text_bytes, "has the newest version, but another %s", copy->difference);
        return true;
    case EVC_COPY_FOREIGN:
        snprintf(text, text_bytes,
                 "holds what was written on the node past evcache; any version is newer");
        return true;
    case EVC_COPY_NEWEST:
    case EVC_COPY_ABSENT:
    case EVC_COPY_DRAINED:
    case EVC_COPY_STATE_MAX:
        break;
    }
    return false;
}

static void
print_notes(const struct evc_explain *explain)
{
    char name[NAME_BYTES], text[EVC_EXPLAIN_WHY_BYTES + 32];

    for (size_t i = 0; i < explain->copy_count; i++) {
        const struct evc_explain_copy *copy = &explain->copies[i];

        if (note_text(copy, text, sizeof(text))) {
            printf("%s%s%s %s%s\n", evc_terminal_style(stdout, EVC_STYLE_WARN),
                   copy_name(explain, copy, name), evc_terminal_style(stdout, EVC_STYLE_PLAIN),
                   text, copy->is_counted ? "" : " (its zone is being filled)");
        }
    }
}

static void
print_summary(const struct evc_explain *explain)
{
    size_t counted = evc_explain_counted(explain), differing = evc_explain_differing(explain);
    size_t unanswered = evc_explain_unanswered(explain);

    if (differing > 0) {
        printf("%s%zu of %zu copies differ%s\n", evc_terminal_style(stdout, EVC_STYLE_BAD),
               differing, counted, evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    } else {
        printf("%s%s %zu %s alike%s\n",
               evc_terminal_style(stdout, unanswered > 0 ? EVC_STYLE_WARN : EVC_STYLE_GOOD),
               unanswered > 0 ? "the other" : "all", counted - unanswered,
               explain->newest == 0 ? "nodes hold nothing," : "copies are",
               evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    }
}

/** On standard error, so that --json says it too. */
static int
verdict(const struct evc_explain *explain)
{
    size_t differing = evc_explain_differing(explain);
    char name[NAME_BYTES];

    for (size_t i = 0; i < explain->relay_count; i++) {
        const struct evc_explain_relay *relay = &explain->relays[i];
        if (!relay->has_answered) {
            (void)evc_cli_fail("explain", "%s/relay/%u does not answer: %s",
                               explain->config->regions[relay->region].name, relay->index,
                               relay->why);
        }
    }
    for (size_t i = 0; i < explain->copy_count; i++) {
        const struct evc_explain_copy *copy = &explain->copies[i];
        if (copy->is_counted && copy->state == EVC_COPY_UNANSWERED) {
            (void)evc_cli_fail("explain", "%s does not answer: %s", copy_name(explain, copy, name),
                               copy->why);
        }
    }
    if (differing > 0) {
        return evc_cli_fail("explain", "%zu of %zu copies differ", differing,
                            evc_explain_counted(explain));
    }
    return evc_explain_unanswered(explain) + evc_explain_silent_relays(explain) > 0
               ? EVC_EXIT_UNANSWERED
               : EVC_EXIT_OK;
}

static int
run(const struct evc_cli_options *options, const struct evc_config *config, struct evc_slice key)
{
    struct evc_explain *explain = evc_explain_create(config, key);

    if (explain == NULL) {
        return evc_cli_fail("explain", "out of memory");
    }
    evc_explain_look_patiently(explain);
    evc_explain_ask_relays(explain);
    if (options->is_json) {
        json_t *json = evc_explain_json(explain);
        (void)json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
    } else {
        print_head(explain);
        print_copies(explain);
        print_versions(explain);
        print_events(explain);
        print_way_notes(explain);
        print_notes(explain);
        print_summary(explain);
    }
    fflush(stdout);
    int result = verdict(explain);
    evc_explain_destroy(explain);
    return result;
}

int
evc_cli_explain(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    char decoded[KEY_ENCODED_MAX];
    struct evc_slice key;
    int result;

    if (!evc_cli_options_parse(argc, argv,
                               EVC_CLI_TAKE_CONFIG | EVC_CLI_TAKE_JSON | EVC_CLI_TAKE_KEY, help,
                               &options, &result)) {
        return result;
    }
    result = take_key(&options, decoded, &key);
    if (result != EVC_EXIT_OK || !evc_cli_config_load(&options, &config, NULL, &result)) {
        return result;
    }
    result = run(&options, config, key);
    evc_config_destroy(config);
    return result;
}
