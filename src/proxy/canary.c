/* SPDX-License-Identifier: Apache-2.0 */
/* See canary.h. */
#include "proxy/canary.h"

#include <stdio.h>

int
evc_canary_init(struct evc_canary *canary, const struct evc_config *config, unsigned region,
                struct evc_writer *writer, const struct evc_moment *now)
{
    *canary = (struct evc_canary){
        .config = config,
        .writer = writer,
        .now = now,
        .region = region,
    };
    for (unsigned d = 0; d < config->regions_count && config->canary_ms > 0; d++) {
        if (d == region) {
            continue;
        }
        if (evc_canary_plan_make(config, region, d, &canary->plans[d]) != EVC_OK) {
            evc_canary_finish(canary);
            return EVC_E_NOMEM;
        }
        canary->stats.keys += canary->plans[d].count;
    }
    return EVC_OK;
}

void
evc_canary_finish(struct evc_canary *canary)
{
    for (unsigned d = 0; d < EVC_CONFIG_REGION_MAX; d++) {
        evc_canary_plan_finish(&canary->plans[d]);
    }
}

static void
on_written(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct evc_canary *canary = ctx;

    (void)tag;
    if (answer->result == EVC_WRITE_STORED) {
        canary->stats.stored_total++;
    } else {
        canary->stats.failed_total++;
    }
}

static void
write_key(struct evc_canary *canary, const struct evc_canary_key *key)
{
    uint32_t ttl_s = canary->config->canary_ms / 100; /* ten rounds */
    char value[48];
    struct evc_write_request request = {
        .kind = EVC_WRITE_SET,
        .key = evc_slice_str(key->text),
        .exptime = ttl_s > EVC_CANARY_TTL_MIN_S ? ttl_s : EVC_CANARY_TTL_MIN_S,
    };

    (void)snprintf(value, sizeof(value), "%llu %llu", (unsigned long long)canary->now->unix_us,
                   (unsigned long long)canary->stats.rounds_total);
    request.value = evc_slice_str(value);
    if (evc_write_start(canary->writer, &request, on_written, canary, 0) != EVC_OK) {
        canary->stats.failed_total++; /* the applications' writes have all the room there is */
    }
}

/** The next key of the round, NULL at its end. */
static const struct evc_canary_key *
next_key(struct evc_canary *canary)
{
    while (canary->destination < canary->config->regions_count) {
        const struct evc_canary_plan *plan = &canary->plans[canary->destination];

        if (canary->key < plan->count) {
            return &plan->keys[canary->key++];
        }
        canary->destination++;
        canary->key = 0;
    }
    return NULL;
}

void
evc_canary_tick(struct evc_canary *canary)
{
    const struct evc_canary_key *key;

    if (canary->stats.keys == 0) {
        return;
    }
    if (!canary->is_in_round && canary->now->mono_us >= canary->due_us) {
        canary->due_us = canary->now->mono_us + (uint64_t)canary->config->canary_ms * 1000;
        canary->is_in_round = true;
        canary->destination = canary->key = 0;
        canary->stats.rounds_total++;
    }
    for (unsigned i = 0; canary->is_in_round && i < EVC_CANARY_WRITES_PER_TICK; i++) {
        key = next_key(canary);
        canary->is_in_round = key != NULL;
        if (key) {
            write_key(canary, key);
        }
    }
}
