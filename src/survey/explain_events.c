/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the relays what they know of the key, a thread for each, and puts their answers together.
 * Nothing in an answer is trusted further than its type.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/admin.h"
#include "survey/explain.h"

/** One relay to be asked. Where there is no thread, one is asked after another. */
struct question {
    const struct evc_explain *explain;
    struct evc_explain_relay *relay;
    const char *path;
    json_t *answer;
    pthread_t thread;
    bool has_thread;
};

static bool
is_of(const json_t *answer, const char *cache, const char *region, unsigned index)
{
    const char *part, *its_cache, *its_region;
    int its_index;

    return json_unpack((json_t *)(uintptr_t)answer, "{s:s, s:s, s:s, s:i}", "part", &part, "cache",
                       &its_cache, "region", &its_region, "index", &its_index) == 0 &&
           strcmp(part, "relay") == 0 && strcmp(its_cache, cache) == 0 &&
           strcmp(its_region, region) == 0 && its_index == (int)index;
}

static void *
ask_one(void *arg)
{
    struct question *question = arg;
    struct evc_explain_relay *relay = question->relay;
    const struct evc_config *config = question->explain->config;
    const struct evc_config_region *region = &config->regions[relay->region];
    const struct evc_address *address = &region->relays[relay->index];
    struct evc_error error = {0};

    relay->has_answered = false;
    relay->why[0] = '\0';
    if (evc_admin_get(address, question->path, question->explain->timeout_ms, &question->answer,
                      &error) != EVC_OK) {
        snprintf(relay->why, sizeof(relay->why), "%s", error.text);
    } else if (!is_of(question->answer, config->cache, region->name, relay->index)) {
        snprintf(relay->why, sizeof(relay->why), "%s is answered by another process",
                 address->text);
    } else {
        relay->has_answered = true;
    }
    return NULL;
}

static void
ask_all(struct evc_explain *explain, struct question *questions)
{
    for (size_t i = 0; i < explain->relay_count; i++) {
        struct question *question = &questions[i];

        question->has_thread = pthread_create(&question->thread, NULL, ask_one, question) == 0;
        if (!question->has_thread) {
            (void)ask_one(question);
        }
    }
    for (size_t i = 0; i < explain->relay_count; i++) {
        if (questions[i].has_thread) {
            (void)pthread_join(questions[i].thread, NULL);
        }
        if (explain->relays[i].has_answered) {
            evc_explain_read_relay(explain, explain->relays[i].region, questions[i].answer);
        }
        json_decref(questions[i].answer);
    }
}

void
evc_explain_ask_relays(struct evc_explain *explain)
{
    struct question *questions = calloc(explain->relay_count + 1, sizeof(*questions));
    char path[EVC_ADMIN_EXPLAIN_PATH_BYTES];

    evc_admin_explain_path(explain->key, path);
    for (size_t i = 0; i < explain->way_count; i++) {
        explain->ways[i] = (struct evc_explain_way){.source = explain->ways[i].source,
                                                    .destination = explain->ways[i].destination};
    }
    for (size_t i = 0; i < explain->relay_count; i++) {
        explain->relays[i].has_answered = false;
        snprintf(explain->relays[i].why, sizeof(explain->relays[i].why), "out of memory");
        if (questions != NULL) {
            questions[i] =
                (struct question){.explain = explain, .relay = &explain->relays[i], .path = path};
        }
    }
    if (questions != NULL) {
        ask_all(explain, questions);
        free(questions);
    }
}

/* --- an answer --- */

static uint64_t
age(json_int_t time_us, json_int_t now_us)
{
    return time_us > 0 && time_us < now_us ? (uint64_t)(now_us - time_us) : 0;
}

/** What ended events and those under way have alike. */
static bool
read_event(const json_t *object, const char *outcome_name, struct evc_explain_event *ret)
{
    const char *version, *kind, *outcome;
    json_int_t first;
    int slot, attempts;

    if (json_unpack((json_t *)(uintptr_t)object, "{s:s, s:s, s:s, s:i, s:I, s:i}", "version",
                    &version, "kind", &kind, outcome_name, &outcome, "slot", &slot, "first", &first,
                    "attempts", &attempts) != 0) {
        return false;
    }
    *ret = (struct evc_explain_event){.version = strtoull(version, NULL, 16),
                                      .slot = (unsigned)slot,
                                      .first = (uint64_t)first,
                                      .attempts = (unsigned)attempts};
    snprintf(ret->kind, sizeof(ret->kind), "%.*s", (int)sizeof(ret->kind) - 1, kind);
    snprintf(ret->outcome, sizeof(ret->outcome), "%.*s", (int)sizeof(ret->outcome) - 1, outcome);
    return true;
}

/** Puts an event where its age belongs; the oldest beyond the bound falls out. */
static void
add_event(struct evc_explain_way *way, const struct evc_explain_event *event)
{
    unsigned at = way->event_count;

    while (at > 0 && !way->events[at - 1].is_under_way &&
           (event->is_under_way || way->events[at - 1].age_us > event->age_us)) {
        at--;
    }
    if (at == EVC_EXPLAIN_EVENTS_MAX) {
        return;
    }
    way->event_count += way->event_count < EVC_EXPLAIN_EVENTS_MAX;
    memmove(&way->events[at + 1], &way->events[at],
            (way->event_count - at - 1) * sizeof(way->events[0]));
    way->events[at] = *event;
}

static void
read_events(struct evc_explain_way *way, const json_t *destination, json_int_t now_us)
{
    const json_t *under_way = json_object_get(destination, "under_way");
    struct evc_explain_event event;
    const json_t *object;
    size_t i;

    if (json_is_object(under_way) && read_event(under_way, "state", &event)) {
        event.is_under_way = true;
        event.age_us = (uint64_t)json_integer_value(json_object_get(under_way, "failing_us"));
        add_event(way, &event);
    }
    json_array_foreach(json_object_get(destination, "events"), i, object)
    {
        if (read_event(object, "outcome", &event)) {
            event.age_us = age(json_integer_value(json_object_get(object, "ended_us")), now_us);
            add_event(way, &event);
        }
    }
}

static struct evc_explain_way *
way_find(struct evc_explain *explain, unsigned source, const char *destination)
{
    for (size_t i = 0; destination != NULL && i < explain->way_count; i++) {
        struct evc_explain_way *way = &explain->ways[i];

        if (way->source == source &&
            strcmp(explain->config->regions[way->destination].name, destination) == 0) {
            return way;
        }
    }
    return NULL;
}

void
evc_explain_read_relay(struct evc_explain *explain, unsigned region, const json_t *answer)
{
    json_int_t now_us = json_integer_value(json_object_get(answer, "now_us"));
    const json_t *destination;
    size_t i;

    json_array_foreach(json_object_get(answer, "destinations"), i, destination)
    {
        const char *name = json_string_value(json_object_get(destination, "region"));
        struct evc_explain_way *way = way_find(explain, region, name);

        if (way == NULL) {
            continue;
        }
        if (json_is_true(json_object_get(destination, "has_partition"))) {
            way->is_known = true;
            way->remembered +=
                (uint64_t)json_integer_value(json_object_get(destination, "remembered"));
        }
        way->partition = (unsigned)json_integer_value(json_object_get(answer, "partition"));
        way->partitions = (unsigned)json_integer_value(json_object_get(answer, "partitions"));
        read_events(way, destination, now_us);
    }
}
