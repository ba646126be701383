/* SPDX-License-Identifier: Apache-2.0 */
/* Which node has the key in each zone, and how the copies compare; asking is in explain_ask.c. */
#include "survey/explain.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue/queue.h"
#include "topology/ring.h"

const char *
evc_copy_state_str(enum evc_copy_state state)
{
    static const char *const names[EVC_COPY_STATE_MAX] = {
        [EVC_COPY_NEWEST] = "newest",         [EVC_COPY_FOLLOWING] = "following",
        [EVC_COPY_ABSENT] = "absent",         [EVC_COPY_DRAINED] = "drained",
        [EVC_COPY_UNANSWERED] = "unanswered", [EVC_COPY_BEHIND] = "behind",
        [EVC_COPY_MISSING] = "missing",       [EVC_COPY_DIFFERENT] = "different",
        [EVC_COPY_FOREIGN] = "foreign",
    };

    assert(state < EVC_COPY_STATE_MAX);
    return names[state];
}

const char *
evc_explain_policy_str(enum evc_policy policy)
{
    static const char *const names[] = {
        [EVC_POLICY_COPY] = "copy",
        [EVC_POLICY_INVALIDATE] = "invalidate",
        [EVC_POLICY_NONE] = "none",
    };

    return names[policy];
}

const char *
evc_explain_writer(const struct evc_config *config, evc_version version,
                   char text[EVC_EXPLAIN_WRITER_BYTES])
{
    unsigned region = evc_version_region(version);
    unsigned slot = evc_version_writer(version) & (EVC_VERSION_SLOT_MAX - 1);
    char name[EVC_CONFIG_NAME_LEN_MAX + 1];

    if (region < config->regions_count) {
        snprintf(name, sizeof(name), "%s", config->regions[region].name);
    } else {
        snprintf(name, sizeof(name), "region %u", region);
    }
    if (slot < evc_config_relay_slot(0)) {
        snprintf(text, EVC_EXPLAIN_WRITER_BYTES, "%s/proxy/%u worker %u", name,
                 slot / EVC_CONFIG_WORKER_MAX, slot % EVC_CONFIG_WORKER_MAX);
    } else if (slot < evc_config_client_slot(0)) {
        snprintf(text, EVC_EXPLAIN_WRITER_BYTES, "%s/relay/%u", name,
                 slot - evc_config_relay_slot(0));
    } else {
        snprintf(text, EVC_EXPLAIN_WRITER_BYTES, "%s/client/%u", name,
                 slot - evc_config_client_slot(0));
    }
    return text;
}

/* --- which node --- */

/** The node that has the key; NULL only without memory. */
static const struct evc_address *
owner_of(const struct evc_config_zone *zone, struct evc_slice key)
{
    const char **texts = calloc(zone->nodes_count, sizeof(*texts));
    const struct evc_address *owner = NULL;
    struct evc_ring *ring;

    if (texts == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < zone->nodes_count; i++) {
        texts[i] = zone->nodes[i].text;
    }
    ring = evc_ring_create(texts, zone->nodes_count);
    if (ring != NULL) {
        owner = &zone->nodes[evc_ring_find(ring, evc_ring_hash(key))];
    }
    evc_ring_destroy(ring);
    free(texts);
    return owner;
}

static size_t
zones_of(const struct evc_config *config)
{
    size_t count = 0;

    for (unsigned r = 0; r < config->regions_count; r++) {
        count += config->regions[r].zones_count;
    }
    return count;
}

static bool
add_copies(struct evc_explain *explain, unsigned region)
{
    const struct evc_config_region *from = &explain->config->regions[region];

    for (unsigned z = 0; z < from->zones_count; z++) {
        struct evc_explain_copy *copy = &explain->copies[explain->copy_count++];
        enum evc_zone_state state = from->zones[z].state;

        *copy = (struct evc_explain_copy){
            .region = region, .zone = z, .is_counted = state == EVC_ZONE_SERVING};
        if (state != EVC_ZONE_DRAINED) {
            copy->address = owner_of(&from->zones[z], explain->key);
            if (copy->address == NULL) {
                return false;
            }
        }
    }
    return true;
}

