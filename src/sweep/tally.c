/* SPDX-License-Identifier: Apache-2.0 */
/* See tally.h. */
#include "sweep/tally.h"

#include <string.h>

unsigned
evc_tally_severity(unsigned state)
{
    static const unsigned char severities[EVC_COPY_STATE_MAX] = {
        [EVC_COPY_MISSING] = 1,
        [EVC_COPY_BEHIND] = 2,
        [EVC_COPY_DIFFERENT] = 3,
        [EVC_COPY_FOREIGN] = 4,
    };

    return severities[state];
}

/** The worst counted copy of one or two regions; copy_count: it is in none of them. */
static unsigned
worst_of(const struct evc_copy_layout *layout, const uint8_t *states, unsigned a, unsigned b)
{
    unsigned worst = layout->copy_count;

    for (unsigned i = 0; i < layout->copy_count; i++) {
        bool is_in = layout->is_counted[i] && (layout->region[i] == a || layout->region[i] == b);

        if (is_in && (states[i] == EVC_COPY_NEWEST || evc_tally_severity(states[i]) > 0) &&
            (worst == layout->copy_count ||
             evc_tally_severity(states[i]) > evc_tally_severity(states[worst]))) {
            worst = i;
        }
    }
    return worst;
}

static unsigned
worst_of_all(const struct evc_copy_layout *layout, const uint8_t *states)
{
    unsigned worst = layout->copy_count;

    for (unsigned i = 0; i < layout->copy_count; i++) {
        if (layout->is_counted[i] &&
            (worst == layout->copy_count ||
             evc_tally_severity(states[i]) > evc_tally_severity(states[worst]))) {
            worst = i;
        }
    }
    return worst;
}

static void
count_pairs(struct evc_tally *tally, const uint8_t *states)
{
    const struct evc_copy_layout *layout = &tally->layout;
    unsigned regions = 0;

    for (unsigned i = 0; i < layout->copy_count; i++) {
        regions = layout->region[i] >= regions ? layout->region[i] + 1U : regions;
    }
    for (unsigned a = 0; a < regions; a++) {
        for (unsigned b = a + 1; b < regions; b++) {
            unsigned worst = worst_of(layout, states, a, b);

            if (worst < layout->copy_count) {
                tally->pairs[a][b].states[states[worst]]++;
            }
        }
    }
}

static void
count(struct evc_tally *tally, enum evc_policy policy, const uint8_t *states)
{
    tally->keys++;
    for (unsigned i = 0; i < tally->layout.copy_count; i++) {
        tally->zones[i].states[states[i]]++;
    }
    if (policy != EVC_POLICY_NONE) {
        count_pairs(tally, states);
    }
}

void
evc_tally_entry(struct evc_tally *tally, const struct evc_copy_table *table,
                const struct evc_copy_entry *entry)
{
    uint8_t states[EVC_COPY_TABLE_COPIES_MAX];

    for (unsigned i = 0; i < tally->layout.copy_count; i++) {
        bool is_expected = entry->policy == EVC_POLICY_COPY ||
                           evc_copy_table_has_region(table, entry, tally->layout.region[i]);

        states[i] = evc_copy_entry_is_newest(entry, i)         ? EVC_COPY_NEWEST
                    : evc_copy_table_is_older(table, entry, i) ? EVC_COPY_BEHIND
                    : is_expected                              ? EVC_COPY_MISSING
                                                               : EVC_COPY_ABSENT;
    }
    count(tally, (enum evc_policy)entry->policy, states);
}

/** The worst first, then in the order of coming; the last one makes room. */
static void
take_sample(struct evc_tally *tally, const struct evc_tally_key *key, unsigned copy)
{
    unsigned severity = evc_tally_severity(key->states[copy]);
    unsigned place = tally->sample_count;
    struct evc_tally_sample *sample;

    while (place > 0 && evc_tally_severity(tally->samples[place - 1].state) < severity) {
        place--;
    }
    if (place == EVC_TALLY_SAMPLES_MAX) {
        return;
    }
    tally->sample_count += tally->sample_count < EVC_TALLY_SAMPLES_MAX;
    sample = &tally->samples[place];
    memmove(sample + 1, sample, (tally->sample_count - 1 - place) * sizeof(*sample));
    memcpy(sample->key, key->key.ptr, key->key.len);
    sample->key_len = (uint8_t)key->key.len;
    sample->copy = copy;
    sample->state = (enum evc_copy_state)key->states[copy];
}

/** Whether a copy of it is worse than missing. */
static bool
is_stale(const struct evc_tally *tally, const struct evc_tally_key *key)
{
    unsigned worst = worst_of_all(&tally->layout, key->states);

    return worst < tally->layout.copy_count && evc_tally_severity(key->states[worst]) > 1;
}

/** Whether one is after a repair, or was before and does not answer any more. */
static bool
is_left_stale(const struct evc_tally *tally, const struct evc_tally_key *before,
              const struct evc_tally_key *after)
{
    for (unsigned i = 0; i < tally->layout.copy_count; i++) {
        if (tally->layout.is_counted[i] && after->states[i] == EVC_COPY_UNANSWERED &&
            evc_tally_severity(before->states[i]) > 1) {
            return true;
        }
    }
    return is_stale(tally, after);
}

void
evc_tally_key(struct evc_tally *tally, const struct evc_tally_key *key)
{
    unsigned worst = worst_of_all(&tally->layout, key->states);
    unsigned severity =
        worst < tally->layout.copy_count ? evc_tally_severity(key->states[worst]) : 0;

    count(tally, key->policy, key->states);
    tally->missing += severity == 1;
    tally->stale += severity > 1;
    tally->stale_left += severity > 1;
    if (severity > 0) {
        take_sample(tally, key, worst);
    }
}

void
evc_tally_repair(struct evc_tally *tally, const struct evc_tally_key *before,
                 const struct evc_tally_key *after, uint32_t late)
{
    for (unsigned i = 0; i < tally->layout.copy_count; i++) {
        struct evc_tally_zone *zone = &tally->zones[i];

        if (!tally->layout.is_counted[i] || evc_tally_severity(before->states[i]) == 0) {
            continue;
        }
        if (evc_tally_severity(after->states[i]) == 0 && after->states[i] != EVC_COPY_UNANSWERED) {
            zone->repaired++;
        } else if (after->states[i] == EVC_COPY_MISSING &&
                   (late >> tally->layout.region[i] & 1) != 0) {
            zone->late++;
        } else {
            zone->failed++;
        }
    }
    tally->stale_left -= is_stale(tally, before) && !is_left_stale(tally, before, after);
}
