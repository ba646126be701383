/* SPDX-License-Identifier: Apache-2.0 */
/* See explain_view.h. Each part of the page is a table or a few lines, in the order of the last
 * function. */
#include "cli/explain_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/figure.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "meta/base64.h"

enum {
    VERSION_BYTES = 20,
    TIME_BYTES = 40, /* and room for what the other two take */
    AGE_BYTES = EVC_FIGURE_BYTES + 8,
};

bool
evc_explain_is_printable(struct evc_slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if ((unsigned char)key.ptr[i] <= ' ' || key.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

const char *
evc_explain_copy_name(const struct evc_explain *explain, const struct evc_explain_copy *copy,
                      char name[EVC_EXPLAIN_NAME_BYTES])
{
    const struct evc_config_region *region = &explain->config->regions[copy->region];

    snprintf(name, EVC_EXPLAIN_NAME_BYTES, "%s/%s", region->name, region->zones[copy->zone].name);
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
    char encoded[EVC_KEY_LEN_MAX * 2];
    struct evc_slice key = explain->key;
    bool is_plain = evc_explain_is_printable(key);

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
    if (copy->state == EVC_COPY_NEWEST || copy->state == EVC_COPY_FOLLOWING ||
        copy->state == EVC_COPY_ABSENT) {
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
    char text[EVC_FIGURE_BYTES], version[VERSION_BYTES];

    evc_table_cell(table, 3, EVC_STYLE_PLAIN,
                   copy->version != 0 ? version_text(copy->version, version) : "-");
    evc_table_cell(table, 4, EVC_STYLE_PLAIN, evc_figure_count(reply->size, text));
    evc_table_cell(table, 5, EVC_STYLE_PLAIN,
                   reply->is_tombstone ? "-" : evc_figure_count(reply->client_flags, text));
    evc_table_cell(table, 6, EVC_STYLE_PLAIN,
                   reply->ttl_s < 0 ? "never"
                                    : evc_figure_duration((uint64_t)reply->ttl_s * 1000000, text));
}

static void
print_copies(const struct evc_explain *explain)
{
    static const char *const headings[] = {"Its copies", "node",  "item",    "version",
                                           "size",       "flags", "expires", "state"};
    struct evc_table table;
    char name[EVC_EXPLAIN_NAME_BYTES];

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < explain->copy_count; i++) {
        const struct evc_explain_copy *copy = &explain->copies[i];

        evc_table_row(&table, evc_explain_copy_name(explain, copy, name));
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
    char duration[EVC_FIGURE_BYTES];

    evc_figure_duration(now_us > written_us ? now_us - written_us : written_us - now_us, duration);
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
    evc_table_cell(table, 4, EVC_STYLE_PLAIN, evc_figure_count(copies, text));
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
    char text[EVC_EXPLAIN_NAME_BYTES + 8], batch[64], duration[EVC_FIGURE_BYTES];

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
                       : evc_figure_duration(event->age_us, duration));
    evc_table_cell(table, 5, EVC_STYLE_PLAIN, evc_figure_count(event->attempts, duration));
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

/** A region's queue may have more partitions than the configuration says: they can be added. */
static void
print_partition_notes(const struct evc_explain *explain)
{
    unsigned noted = explain->config->regions_count; /* the source noted last: ways are by source */

    for (size_t i = 0; i < explain->way_count; i++) {
        const struct evc_explain_way *way = &explain->ways[i];

        if (way->partitions != 0 && way->partitions != explain->config->queue.partitions &&
            way->source != noted) {
            noted = way->source;
            printf("%s%s%s has %u partitions: in its queue the key is in partition %u\n",
                   evc_terminal_style(stdout, EVC_STYLE_DIM),
                   explain->config->regions[way->source].name,
                   evc_terminal_style(stdout, EVC_STYLE_PLAIN), way->partitions, way->partition);
        }
    }
}

/** Where no event is shown, why. */
static void
print_way_notes(const struct evc_explain *explain)
{
    char digits[EVC_FIGURE_BYTES];

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
                   evc_figure_count((int64_t)way->remembered, digits));
        } else {
            printf("its events are not known: no relay that answers has its partition\n");
        }
    }
}

/** What is to be said of a copy beyond its row. False: nothing. */
static bool
note_text(const struct evc_explain_copy *copy, char *text, size_t text_bytes)
{
    char duration[EVC_FIGURE_BYTES];

    switch (copy->state) {
    case EVC_COPY_UNANSWERED:
        snprintf(text, text_bytes, "does not answer: %s", copy->why);
        return true;
    case EVC_COPY_FOLLOWING:
        snprintf(text, text_bytes,
                 "follows: the key is being written, and its version is %s older than the newest",
                 evc_figure_duration(copy->behind_ms * 1000, duration));
        return true;
    case EVC_COPY_BEHIND:
        snprintf(text, text_bytes, "is behind: its version is %s older than the newest",
                 evc_figure_duration(copy->behind_ms * 1000, duration));
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
    char name[EVC_EXPLAIN_NAME_BYTES], text[EVC_EXPLAIN_WHY_BYTES + 32];

    for (size_t i = 0; i < explain->copy_count; i++) {
        const struct evc_explain_copy *copy = &explain->copies[i];

        if (note_text(copy, text, sizeof(text))) {
            printf("%s%s%s %s%s\n", evc_terminal_style(stdout, EVC_STYLE_WARN),
                   evc_explain_copy_name(explain, copy, name),
                   evc_terminal_style(stdout, EVC_STYLE_PLAIN), text,
                   copy->is_counted ? "" : " (its zone is being filled)");
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
    } else if (unanswered == counted) {
        printf("%sno node answers: nothing can be said%s\n",
               evc_terminal_style(stdout, EVC_STYLE_WARN),
               evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    } else {
        printf("%s%s %zu %s alike%s\n",
               evc_terminal_style(stdout, unanswered > 0 ? EVC_STYLE_WARN : EVC_STYLE_GOOD),
               unanswered > 0 ? "the other" : "all", counted - unanswered,
               explain->newest == 0 ? "nodes hold nothing," : "copies are",
               evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    }
}

void
evc_explain_print(const struct evc_explain *explain)
{
    print_head(explain);
    print_copies(explain);
    print_versions(explain);
    print_events(explain);
    print_partition_notes(explain);
    print_way_notes(explain);
    print_notes(explain);
    print_summary(explain);
}
