/* SPDX-License-Identifier: Apache-2.0 */
/* See config_address.h. */
#include "topology/config_address.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/decimal.h"

enum {
    ADDRESS_HOST_BYTES_MAX = 255, /* as long as a DNS name may be */
    ADDRESS_USE_BYTES = EVC_CONFIG_NAME_LEN_MAX + 32,
};

/* --- reading --- */

/** host of "host:port" or "[v6]:port": names and IPv4 without colons, IPv6 in brackets. */
static bool
split_host(const char *text, const char *colon, const char **ret_host, size_t *ret_len)
{
    bool has_brackets = text[0] == '[' && colon > text && colon[-1] == ']';

    *ret_host = has_brackets ? text + 1 : text;
    *ret_len = (size_t)(colon - text) - (has_brackets ? 2 : 0);
    if (*ret_len == 0 || *ret_len > ADDRESS_HOST_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < *ret_len; i++) {
        unsigned char c = (unsigned char)(*ret_host)[i];

        if (!isalnum(c) && !strchr("._-", c) && !(has_brackets && (c == ':' || c == '%'))) {
            return false;
        }
    }
    return true;
}

int
evc_address_parse(const char *text, struct evc_address *ret, struct evc_error *error)
{
    const char *colon = strrchr(text, ':');
    const char *host;
    uint64_t port;
    size_t host_len;

    if (!colon || !split_host(text, colon, &host, &host_len)) {
        return evc_error_set(error, EVC_E_CONFIG,
                             "address \"%.80s\" must be host:port or [IPv6]:port", text);
    }
    if (!evc_decimal_parse_u64(evc_slice_str(colon + 1), &port) || port == 0 || port > UINT16_MAX ||
        colon[1] == '0') {
        return evc_error_set(error, EVC_E_CONFIG, "address \"%.80s\" needs a port from 1 to 65535",
                             text);
    }
    *ret = (struct evc_address){
        .text = strdup(text),
        .host = strndup(host, host_len),
        .port = (uint16_t)port,
    };
    if (!ret->text || !ret->host) {
        evc_address_finish(ret);
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    return EVC_OK;
}

void
evc_address_finish(struct evc_address *address)
{
    free(address->text);
    free(address->host);
    *address = (struct evc_address){.port = 0};
}

static int
read_address(struct evc_yaml *yaml, yaml_node_t *node, struct evc_address *ret)
{
    struct evc_error error;
    const char *text = NULL;
    int rc = evc_yaml_text(yaml, node, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    rc = evc_address_parse(text, ret, &error);
    if (rc != EVC_OK) {
        return evc_yaml_mistake(yaml, node, "%s", error.text);
    }
    ret->line = (unsigned)node->start_mark.line + 1;
    return EVC_OK;
}

static int
make_room(struct evc_yaml *yaml, struct evc_address_list *list, unsigned count)
{
    list->addresses = calloc(count, sizeof(*list->addresses));
    return list->addresses ? EVC_OK : evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
}

int
evc_config_read_addresses(struct evc_yaml *yaml, yaml_node_t *value,
                          const struct evc_yaml_field *field, void *target)
{
    const struct evc_yaml_limits *limits = field->detail;
    struct evc_address_list *list = target;
    yaml_node_item_t *items;
    unsigned count;
    int rc = evc_yaml_sequence(yaml, value, (unsigned)limits->max, &items, &count);

    rc = rc ? rc : make_room(yaml, list, count);
    while (rc == EVC_OK && list->count < count) {
        size_t back = evc_yaml_enter_item(yaml, list->count);
        yaml_node_t *node = evc_yaml_node(yaml, items[list->count]);

        rc = read_address(yaml, node, &list->addresses[list->count++]);
        evc_yaml_leave(yaml, back);
    }
    return rc;
}

int
evc_config_read_one_or_more(struct evc_yaml *yaml, yaml_node_t *value,
                            const struct evc_yaml_field *field, void *target)
{
    struct evc_address_list *list = target;
    int rc;

    if (value->type == YAML_SEQUENCE_NODE) {
        return evc_config_read_addresses(yaml, value, field, target);
    }
    rc = make_room(yaml, list, 1);
    if (rc == EVC_OK) {
        list->count = 1;
        rc = read_address(yaml, value, &list->addresses[0]);
    }
    return rc;
}

void
evc_config_free_addresses(struct evc_address *addresses, unsigned count)
{
    for (unsigned i = 0; addresses && i < count; i++) {
        evc_address_finish(&addresses[i]);
    }
    free(addresses);
}

/* --- the check that none is used twice --- */

/** An address and what it is for. */
struct address_use {
    const struct evc_address *address;
    char what[ADDRESS_USE_BYTES];
};

struct address_uses {
    struct address_use *uses;
    unsigned count;
};

static void
add_uses(struct address_uses *uses, const struct evc_address *addresses, unsigned count,
         const char *role, const char *owner)
{
    for (unsigned i = 0; i < count; i++) {
        struct address_use *use = &uses->uses[uses->count++];

        use->address = &addresses[i];
        snprintf(use->what, sizeof(use->what), "%s of %s", role, owner);
    }
}

static void
add_region_uses(struct address_uses *uses, const struct evc_config_region *region)
{
    add_uses(uses, region->proxies, region->proxies_count, "a proxy", region->name);
    add_uses(uses, region->receivers, region->receivers_count, "a receiver", region->name);
    add_uses(uses, region->admins, region->admins_count, "an admin address", region->name);
    add_uses(uses, region->relays, region->relays_count, "a relay", region->name);
    for (unsigned z = 0; z < region->zones_count; z++) {
        const struct evc_config_zone *zone = &region->zones[z];

        add_uses(uses, zone->nodes, zone->nodes_count, "a node", zone->name);
    }
}

static unsigned
count_addresses(const struct evc_config *config)
{
    unsigned count = 0;

    for (unsigned i = 0; i < config->regions_count; i++) {
        const struct evc_config_region *region = &config->regions[i];

        count += region->proxies_count + region->receivers_count + region->admins_count +
                 region->relays_count;
        for (unsigned z = 0; z < region->zones_count; z++) {
            count += region->zones[z].nodes_count;
        }
    }
    return count;
}

/** By host and port, not by text; of equals the earlier in the file first. */
static int
compare_places(const void *a, const void *b)
{
    const struct evc_address *left = ((const struct address_use *)a)->address;
    const struct evc_address *right = ((const struct address_use *)b)->address;
    int order = strcasecmp(left->host, right->host);

    if (order == 0) {
        order = (left->port > right->port) - (left->port < right->port);
    }
    return order;
}

static int
compare_uses(const void *a, const void *b)
{
    unsigned left = ((const struct address_use *)a)->address->line;
    unsigned right = ((const struct address_use *)b)->address->line;
    int order = compare_places(a, b);

    return order ? order : (left > right) - (left < right);
}

int
evc_config_check_addresses(const struct evc_config *config, struct evc_error *error)
{
    struct address_uses uses = {
        .uses = calloc(count_addresses(config) + 1U, sizeof(struct address_use))};
    int rc = EVC_OK;

    if (!uses.uses) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    for (unsigned i = 0; i < config->regions_count; i++) {
        add_region_uses(&uses, &config->regions[i]);
    }
    qsort(uses.uses, uses.count, sizeof(uses.uses[0]), compare_uses);
    for (unsigned i = 1; i < uses.count && rc == EVC_OK; i++) {
        const struct address_use *first = &uses.uses[i - 1], *second = &uses.uses[i];

        if (compare_places(first, second) == 0) {
            rc = evc_error_set(error, EVC_E_CONFIG,
                               "%s:%u: address %s is given twice: as %s in line %u and as %s here; "
                               "each process needs its own",
                               config->file, second->address->line, second->address->text,
                               first->what, first->address->line, second->what);
        }
    }
    free(uses.uses);
    return rc;
}
