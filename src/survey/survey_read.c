/* SPDX-License-Identifier: Apache-2.0 */
/* See survey_read.h. */
#include "survey/survey_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/admin.h"

static uint64_t
number(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));

    return value > 0 ? (uint64_t)value : 0;
}

static const char *
text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value != NULL ? value : "";
}

/** Copies as much of from as fits. */
static void
copy_text(char *to, size_t to_bytes, const char *from)
{
    snprintf(to, to_bytes, "%.*s", (int)to_bytes - 1, from);
}

json_t *
evc_survey_ask(const struct evc_survey *survey, struct evc_survey_process *process)
{
    struct evc_error error = {0};
    json_t *answer = NULL;
    const char *region = survey->config->regions[process->region].name;

    process->has_answered = false;
    if (evc_admin_get(process->address, "/status.json", survey->timeout_ms, &answer, &error) != 0) {
        copy_text(process->why, sizeof(process->why), error.text);
        return NULL;
    }
    if (strcmp(text(answer, "part"), process->is_proxy ? "proxy" : "relay") != 0 ||
        strcmp(text(answer, "region"), region) != 0 ||
        strcmp(text(answer, "cache"), survey->config->cache) != 0) {
        snprintf(process->why, sizeof(process->why), "%s is answered by another process (%s of %s)",
                 process->address->text, text(answer, "part"), text(answer, "region"));
        json_decref(answer);
        return NULL;
    }
    process->has_answered = true;
    process->why[0] = '\0';
    return answer;
}

/** How long ago; 0 for a time that is not there, or ahead. */
static uint64_t
age(uint64_t time_us, uint64_t now_us)
{
    return time_us > 0 && time_us < now_us ? now_us - time_us : 0;
}

/** By the clock of whoever answers: its machine is that of its journals and its queue. */
static uint64_t
answer_time(const json_t *answer)
{
    uint64_t now_us = number(answer, "now_us");

    return now_us > 0 ? now_us : evc_clock_unix_us();
}

static void
add_journal(struct evc_survey_process *process, const json_t *journal, uint64_t now_us)
{
    uint64_t waiting_us = age(number(journal, "oldest_us"), now_us);

    process->journal_waiting += number(journal, "waiting");
    if (waiting_us > process->journal_waiting_us) {
        process->journal_waiting_us = waiting_us;
    }
}

/** The journals of a list of slots. */
static void
add_journals(struct evc_survey_process *process, const json_t *slots, uint64_t now_us)
{
    const json_t *slot;
    size_t index;

    json_array_foreach(slots, index, slot)
    {
        add_journal(process, json_object_get(slot, "journal"), now_us);
    }
}

static void
read_process(struct evc_survey_process *process, const json_t *answer)
{
    const json_t *feeder = json_object_get(answer, "feeder");
    const json_t *produced = json_object_get(answer, "produced");
    uint64_t now_us = answer_time(answer);

    process->pid = number(answer, "pid");
    process->uptime_s = number(answer, "uptime_s");
    process->cpu_us = number(answer, "cpu_us");
    process->journal_lost = number(answer, "lost_at_journal");
    process->journal_waiting = 0;
    process->journal_waiting_us = 0;
    add_journal(process, json_object_get(answer, "journal"), now_us);
    add_journals(process, json_object_get(answer, "workers"), now_us);
    add_journals(process, json_object_get(answer, "clients"), now_us);
    process->is_feeder_stalled = json_is_true(json_object_get(feeder, "stalled"));
    copy_text(process->feeder_error, sizeof(process->feeder_error), text(feeder, "error"));
    for (unsigned p = 0; p < EVC_PARTITION_MAX; p++) {
        json_int_t value = json_integer_value(json_array_get(produced, p));
        process->produced[p] = value > 0 ? (uint64_t)value : 0;
    }
}

/* --- what a relay tells --- */

static void
read_buckets(struct evc_survey_cell *cell, const json_t *buckets)
{
    size_t room = json_array_size(buckets), i;
    const json_t *entry;

    free(cell->buckets.at); /* a partition that is named twice counts once */
    cell->buckets = (struct evc_survey_buckets){0};
    room = room < EVC_HISTOGRAM_BUCKETS ? room : EVC_HISTOGRAM_BUCKETS;
    cell->buckets.at = calloc(room, sizeof(*cell->buckets.at));
    if (cell->buckets.at == NULL) {
        return;
    }
    json_array_foreach(buckets, i, entry)
    {
        json_int_t index = json_integer_value(json_array_get(entry, 0));
        json_int_t count = json_integer_value(json_array_get(entry, 1));
        if (cell->buckets.count < room && json_is_integer(json_array_get(entry, 0)) && index >= 0 &&
            index < EVC_HISTOGRAM_BUCKETS && count > 0) {
            cell->buckets.at[cell->buckets.count].bucket = (unsigned)index;
            cell->buckets.at[cell->buckets.count++].count = (uint64_t)count;
        }
    }
}

/** now_us: of the relay, whose machine is that of the queue, so that clocks do not matter. */
static void
read_cell(struct evc_survey_cell *cell, const json_t *partition, uint64_t now_us)
{
    const json_t *outcomes = json_object_get(partition, "outcomes");
    uint64_t oldest_us = number(partition, "oldest_us");

    cell->is_known = true;
    cell->lost = number(partition, "lost");
    cell->duplicate = number(partition, "duplicate");
    /* Exactly the events of records the group has not committed past; those of open batches are
     * among them, and outcomes are counted when their batch is folded. */
    cell->in_flight = number(partition, "backlog_events");
    cell->records_unread = number(partition, "records_unread");
    cell->waiting_us = age(oldest_us, now_us);
    cell->state = evc_survey_state_by_age(cell->waiting_us);
    cell->lag_p99_us = number(json_object_get(partition, "lag_us"), "p99");
    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        cell->outcome[i] = number(outcomes, evc_outcome_str((enum evc_outcome)i));
    }
    read_buckets(cell, json_object_get(partition, "lag_buckets"));
}

