/* SPDX-License-Identifier: Apache-2.0 */
/* See canary_watch.h. A probe per canary; ages are worked out when somebody asks, so they go on
 * growing while nothing can be read. */
#include "relay/canary_watch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

enum {
    NUMBER_BYTES = 24
};

enum probe_result {
    PROBE_FOUND,
    PROBE_MISSING,
    PROBE_UNANSWERED,
    PROBE_RESULT_MAX,
};

static const char *const result_names[PROBE_RESULT_MAX] = {
    [PROBE_FOUND] = "found",
    [PROBE_MISSING] = "missing",
    [PROBE_UNANSWERED] = "unanswered",
};

/** One canary of one source. */
struct probe {
    struct evc_node_op op;
    struct source *source;
    const struct evc_canary_key *key;
    const struct evc_node *node;
    bool is_asked;
    bool is_missing;     /* at the last answer */
    uint64_t written_us; /* by the source's clock, as last read; 0: none yet */
};

struct source {
    struct evc_canary_watch *watch;
    unsigned region;
    struct evc_canary_plan plan;
    struct probe *probes;
    uint64_t results[PROBE_RESULT_MAX];
    uint64_t went_back; /* reads that found an older one than the read before */
};

struct evc_canary_watch {
    struct evc_canary_watch_options options;
    const struct evc_config *config;
    struct source sources[EVC_CONFIG_REGION_MAX];
    unsigned source_count;
    unsigned source, probe; /* what is read next of the round under way */
    bool is_in_round;
    uint64_t due_us;     /* monotonic */
    uint64_t started_us; /* Unix */
};

/* --- setting up --- */

/** The topology's index of a zone of the configuration; UINT_MAX: not there. */
static unsigned
zone_find(const struct evc_topology *topology, const char *name)
{
    for (unsigned z = 0; z < topology->zone_count; z++) {
        if (strcmp(topology->zones[z].name, name) == 0) {
            return z;
        }
    }
    return UINT32_MAX;
}

static int
source_init(struct evc_canary_watch *watch, struct source *source, unsigned region)
{
    const struct evc_topology *topology = watch->options.topology;
    const struct evc_config_region *own = &watch->config->regions[topology->region];

    source->watch = watch;
    source->region = region;
    if (evc_canary_plan_make(watch->config, region, topology->region, &source->plan) != EVC_OK) {
        return EVC_E_NOMEM;
    }
    source->probes = calloc(source->plan.count + 1, sizeof(*source->probes));
    if (!source->probes) {
        return EVC_E_NOMEM;
    }
    for (unsigned i = 0; i < source->plan.count; i++) {
        struct probe *probe = &source->probes[i];
        unsigned zone = zone_find(topology, own->zones[source->plan.keys[i].zone].name);

        assert(zone < topology->zone_count); /* the plan leaves out the same zones */
        probe->source = source;
        probe->key = &source->plan.keys[i];
        probe->node = &topology->zones[zone].nodes[probe->key->node];
        probe->op.zone = (uint8_t)zone;
    }
    return EVC_OK;
}

int
evc_canary_watch_create(const struct evc_canary_watch_options *options,
                        struct evc_canary_watch **ret)
{
    const struct evc_config *config = options->topology->config;
    struct evc_canary_watch *watch;

    *ret = NULL;
    if (config->canary_ms == 0 || config->regions_count < 2) {
        return EVC_OK;
    }
    watch = calloc(1, sizeof(*watch));
    if (!watch) {
        return EVC_E_NOMEM;
    }
    watch->options = *options;
    watch->config = config;
    watch->started_us = options->now->unix_us;
    for (unsigned r = 0; r < config->regions_count; r++) {
        if (r == options->topology->region) {
            continue;
        }
        if (source_init(watch, &watch->sources[watch->source_count++], r) != EVC_OK) {
            evc_canary_watch_destroy(watch);
            return EVC_E_NOMEM;
        }
    }
    *ret = watch;
    return EVC_OK;
}

void
evc_canary_watch_destroy(struct evc_canary_watch *watch)
{
    for (unsigned s = 0; watch && s < watch->source_count; s++) {
        evc_canary_plan_finish(&watch->sources[s].plan);
        free(watch->sources[s].probes);
    }
    free(watch);
}

/* --- reading --- */

/** `<Unix microseconds> <round>`; 0 for anything else. */
static uint64_t
written_us(struct evc_slice value)
{
    const char *blank = memchr(value.ptr, ' ', value.len);
    uint64_t us;

    if (!blank) {
        return 0;
    }
    value.len = (size_t)(blank - value.ptr);
    return evc_decimal_parse_u64(value, &us) ? us : 0;
}

