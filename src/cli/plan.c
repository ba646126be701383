/* SPDX-License-Identifier: Apache-2.0 */
/* From the configuration to command lines. Opens no socket but to ask whether a port is free. */
#include "cli/plan.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/listener.h"
#include "topology/topology.h"

enum {
    PLAN_ARGUMENTS_MAX = 32,
    PLAN_NODE_CONNECTIONS_MAX = 4096,
    PLAN_NODE_REQUESTS_PER_EVENT = 1000, /* memcached -R: halves its CPU on deep pipelines */
    PLAN_ITEM_OVERHEAD_BYTES = 1024,     /* header, key and suffix of an item, generously */
    PLAN_ITEM_STEP_BYTES = 512 * 1024,   /* memcached -I must be a multiple of its chunk size */
    PLAN_ITEM_BYTES_MIN = 1024 * 1024,
};

/** A command line under construction; heap strings. */
struct arguments {
    char *list[PLAN_ARGUMENTS_MAX];
    size_t count;
    bool is_broken; /* out of memory */
};

__attribute__((format(printf, 2, 3))) static void
add(struct arguments *arguments, const char *format, ...)
{
    va_list args;
    char *text = NULL;

    assert(arguments->count + 1 < PLAN_ARGUMENTS_MAX);
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        arguments->is_broken = true;
        text = NULL;
    }
    va_end(args);
    if (text != NULL) {
        arguments->list[arguments->count++] = text;
    }
}

/** The finished vector, or NULL without memory; either way arguments is empty afterwards. */
static char **
arguments_take(struct arguments *arguments)
{
    char **argv = arguments->is_broken ? NULL : calloc(arguments->count + 1, sizeof(*argv));

    for (size_t i = 0; i < arguments->count; i++) {
        if (argv != NULL) {
            argv[i] = arguments->list[i];
        } else {
            free(arguments->list[i]);
        }
    }
    arguments->count = 0;
    return argv;
}

/** The directory a path lies in, then name: "run/queue" → "run/log". */
static char *
path_beside(const char *path, const char *name)
{
    size_t len = strlen(path);
    char *result = NULL;

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    return asprintf(&result, "%.*s%s", (int)len, path, name) < 0 ? NULL : result;
}

/** mkdir -p. */
static int
make_directories(const char *path, struct evc_error *error)
{
    char *copy = strdup(path);

    if (copy == NULL) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    for (char *slash = copy + 1;; slash++) {
        char end = *slash;
        if (end != '/' && end != '\0') {
            continue;
        }
        *slash = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST) {
            int status = evc_error_sys(error, errno, "cannot make the directory %s", copy);
            free(copy);
            return status;
        }
        if (end == '\0') {
            break;
        }
        *slash = end;
    }
    free(copy);
    return 0;
}

/** Adds a child; takes argv. name is a path-like name that also makes the log's name. */
static struct evc_child *
add_child(struct evc_plan *plan, enum evc_child_kind kind, struct arguments *arguments,
          const char *name)
{
    char *log_path = NULL, *own_name = strdup(name);
    char **argv = arguments_take(arguments);
    int len = asprintf(&log_path, "%s/%s.log", plan->log_directory, name);

    if (own_name == NULL || argv == NULL || len < 0) {
        for (char **arg = argv; arg != NULL && *arg != NULL; arg++) {
            free(*arg);
        }
        free(argv);
        free(own_name);
        free(len < 0 ? NULL : log_path);
        return NULL;
    }
    for (char *at = log_path + strlen(plan->log_directory) + 1; *at != '\0'; at++) {
        *at = *at == '/' ? '-' : *at;
    }
    struct evc_child *child = &plan->children[plan->child_count++];
    evc_child_init(child, kind, own_name, argv, log_path);
    return child;
}

static uint32_t
node_item_bytes(const struct evc_config *config)
{
    uint32_t need = config->value_len_max + PLAN_ITEM_OVERHEAD_BYTES;
    uint32_t steps = (need + PLAN_ITEM_STEP_BYTES - 1) / PLAN_ITEM_STEP_BYTES;
    uint32_t bytes = steps * PLAN_ITEM_STEP_BYTES;

    return bytes < PLAN_ITEM_BYTES_MIN ? PLAN_ITEM_BYTES_MIN : bytes;
}

