/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks for Java and Kafka before anything is started, and prepares the broker's directory. The
 * process itself is a child like the others (plan.c), so that it is watched, logged and ended with
 * them.
 */
#include "cli/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/directory.h"
#include "topology/topology.h"

#define BROKER_CLUSTER_ID "ZXZjYWNoZS1tYW5hZ2VkMQ" /* any 16 bytes in base64 */

extern char **environ;

/** Runs a program to its end, what it prints appended to the file at output. Its exit status or -1.
 */
static int
run(char *const argv[], const char *output)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND,
                                     0644);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return -1;
    }
    return WEXITSTATUS(status);
}

/** The last match of pattern, in the order of names, without the name of the file itself. */
static bool
find_directory(const char *pattern, char directory[PATH_MAX])
{
    glob_t found = {0};
    bool is_found = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0;

    if (is_found) {
        const char *last = found.gl_pathv[found.gl_pathc - 1];
        snprintf(directory, PATH_MAX, "%.*s", (int)(strrchr(last, '/') - last), last);
    }
    globfree(&found);
    return is_found;
}

/** Where the set-up puts Kafka, seen from build/<dir>/src/cli/evcache. */
static bool
find_in_build(char directory[PATH_MAX])
{
    char pattern[PATH_MAX];
    char self[PATH_MAX - 64];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len <= 0) {
        return false;
    }
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(pattern, sizeof(pattern), "%s/../../../kafka/[0-9]*[0-9]/kafka_2.13-*.jar", self);
    return find_directory(pattern, directory);
}

static int
find_jars(char jars[PATH_MAX], struct evc_error *error)
{
    const char *named = getenv("EVCACHE_KAFKA");
    char pattern[PATH_MAX];
    char directory[PATH_MAX];
    bool is_found;

    if (named != NULL && named[0] != '\0') {
        snprintf(pattern, sizeof(pattern), "%s/kafka_2.13-*.jar", named);
        if (!find_directory(pattern, directory)) {
            return evc_error_set(error, EVC_E_NOT_FOUND,
                                 "no Kafka in %s (EVCACHE_KAFKA): kafka_2.13-VERSION.jar and what "
                                 "it needs are expected there",
                                 named);
        }
        is_found = true;
    } else {
        is_found = find_in_build(directory);
    }
    if (!is_found || (size_t)snprintf(jars, PATH_MAX, "%s/*", directory) >= PATH_MAX) {
        return evc_error_set(error, EVC_E_NOT_FOUND,
                             "`queue: {managed: true}` needs Kafka: run `make kafka`, or name a "
                             "directory of its jars with EVCACHE_KAFKA");
    }
    return 0;
}

int
evc_broker_find(const struct evc_config *config, struct evc_broker *ret, struct evc_error *error)
{
    char java[] = "java", flag[] = "-version";
    char *argv[] = {java, flag, NULL};
    struct sockaddr_storage address;
    struct evc_broker found = {0};
    int status = find_jars(found.jars, error);

    if (status != 0) {
        return status;
    }
    if (run(argv, "/dev/null") != 0) {
        return evc_error_set(error, EVC_E_NOT_FOUND,
                             "`queue: {managed: true}` needs Java: run `make kafka`, or install "
                             "the package default-jre-headless");
    }
    status = evc_address_parse(config->queue.brokers, &found.address, NULL);
    if (status == 0) {
        status = evc_address_resolve(&found.address, &address, NULL);
    }
    if (status != 0) {
        evc_address_finish(&found.address);
        return evc_error_set(error, EVC_E_CONFIG,
                             "`queue: {managed: true}` starts one broker, so `brokers` must be one "
                             "address of this machine, such as 127.0.0.1:9092, not %s",
                             config->queue.brokers);
    }
    *ret = found;
    return 0;
}

/** A free port of the loopback: nobody but the broker itself connects to its controller, so it may
 * be another each time. */
static int
pick_port(uint16_t *ret_port, struct evc_error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int status = 0;

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        status = evc_error_sys(error, errno, "no port for the broker's controller");
    }
    if (fd >= 0) {
        close(fd);
    }
    *ret_port = ntohs(address.sin_port);
    return status;
}

static int
write_properties(const struct evc_broker *broker, const char *directory, struct evc_error *error)
{
    uint16_t port;
    int status = pick_port(&port, error);

    if (status != 0) {
        return status;
    }
    FILE *file = fopen(broker->properties, "we");
    if (file == NULL) {
        return evc_error_sys(error, errno, "cannot write %s", broker->properties);
    }
    fprintf(file,
            "# Written by `evcache up` at every start.\n"
            "process.roles=broker,controller\n"
            "node.id=1\n"
            "controller.quorum.voters=1@127.0.0.1:%u\n"
            "controller.listener.names=CONTROLLER\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
            "listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%u\n"
            "advertised.listeners=PLAINTEXT://%s\n"
            "log.dirs=%s/data\n"
            "auto.create.topics.enable=false\n"
            "offsets.topic.replication.factor=1\n"
            "offsets.topic.num.partitions=4\n"
            "offset.metadata.max.bytes=65536\n" /* the books travel there */
            "transaction.state.log.replication.factor=1\n"
            "transaction.state.log.min.isr=1\n"
            "group.initial.rebalance.delay.ms=0\n"
            "num.network.threads=2\n"
            "num.io.threads=2\n"
            "log.cleaner.dedupe.buffer.size=2097152\n",
            port, broker->address.text, port, broker->address.text, directory);
    bool is_written = ferror(file) == 0;
    if (fclose(file) != 0 || !is_written) {
        return evc_error_sys(error, errno, "cannot write %s", broker->properties);
    }
    return 0;
}

static int
format_storage(struct evc_broker *broker, const char *directory, struct evc_error *error)
{
    char *argv[] = {"java",
                    "-cp",
                    broker->jars,
                    "kafka.tools.StorageTool",
                    "format",
                    "-t",
                    BROKER_CLUSTER_ID,
                    "--ignore-formatted",
                    "-c",
                    broker->properties,
                    NULL};
    char output[PATH_MAX + 16];

    snprintf(output, sizeof(output), "%s/format.log", directory);
    (void)unlink(output); /* of the start before; absent at the first */
    if (run(argv, output) != 0) {
        return evc_error_set(error, EVC_E_SYS,
                             "the broker's storage in %s could not be formatted; %s says why",
                             directory, output);
    }
    return 0;
}

int
evc_broker_prepare(struct evc_broker *broker, const struct evc_config *config,
                   struct evc_error *error)
{
    char directory[PATH_MAX - 64];
    char absolute[PATH_MAX];

    if ((size_t)snprintf(directory, sizeof(directory), "%s/broker", config->queue.path) >=
        sizeof(directory)) {
        return evc_error_set(error, EVC_E_LIMIT, "queue.path is too long for a broker below it");
    }
    int status = evc_directory_make(directory, error);
    if (status != 0) {
        return status;
    }
    if (realpath(directory, absolute) == NULL) {
        return evc_error_sys(error, errno, "cannot find %s", directory);
    }
    if ((size_t)snprintf(broker->properties, sizeof(broker->properties), "%s/server.properties",
                         absolute) >= sizeof(broker->properties)) {
        return evc_error_set(error, EVC_E_LIMIT, "queue.path is too long for a broker below it");
    }
    status = write_properties(broker, absolute, error);
    return status != 0 ? status : format_storage(broker, absolute, error);
}

void
evc_broker_finish(struct evc_broker *broker)
{
    evc_address_finish(&broker->address);
    *broker = (struct evc_broker){0};
}