/** What a relay says of one of its groups. Adds to what other relays of the region have said. */
static void
read_group(struct evc_survey_pair *pair, const json_t *group, uint64_t now_us)
{
    const json_t *partition;
    size_t i;
    uint64_t lag_max_us = number(json_object_get(group, "lag_us"), "max");

    json_array_foreach(json_object_get(group, "partitions"), i, partition)
    {
        uint64_t index = number(partition, "partition");
        if (json_is_integer(json_object_get(partition, "partition")) &&
            index < pair->partition_count) {
            read_cell(&pair->cells[index], partition, now_us);
        }
    }
    if (lag_max_us > pair->lag.max) {
        pair->lag.max = lag_max_us;
    }
    pair->slot_conflicts += number(group, "slot_conflicts");
    pair->corrupt_records += number(group, "corrupt");
    if (pair->source != pair->destination && strcmp(text(group, "link"), "up") != 0) {
        pair->is_link_up = false;
        copy_text(pair->why, sizeof(pair->why), text(group, "why"));
    }
}

/** What the relay of a destination finds of the other regions' canaries. */
static void
read_canaries(struct evc_survey *survey, unsigned destination, const json_t *canaries)
{
    const json_t *told;
    size_t i;
    unsigned source;

    json_array_foreach(canaries, i, told)
    {
        if (evc_config_region_find(survey->config, text(told, "source"), &source, NULL) == 0 &&
            source != destination) {
            struct evc_survey_pair *pair = evc_survey_pair_at(survey, source, destination);
            uint64_t stale = number(told, "stale");
            pair->canaries = number(told, "keys");
            pair->canaries_stale = stale < pair->canaries ? stale : pair->canaries;
        }
    }
}

static void
read_relay(struct evc_survey *survey, unsigned source, const json_t *answer)
{
    uint64_t now_us = answer_time(answer);
    const json_t *group;
    size_t i;
    unsigned region;

    json_array_foreach(json_object_get(answer, "destinations"), i, group)
    {
        if (evc_config_region_find(survey->config, text(group, "region"), &region, NULL) == 0 &&
            region != source) {
            read_group(evc_survey_pair_at(survey, source, region), group, now_us);
        }
    }
    read_canaries(survey, source, json_object_get(answer, "canaries"));
    evc_survey_prefixes_read(&survey->prefixes, source, json_object_get(answer, "prefixes"));
    group = json_object_get(answer, "repair");
    if (group != NULL) {
        read_group(evc_survey_pair_at(survey, source, source), group, now_us);
    }
}

/* --- what a proxy tells --- */

static struct evc_survey_node *
node_find(const struct evc_survey *survey, unsigned region, const json_t *told)
{
    for (size_t i = 0; i < survey->node_count; i++) {
        struct evc_survey_node *node = &survey->nodes[i];
        const char *zone = survey->config->regions[node->region].zones[node->zone].name;
        if (node->region == region && strcmp(node->address->text, text(told, "node")) == 0 &&
            strcmp(zone, text(told, "zone")) == 0) {
            return node;
        }
    }
    return NULL;
}

static void
read_node(struct evc_survey_node *node, const json_t *told)
{
    bool is_up = strcmp(text(told, "state"), "up") == 0;

    if (!node->is_known || (node->is_up && !is_up)) {
        copy_text(node->state, sizeof(node->state), text(told, "state"));
        copy_text(node->why, sizeof(node->why), text(told, "why"));
    }
    node->is_up = is_up && (!node->is_known || node->is_up);
    node->is_known = true;
    node->ops += number(told, "ops");
    node->errors += number(told, "errors");
    if (json_is_integer(json_object_get(told, "items"))) {
        node->has_memory = true;
        node->items = number(told, "items");
        node->bytes = number(told, "bytes");
        node->bytes_max = number(told, "bytes_max");
        node->evictions = number(told, "evictions");
    }
}

static void
read_worker(struct evc_survey_region *region, const json_t *worker)
{
    const json_t *reads = json_object_get(worker, "reads");
    const json_t *writes = json_object_get(worker, "writes");

    region->connections += number(worker, "connections");
    region->hits += number(reads, "hits");
    region->misses += number(reads, "misses");
    region->writes +=
        number(writes, "stored") + number(writes, "deleted") + number(writes, "touched");
}

static void
read_proxy(struct evc_survey *survey, unsigned index, const json_t *answer)
{
    struct evc_survey_region *region = &survey->regions[index];
    const json_t *queue = json_object_get(answer, "queue"), *item;
    size_t i;

    json_array_foreach(json_object_get(answer, "workers"), i, item)
    {
        read_worker(region, item);
    }
    region->told_count++;
    region->queue_bytes = number(queue, "bytes");
    region->queue_bytes_max = number(queue, "bytes_max");
    json_array_foreach(json_object_get(answer, "nodes"), i, item)
    {
        struct evc_survey_node *node = node_find(survey, index, item);
        if (node != NULL) {
            read_node(node, item);
        }
    }
}

void
evc_survey_read(struct evc_survey *survey, struct evc_survey_process *process, const json_t *answer)
{
    size_t partition_count = json_array_size(json_object_get(answer, "produced"));

    evc_survey_grow(survey, process->region,
                    partition_count < EVC_PARTITION_MAX ? (unsigned)partition_count
                                                        : EVC_PARTITION_MAX);
    read_process(process, answer);
    if (process->is_proxy) {
        read_proxy(survey, process->region, answer);
    } else {
        read_relay(survey, process->region, answer);
    }
}