/** Makes room for the relays and the ways of every region. */
static bool
add_relays(struct evc_explain *explain)
{
    const struct evc_config *config = explain->config;
    size_t relays = 0;

    for (unsigned r = 0; r < config->regions_count; r++) {
        relays += config->regions[r].relays_count;
    }
    explain->relays = calloc(relays + 1, sizeof(*explain->relays));
    explain->ways =
        calloc((size_t)config->regions_count * config->regions_count, sizeof(*explain->ways));
    if (explain->relays == NULL || explain->ways == NULL) {
        return false;
    }
    for (unsigned r = 0; r < config->regions_count; r++) {
        for (unsigned i = 0; i < config->regions[r].relays_count; i++) {
            explain->relays[explain->relay_count++] =
                (struct evc_explain_relay){.region = r, .index = i};
        }
        for (unsigned to = 0; to < config->regions_count; to++) {
            if (to != r) {
                explain->ways[explain->way_count++] =
                    (struct evc_explain_way){.source = r, .destination = to};
            }
        }
    }
    return true;
}

struct evc_explain *
evc_explain_create(const struct evc_config *config, struct evc_slice key)
{
    struct evc_explain *explain = calloc(1, sizeof(*explain));

    assert(key.len > 0 && key.len <= EVC_KEY_LEN_MAX);
    if (explain == NULL) {
        return NULL;
    }
    explain->config = config;
    memcpy(explain->key_bytes, key.ptr, key.len);
    explain->key = (struct evc_slice){.ptr = explain->key_bytes, .len = key.len};
    explain->policy = evc_config_policy_of(config, key.ptr, key.len);
    explain->partition = evc_queue_partition(key, config->queue.partitions);
    explain->timeout_ms = EVC_EXPLAIN_TIMEOUT_MS;
    explain->copies = calloc(zones_of(config), sizeof(*explain->copies));
    if (!add_relays(explain)) {
        evc_explain_destroy(explain);
        return NULL;
    }
    for (unsigned r = 0; explain->copies != NULL && r < config->regions_count; r++) {
        if (!add_copies(explain, r)) {
            evc_explain_destroy(explain);
            return NULL;
        }
    }
    if (explain->copies == NULL) {
        evc_explain_destroy(explain);
        return NULL;
    }
    return explain;
}

void
evc_explain_destroy(struct evc_explain *explain)
{
    if (explain != NULL) {
        free(explain->copies);
        free(explain->ways);
        free(explain->relays);
        free(explain);
    }
}

/* --- how they compare --- */

/** The first copy with the newest version, of one region or (regions_count) of all. */
static const struct evc_explain_copy *
newest_of(const struct evc_explain *explain, unsigned region)
{
    const struct evc_explain_copy *newest = NULL;

    for (size_t i = 0; i < explain->copy_count; i++) {
        const struct evc_explain_copy *copy = &explain->copies[i];
        if (copy->is_found && copy->version > (newest != NULL ? newest->version : 0) &&
            (copy->region == region || region == explain->config->regions_count)) {
            newest = copy;
        }
    }
    return newest;
}

const struct evc_explain_copy *
evc_explain_model(const struct evc_explain *explain, unsigned region)
{
    const struct evc_explain_copy *own = newest_of(explain, region);
    const struct evc_explain_copy *newest = newest_of(explain, explain->config->regions_count);

    switch (explain->policy) {
    case EVC_POLICY_COPY:
        return newest;
    case EVC_POLICY_INVALIDATE:
        return own != NULL && own->version == newest->version ? own : newest;
    case EVC_POLICY_NONE:
        return own;
    }
    assert(false);
    return NULL;
}

static bool
is_near_its_end(const struct evc_explain_copy *copy)
{
    return copy->reply.ttl_s >= 0 && copy->reply.ttl_s <= EVC_EXPLAIN_EXPIRY_SLACK_S;
}

static bool
is_expiry_alike(int64_t a_s, int64_t b_s)
{
    if (a_s < 0 || b_s < 0) {
        return a_s < 0 && b_s < 0;
    }
    return llabs(a_s - b_s) <= EVC_EXPLAIN_EXPIRY_SLACK_S;
}

/** What differs between two of one version, or NULL. A tombstone's life is each zone's own. */
static const char *
difference_of(const struct evc_node_reply *a, const struct evc_node_reply *b)
{
    if (a->is_tombstone != b->is_tombstone) {
        return "kind";
    }
    if (a->size != b->size) {
        return "size";
    }
    if (a->client_flags != b->client_flags) {
        return "flags";
    }
    return a->is_tombstone || is_expiry_alike(a->ttl_s, b->ttl_s) ? NULL : "expiry";
}

