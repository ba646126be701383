/* SPDX-License-Identifier: Apache-2.0 */
/* See sim_history.h. */
#include "sim_history.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "sim_world.h"
#include "topology/config.h"

void
sim_history_init(struct sim_history *history, struct sim_world *world)
{
    *history = (struct sim_history){.world = world};
}

struct sim_write *
sim_history_begin_write(struct sim_history *history)
{
    assert(history->write_count < SIM_WRITES_MAX);
    return &history->writes[history->write_count++];
}

static struct sim_version *
find(const struct sim_history *history, unsigned key, evc_version version)
{
    for (unsigned i = 0; i < history->version_count; i++) {
        const struct sim_version *known = &history->versions[i];

        if (known->key == key && known->version == version) {
            return (struct sim_version *)known;
        }
    }
    return NULL;
}

const struct sim_version *
sim_history_find(const struct sim_history *history, unsigned key, evc_version version)
{
    return find(history, key, version);
}

static struct sim_version *
add(struct sim_history *history, const struct sim_command *command, const struct sim_item *over)
{
    struct sim_version *version = &history->versions[history->version_count];

    if (history->version_count == SIM_VERSIONS_MAX) {
        sim_world_fail(history->world, SIM_FAILURE_REST,
                       "more than %d versions: the rules chase their own tail", SIM_VERSIONS_MAX);
        return &history->versions[0];
    }
    history->version_count++;
    *version = (struct sim_version){
        .key = command->key,
        .version = command->version,
        .client_flags = command->client_flags,
        .value_len = command->value_len,
        .has_ttl = command->ttl_s != 0 && command->client_flags != EVC_TOMBSTONE_FLAGS,
        .first_us = history->world->time.now_us,
        .landed_us = history->world->time.now_us,
    };
    memcpy(version->value, command->value, command->value_len);
    if (over && !sim_item_is_tombstone(over)) {
        version->has_over = true;
        version->over_len = over->value_len;
        memcpy(version->over, over->value, over->value_len);
    }
    return version;
}

static void
check_drift(struct sim_history *history, const struct sim_node *node,
            const struct sim_command *command)
{
    uint64_t limit_ms = sim_world_unix_us(history->world) / 1000 + history->world->plan.drift_ms +
                        history->world->plan.skew_us_max / 1000;

    if (evc_version_region(command->version) != node->region &&
        evc_version_unix_ms(command->version) > limit_ms) {
        sim_world_fail(history->world, SIM_FAILURE_DRIFT,
                       "a version beyond the drift bound reached region %u", node->region);
    }
}

static bool
is_same_content(const struct sim_version *version, const struct sim_command *command)
{
    return version->client_flags == command->client_flags &&
           version->value_len == command->value_len &&
           memcmp(version->value, command->value, command->value_len) == 0;
}

/** A value that nodes dropped everywhere, or that ran out, becomes a tombstone of its version. */
static bool
is_burial(const struct sim_history *history, const struct sim_version *version,
          const struct sim_command *command)
{
    bool may_be_gone = history->key_refused[command->key] ||
                       history->key_lost_content[command->key] ||
                       history->world->plan.ttl_s < SIM_LONG_TTL_S ||
                       sim_plan_has(&history->world->plan, SIM_THEME_LATE);

    return may_be_gone && (sim_command_is_tombstone(command) || sim_version_is_tombstone(version));
}

/** Abroad it is deleted under the version it has at home. */
static bool
is_invalidation(const struct sim_history *history, const struct sim_node *node,
                const struct sim_command *command)
{
    return history->world->plan.policies[command->key] == EVC_POLICY_INVALIDATE &&
           evc_version_region(command->version) != node->region &&
           sim_command_is_tombstone(command);
}

/**
 * What a relay restamped may be overwritten past evcache before anybody hears of it, and the next
 * survivor then be restamped alike by a relay that was killed in between.
 */
static bool
is_lost_restamp(const struct sim_history *history, const struct sim_command *command)
{
    return history->key_plain_us[command->key] != 0 && sim_version_is_restamp(command->version) &&
           history->world->kill_count > 0;
}

static void
check_policy(const struct sim_history *history, const struct sim_node *node,
             const struct sim_command *command)
{
    enum evc_policy policy = history->world->plan.policies[command->key];

    if (policy != EVC_POLICY_COPY && evc_version_region(command->version) != node->region &&
        !is_invalidation(history, node, command)) {
        sim_world_fail(history->world, SIM_FAILURE_POLICY, "version %" PRIx64 " of key-%u in r%u",
                       command->version, command->key, node->region);
    }
}

void
sim_history_note_stored(struct sim_history *history, const struct sim_node *node,
                        const struct sim_command *command, const struct sim_item *over)
{
    struct sim_version *version = find(history, command->key, command->version);

    if (command->version < EVC_VERSION_OURS_MIN) {
        sim_world_fail(history->world, SIM_FAILURE_PLAIN, "%" PRIx64 " of key-%u in r%u z%u",
                       command->version, command->key, node->region, node->zone);
    }
    check_drift(history, node, command);
    check_policy(history, node, command);
    if (!version) {
        version = add(history, command, over);
    }
    version->regions |= UINT32_C(1) << node->region;
    if (!is_same_content(version, command) && !is_burial(history, version, command) &&
        !is_invalidation(history, node, command) && !is_lost_restamp(history, command)) {
        sim_world_fail(history->world, SIM_FAILURE_CONTENTS, "version %" PRIx64 " of key-%u",
                       command->version, command->key);
    }
    if (command->verb == EVC_NODE_SET) {
        version->landed_us = history->world->time.now_us;
    }
}

void
sim_history_note_abandoned(const struct sim_process *by, struct evc_slice key, evc_version version)
{
    struct sim_history *history = &by->world->history;

    history->key_abandoned[sim_world_key_index(key)] = true;
    history->abandoned++;
    sim_world_say(by->world, "%s: gives up %.*s %" PRIx64, by->name, (int)key.len, key.ptr,
                  version);
}

void
sim_history_note_lost(struct sim_history *history, const struct sim_node *node, unsigned key)
{
    (void)node;
    history->key_lost_content[key] = true;
}

evc_version
sim_history_newest(const struct sim_history *history, unsigned key, unsigned region)
{
    evc_version newest = 0;

    for (unsigned i = 0; i < history->version_count; i++) {
        const struct sim_version *version = &history->versions[i];

        if (version->key == key && version->regions >> region & 1 && version->version > newest) {
            newest = version->version;
        }
    }
    return newest;
}

bool
sim_version_is_tombstone(const struct sim_version *version)
{
    return version->client_flags == EVC_TOMBSTONE_FLAGS && version->value_len == 0;
}

bool
sim_command_is_tombstone(const struct sim_command *command)
{
    return command->client_flags == EVC_TOMBSTONE_FLAGS && command->value_len == 0;
}

bool
sim_version_is_restamp(evc_version version)
{
    unsigned slot = evc_version_writer(version) & (EVC_VERSION_SLOT_MAX - 1);

    return slot >= evc_config_relay_slot(0);
}