static void
add_node_arguments(struct arguments *arguments, const struct evc_plan_options *options,
                   const struct evc_address *address)
{
    const struct passwd *user = getuid() == 0 ? getpwuid(0) : NULL;

    add(arguments, "%s", options->memcached->path);
    add(arguments, "-l");
    add(arguments, strchr(address->host, ':') != NULL ? "[%s]" : "%s", address->host);
    add(arguments, "-p");
    add(arguments, "%u", address->port);
    add(arguments, "-U");
    add(arguments, "0");
    add(arguments, "-m");
    add(arguments, "%s", options->config->node.memory);
    add(arguments, "-t");
    add(arguments, "1");
    add(arguments, "-R");
    add(arguments, "%d", PLAN_NODE_REQUESTS_PER_EVENT);
    add(arguments, "-c");
    add(arguments, "%d", PLAN_NODE_CONNECTIONS_MAX);
    add(arguments, "-I");
    add(arguments, "%u", node_item_bytes(options->config));
    if (user != NULL) { /* memcached refuses to run as root unless it is told to */
        add(arguments, "-u");
        add(arguments, "%s", user->pw_name);
    }
}

static void
add_daemon_arguments(struct arguments *arguments, const struct evc_plan_options *options,
                     const char *verb, const char *region, unsigned index)
{
    add(arguments, "%s", options->program);
    add(arguments, "%s", verb);
    add(arguments, "--config");
    add(arguments, "%s", options->config->file);
    add(arguments, "--region");
    add(arguments, "%s", region);
    add(arguments, "--index");
    add(arguments, "%u", index);
    add(arguments, "--log-level");
    add(arguments, "%s", options->log_level);
}

static bool
add_zone(struct evc_plan *plan, const struct evc_plan_options *options,
         const struct evc_config_region *region, const struct evc_config_zone *zone)
{
    char name[3 * EVC_CONFIG_NAME_LEN_MAX];

    for (unsigned i = 0; i < zone->nodes_count; i++) {
        struct arguments arguments = {0};
        add_node_arguments(&arguments, options, &zone->nodes[i]);
        snprintf(name, sizeof(name), "%s/node/%s/%u", region->name, zone->name, i);
        struct evc_child *child = add_child(plan, EVC_CHILD_NODE, &arguments, name);
        if (child == NULL) {
            return false;
        }
        child->address = &zone->nodes[i];
    }
    return true;
}

static bool
add_region(struct evc_plan *plan, const struct evc_plan_options *options,
           const struct evc_config_region *region)
{
    char name[2 * EVC_CONFIG_NAME_LEN_MAX];

    for (unsigned z = 0; z < region->zones_count; z++) {
        if (!add_zone(plan, options, region, &region->zones[z])) {
            return false;
        }
    }
    for (unsigned i = 0; i < region->proxies_count; i++) {
        struct arguments arguments = {0};
        add_daemon_arguments(&arguments, options, "proxy", region->name, i);
        snprintf(name, sizeof(name), "%s/proxy/%u", region->name, i);
        struct evc_child *child = add_child(plan, EVC_CHILD_PROXY, &arguments, name);
        if (child == NULL) {
            return false;
        }
        child->address = &region->admins[i];
    }
    for (unsigned i = 0; i < region->relays_count; i++) {
        struct arguments arguments = {0};
        add_daemon_arguments(&arguments, options, "relay", region->name, i);
        snprintf(name, sizeof(name), "%s/relay/%u", region->name, i);
        struct evc_child *child = add_child(plan, EVC_CHILD_RELAY, &arguments, name);
        if (child == NULL) {
            return false;
        }
        child->address = &region->relays[i];
    }
    return true;
}