/** model: what it should be, or NULL. */
static enum evc_copy_state
judge_absent(const struct evc_explain *explain, const struct evc_explain_copy *copy,
             const struct evc_explain_copy *model)
{
    if (model == NULL || is_near_its_end(model)) {
        return EVC_COPY_ABSENT;
    }
    if (explain->policy == EVC_POLICY_INVALIDATE && newest_of(explain, copy->region) == NULL) {
        return EVC_COPY_ABSENT;
    }
    return EVC_COPY_MISSING;
}

static enum evc_copy_state
judge_copy(const struct evc_explain *explain, struct evc_explain_copy *copy)
{
    const struct evc_explain_copy *model = evc_explain_model(explain, copy->region);
    const char *difference;

    if (copy->address == NULL) {
        return EVC_COPY_DRAINED;
    }
    if (!copy->has_answered) {
        return EVC_COPY_UNANSWERED;
    }
    if (!copy->is_found) {
        return judge_absent(explain, copy, model);
    }
    if (copy->version == 0) {
        return EVC_COPY_FOREIGN;
    }
    if (copy->version < model->version) {
        evc_version settled = explain->settled[copy->region];

        copy->behind_ms = evc_version_unix_ms(model->version) - evc_version_unix_ms(copy->version);
        return settled != 0 && copy->version >= settled ? EVC_COPY_FOLLOWING : EVC_COPY_BEHIND;
    }
    difference = difference_of(&copy->reply, &model->reply);
    if (difference != NULL) {
        snprintf(copy->difference, sizeof(copy->difference), "%s", difference);
        return EVC_COPY_DIFFERENT;
    }
    return EVC_COPY_NEWEST;
}

void
evc_explain_judge(struct evc_explain *explain)
{
    const struct evc_explain_copy *newest = newest_of(explain, explain->config->regions_count);

    explain->newest = newest != NULL ? newest->version : 0;
    for (size_t i = 0; i < explain->copy_count; i++) {
        struct evc_explain_copy *copy = &explain->copies[i];

        copy->behind_ms = 0;
        copy->difference[0] = '\0';
        copy->state = judge_copy(explain, copy);
    }
}

void
evc_explain_settle(struct evc_explain *explain)
{
    for (unsigned region = 0; region < explain->config->regions_count; region++) {
        const struct evc_explain_copy *model = evc_explain_model(explain, region);

        explain->settled[region] = model != NULL ? model->version : 0;
    }
}

/** Of the copies that count, those in states from first to last. */
static size_t
count_states(const struct evc_explain *explain, enum evc_copy_state first, enum evc_copy_state last)
{
    size_t count = 0;

    for (size_t i = 0; i < explain->copy_count; i++) {
        const struct evc_explain_copy *copy = &explain->copies[i];
        count += copy->is_counted && copy->state >= first && copy->state <= last;
    }
    return count;
}

size_t
evc_explain_counted(const struct evc_explain *explain)
{
    return count_states(explain, EVC_COPY_NEWEST, EVC_COPY_STATE_MAX);
}

size_t
evc_explain_differing(const struct evc_explain *explain)
{
    return count_states(explain, EVC_COPY_BEHIND, EVC_COPY_STATE_MAX);
}

size_t
evc_explain_unanswered(const struct evc_explain *explain)
{
    return count_states(explain, EVC_COPY_UNANSWERED, EVC_COPY_UNANSWERED);
}

size_t
evc_explain_silent_relays(const struct evc_explain *explain)
{
    size_t count = 0;

    for (size_t i = 0; i < explain->relay_count; i++) {
        count += !explain->relays[i].has_answered;
    }
    return count;
}

void
evc_explain_look_patiently(struct evc_explain *explain)
{
    const struct timespec pause = {.tv_nsec = EVC_EXPLAIN_LOOK_PAUSE_MS * 1000000L};

    memset(explain->settled, 0, sizeof(explain->settled));
    for (unsigned look = 1;; look++) {
        evc_explain_look(explain);
        if (look == EVC_EXPLAIN_LOOKS_MAX || evc_explain_unanswered(explain) > 0 ||
            evc_explain_differing(explain) == 0) {
            return;
        }
        if (look == 1) {
            evc_explain_settle(explain);
        }
        (void)nanosleep(&pause, NULL);
    }
}