static void
on_done(struct evc_node_op *op)
{
    struct probe *probe = EVC_CONTAINER_OF(op, struct probe, op);
    enum probe_result result = PROBE_UNANSWERED;

    probe->is_asked = false;
    if (op->result == EVC_NODE_HIT && !op->reply.is_tombstone) {
        uint64_t us = written_us(op->reply.value);

        result = PROBE_FOUND;
        probe->source->went_back += us != 0 && us < probe->written_us;
        probe->written_us = us != 0 ? us : probe->written_us;
    } else if (op->result == EVC_NODE_HIT || op->result == EVC_NODE_MISS) {
        result = PROBE_MISSING;
    }
    if (result != PROBE_UNANSWERED) {
        probe->is_missing = result == PROBE_MISSING;
    }
    probe->source->results[result]++;
}

static void
ask(struct probe *probe)
{
    struct evc_canary_watch *watch = probe->source->watch;

    if (probe->is_asked) {
        return; /* the answer of the last round is still awaited */
    }
    probe->is_asked = true;
    probe->op.verb = EVC_NODE_GET;
    probe->op.want = EVC_WANT_VALUE | EVC_WANT_FLAGS | EVC_WANT_NO_BUMP;
    probe->op.key = evc_slice_str(probe->key->text);
    probe->op.deadline_us =
        watch->options.now->mono_us + (uint64_t)watch->config->read_timeout_ms * 1000;
    probe->op.on_done = on_done;
    evc_node_port_submit(watch->options.port, &probe->op);
}

static struct probe *
next_probe(struct evc_canary_watch *watch)
{
    while (watch->source < watch->source_count) {
        struct source *source = &watch->sources[watch->source];

        if (watch->probe < source->plan.count) {
            return &source->probes[watch->probe++];
        }
        watch->source++;
        watch->probe = 0;
    }
    return NULL;
}

void
evc_canary_watch_tick(struct evc_canary_watch *watch)
{
    uint64_t now_us = watch ? watch->options.now->mono_us : 0;

    if (!watch) {
        return;
    }
    if (!watch->is_in_round && now_us >= watch->due_us) {
        watch->due_us = now_us + (uint64_t)watch->config->canary_ms * 1000;
        watch->is_in_round = true;
        watch->source = watch->probe = 0;
    }
    for (unsigned i = 0; watch->is_in_round && i < EVC_WATCH_READS_PER_TICK; i++) {
        struct probe *probe = next_probe(watch);

        watch->is_in_round = probe != NULL;
        if (probe) {
            ask(probe);
        }
    }
}

/* --- what is known --- */

/** How old what a reader would find is; since the start, where nothing was ever found. */
static uint64_t
age_us(const struct evc_canary_watch *watch, const struct probe *probe)
{
    int64_t now_us = (int64_t)watch->options.now->unix_us;
    int64_t age;

    if (probe->written_us == 0) {
        age = now_us - (int64_t)watch->started_us;
    } else {
        age = now_us - (int64_t)probe->written_us +
              watch->options.ahead_us(watch->options.ctx, probe->source->region);
    }
    return age > 0 ? (uint64_t)age : 0;
}

static uint64_t
stale_after_us(const struct evc_canary_watch *watch)
{
    return ((uint64_t)watch->config->canary_ms * EVC_WATCH_STALE_ROUNDS +
            EVC_WATCH_STALE_SLACK_MS) *
           1000;
}

/** What all probes of a source say together. */
struct summary {
    uint64_t keys, stale, missing, oldest_us;
};

static struct summary
summarize(const struct evc_canary_watch *watch, const struct source *source)
{
    struct summary summary = {.keys = source->plan.count};

    for (unsigned i = 0; i < source->plan.count; i++) {
        uint64_t age = age_us(watch, &source->probes[i]);

        summary.stale += age > stale_after_us(watch);
        summary.missing += source->probes[i].is_missing;
        summary.oldest_us = age > summary.oldest_us ? age : summary.oldest_us;
    }
    return summary;
}

static const char *
source_name(const struct evc_canary_watch *watch, const struct source *source)
{
    return watch->config->regions[source->region].name;
}

static const char *
own_name(const struct evc_canary_watch *watch)
{
    return watch->config->regions[watch->options.topology->region].name;
}

static const struct {
    struct evc_metric metric;
    size_t offset;
} summary_fields[] = {
    {{"evcache_canary_keys", EVC_METRIC_GAUGE, "Canaries of the source that are read here."},
     offsetof(struct summary, keys)},
    {{"evcache_canary_stale_keys", EVC_METRIC_GAUGE,
      "Of those, older than three rounds and a second: what was written there is not here."},
     offsetof(struct summary, stale)},
    {{"evcache_canary_missing_keys", EVC_METRIC_GAUGE, "Of those, not there at all."},
     offsetof(struct summary, missing)},
};