static bool
add_broker(struct evc_plan *plan, const struct evc_broker *broker)
{
    struct arguments arguments = {0};

    add(&arguments, "java");
    add(&arguments, "-Xmx%dm", EVC_BROKER_HEAP_MIB);
    add(&arguments, "-XX:+UseSerialGC");
    add(&arguments, "-XX:TieredStopAtLevel=1"); /* a short start counts for more here */
    add(&arguments, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    add(&arguments, "-cp");
    add(&arguments, "%s", broker->jars);
    add(&arguments, "kafka.Kafka");
    add(&arguments, "%s", broker->properties);
    struct evc_child *child = add_child(plan, EVC_CHILD_BROKER, &arguments, "broker");
    if (child == NULL) {
        return false;
    }
    child->address = &broker->address;
    return true;
}

static size_t
count_children(const struct evc_config *config)
{
    size_t count = config->queue.is_managed ? 1 : 0;

    for (unsigned r = 0; r < config->regions_count; r++) {
        const struct evc_config_region *region = &config->regions[r];
        count += region->proxies_count + region->relays_count;
        for (unsigned z = 0; z < region->zones_count; z++) {
            count += region->zones[z].nodes_count;
        }
    }
    return count;
}

int
evc_plan_create(struct evc_plan *plan, const struct evc_plan_options *options,
                struct evc_error *error)
{
    const struct evc_config *config = options->config;

    *plan = (struct evc_plan){0};
    plan->log_directory = path_beside(config->queue.path, "log");
    plan->children = calloc(count_children(config), sizeof(*plan->children));
    if (plan->log_directory == NULL || plan->children == NULL) {
        evc_plan_destroy(plan);
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    int status = make_directories(plan->log_directory, error);
    if (status == 0 && options->broker != NULL && !add_broker(plan, options->broker)) {
        status = evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    for (unsigned r = 0; r < config->regions_count && status == 0; r++) {
        if (!add_region(plan, options, &config->regions[r])) {
            status = evc_error_set(error, EVC_E_NOMEM, "out of memory");
        }
    }
    if (status != 0) {
        evc_plan_destroy(plan);
    }
    return status;
}

void
evc_plan_destroy(struct evc_plan *plan)
{
    for (size_t i = 0; i < plan->child_count; i++) {
        evc_child_finish(&plan->children[i]);
    }
    free(plan->children);
    free(plan->log_directory);
    *plan = (struct evc_plan){0};
}

/** What was found while the ports are looked at. */
struct port_check {
    struct evc_error *error; /* the first that is taken */
    unsigned taken;
    int status;
};

/** Why a process could not listen there, and what to do about it. */
static void
explain_port(const struct evc_address *address, const char *owner, const char *setting,
             const struct evc_error *why, struct evc_error *ret)
{
    if (why->status == EVC_E_BUSY) {
        evc_error_set(ret, why->status,
                      "%s is taken (`%s` of %s); stop what has it, or change that setting",
                      address->text, setting, owner);
    } else if (why->sys_errno == EADDRNOTAVAIL) {
        evc_error_set(ret, why->status,
                      "%s is no address of this machine (`%s` of %s); `evcache up` runs everything "
                      "on one machine, `evcache proxy` and `evcache relay` run each on its own",
                      address->text, setting, owner);
    } else {
        evc_error_set(ret, why->status, "%s (`%s` of %s)", why->text, setting, owner);
    }
}

static void
check_ports(struct port_check *check, const struct evc_address *addresses, unsigned count,
            const char *owner, const char *setting)
{
    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_storage address;
        struct evc_error why = {0};
        int status =
            evc_address_resolve(&addresses[i], &address, check->status == 0 ? check->error : NULL);
        if (status == 0) {
            status = evc_listener_probe((const struct sockaddr *)&address, &why);
            check->taken += status == EVC_E_BUSY;
            if (status != 0 && check->status == 0) {
                explain_port(&addresses[i], owner, setting, &why, check->error);
            }
        }
        check->status = check->status == 0 ? status : check->status;
    }
}

int
evc_plan_check_ports(const struct evc_config *config, const struct evc_broker *broker,
                     struct evc_error *error)
{
    struct port_check check = {.error = error};

    if (broker != NULL) {
        check_ports(&check, &broker->address, 1, "queue", "brokers");
    }

    for (unsigned r = 0; r < config->regions_count; r++) {
        const struct evc_config_region *region = &config->regions[r];
        check_ports(&check, region->proxies, region->proxies_count, region->name, "proxies");
        check_ports(&check, region->receivers, region->receivers_count, region->name, "receivers");
        check_ports(&check, region->admins, region->admins_count, region->name, "admin");
        check_ports(&check, region->relays, region->relays_count, region->name, "relays");
        for (unsigned z = 0; z < region->zones_count; z++) {
            check_ports(&check, region->zones[z].nodes, region->zones[z].nodes_count,
                        region->zones[z].name, "nodes");
        }
    }
    if (check.taken > 1) {
        size_t len = strlen(error->text);
        snprintf(error->text + len, sizeof(error->text) - len, " (and %u more)", check.taken - 1);
    }
    return check.status;
}