static void
put_summaries(const struct evc_canary_watch *watch, struct evc_metric_page *page)
{
    for (size_t f = 0; f < sizeof(summary_fields) / sizeof(summary_fields[0]); f++) {
        evc_metric_family(page, &summary_fields[f].metric);
        for (unsigned s = 0; s < watch->source_count; s++) {
            struct summary summary = summarize(watch, &watch->sources[s]);

            evc_metric_count(page,
                             *(const uint64_t *)((const char *)&summary + summary_fields[f].offset),
                             "source", source_name(watch, &watch->sources[s]), "destination",
                             own_name(watch), NULL);
        }
    }
    evc_metric_family(page, &(struct evc_metric){"evcache_canary_reads_total", EVC_METRIC_COUNTER,
                                                 "Reads of canaries, by what came of them."});
    for (unsigned s = 0; s < watch->source_count; s++) {
        for (unsigned r = 0; r < PROBE_RESULT_MAX; r++) {
            evc_metric_count(page, watch->sources[s].results[r], "source",
                             source_name(watch, &watch->sources[s]), "destination", own_name(watch),
                             "result", result_names[r], NULL);
        }
    }
    evc_metric_family(page,
                      &(struct evc_metric){"evcache_canary_went_back_total", EVC_METRIC_COUNTER,
                                           "Reads of a canary that found an older one than the "
                                           "read before."});
    for (unsigned s = 0; s < watch->source_count; s++) {
        evc_metric_count(page, watch->sources[s].went_back, "source",
                         source_name(watch, &watch->sources[s]), "destination", own_name(watch),
                         NULL);
    }
}

/** The oldest canary of a source on each node. */
static void
put_node_ages(const struct evc_canary_watch *watch, const struct source *source,
              struct evc_metric_page *page)
{
    const struct evc_topology *topology = watch->options.topology;

    for (unsigned z = 0; z < topology->zone_count; z++) {
        for (unsigned n = 0; n < topology->zones[z].node_count; n++) {
            const struct evc_node *node = &topology->zones[z].nodes[n];
            uint64_t oldest_us = 0;

            for (unsigned i = 0; i < source->plan.count; i++) {
                uint64_t age =
                    source->probes[i].node == node ? age_us(watch, &source->probes[i]) : 0;
                oldest_us = age > oldest_us ? age : oldest_us;
            }
            evc_metric_us(page, (int64_t)oldest_us, "source", source_name(watch, source),
                          "destination", own_name(watch), "zone", topology->zones[z].name, "node",
                          node->text, NULL);
        }
    }
}

/** The oldest canary of a source in each partition. */
static void
put_partition_ages(const struct evc_canary_watch *watch, const struct source *source,
                   struct evc_metric_page *page)
{
    for (unsigned p = 0; p < watch->config->queue.partitions; p++) {
        char partition[NUMBER_BYTES];
        uint64_t oldest_us = 0;

        for (unsigned i = 0; i < source->plan.count; i++) {
            uint64_t age =
                source->probes[i].key->partition == p ? age_us(watch, &source->probes[i]) : 0;
            oldest_us = age > oldest_us ? age : oldest_us;
        }
        (void)snprintf(partition, sizeof(partition), "%u", p);
        evc_metric_us(page, (int64_t)oldest_us, "source", source_name(watch, source), "destination",
                      own_name(watch), "partition", partition, NULL);
    }
}

void
evc_canary_watch_metrics(const struct evc_canary_watch *watch, struct evc_metric_page *page)
{
    if (!watch) {
        return;
    }
    put_summaries(watch, page);
    evc_metric_family(page,
                      &(struct evc_metric){"evcache_canary_node_age_seconds", EVC_METRIC_GAUGE,
                                           "Age of the oldest canary on a node of the "
                                           "destination, by the source's clock."});
    for (unsigned s = 0; s < watch->source_count; s++) {
        put_node_ages(watch, &watch->sources[s], page);
    }
    evc_metric_family(page,
                      &(struct evc_metric){"evcache_canary_partition_age_seconds", EVC_METRIC_GAUGE,
                                           "Age of the oldest canary that goes through a "
                                           "partition, by the source's clock."});
    for (unsigned s = 0; s < watch->source_count; s++) {
        put_partition_ages(watch, &watch->sources[s], page);
    }
}

json_t *
evc_canary_watch_report(const struct evc_canary_watch *watch)
{
    json_t *array = json_array();

    for (unsigned s = 0; array && watch && s < watch->source_count; s++) {
        struct summary summary = summarize(watch, &watch->sources[s]);

        if (json_array_append_new(
                array, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "source",
                                 source_name(watch, &watch->sources[s]), "keys",
                                 (json_int_t)summary.keys, "stale", (json_int_t)summary.stale,
                                 "missing", (json_int_t)summary.missing, "went_back",
                                 (json_int_t)watch->sources[s].went_back, "oldest_us",
                                 (json_int_t)summary.oldest_us)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
