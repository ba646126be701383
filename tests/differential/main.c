/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same random sequences of commands to a plain memcached and to a proxy: both must answer
 * alike, byte for byte, but for what reply.h lists.
 *
 *     differential --memcached PORT --proxy PORT [--seed N] [--commands N] [--zones]
 *                  [--only NAME,… | --without NAME,…] [--first N] [--lanes N] [--show]
 *
 * Both listen on 127.0.0.1, both are used by nobody else. Ends 0 when all replies were alike, 1
 * with the first that were not; the same seed and --first N --commands 1 repeat that sequence
 * alone, with
 * --show batch by batch.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "lane.h"

enum {
    LANES_MAX = 64,
    POLL_MS = 1000
};

struct run {
    struct diff_options options;
    struct sockaddr_in addresses[DIFF_SIDES];
    uint64_t commands_wanted;
    uint64_t first;
    unsigned lane_count;
    struct diff_lane lanes[LANES_MAX];
};

static uint64_t
row_of(struct evc_slice name)
{
    for (unsigned row = 0; diff_command_name(row); row++) {
        if (evc_slice_equal(name, evc_slice_str(diff_command_name(row)))) {
            return UINT64_C(1) << row;
        }
    }
    fprintf(stderr, "differential: no command %.*s\n", (int)name.len, name.ptr);
    exit(2);
}

static uint64_t
rows_of(const char *names)
{
    uint64_t rows = 0;

    for (;;) {
        size_t len = strcspn(names, ",");

        rows |= row_of((struct evc_slice){.ptr = names, .len = len});
        if (names[len] == '\0') {
            return rows;
        }
        names += len + 1;
    }
}

static uint64_t
number_of(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    diff_check(*text != '\0' && *end == '\0', "not a number");
    return value;
}

static struct sockaddr_in
loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)number_of(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void
parse_arguments(struct run *run, int argc, char **argv)
{
    static const struct option options[] = {
        {"memcached", required_argument, NULL, 'm'},
        {"proxy", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 's'},
        {"commands", required_argument, NULL, 'n'},
        {"only", required_argument, NULL, 'o'},
        {"without", required_argument, NULL, 'w'},
        {"first", required_argument, NULL, 'f'},
        {"lanes", required_argument, NULL, 'l'},
        {"zones", no_argument, NULL, 'z'},
        {"show", no_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    unsigned sides = 0;

    for (int letter; (letter = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (letter == 'm' || letter == 'p') {
            run->addresses[letter == 'p'] = loopback(optarg);
            sides |= letter == 'p' ? 2 : 1;
        } else if (letter == 's') {
            run->options.seed = number_of(optarg);
        } else if (letter == 'n') {
            run->commands_wanted = number_of(optarg);
        } else if (letter == 'o') {
            run->options.commands = rows_of(optarg);
        } else if (letter == 'w') {
            run->options.commands &= ~rows_of(optarg);
        } else if (letter == 'f') {
            run->first = number_of(optarg);
        } else if (letter == 'l') {
            run->lane_count = (unsigned)number_of(optarg);
        } else if (letter == 'z') {
            run->options.has_zones = true;
        } else if (letter == 'a') {
            run->options.shows_all = true;
        } else {
            exit(2);
        }
    }
    diff_check(sides == 3, "--memcached PORT and --proxy PORT are needed");
    diff_check(run->options.commands != 0, "no commands are left");
    diff_check(run->lane_count > 0 && run->lane_count <= LANES_MAX, "1 to 64 lanes");
}

/** Keeps every lane busy until enough commands were sent. 0, or 1 when replies differ. */
static int
play(struct run *run, uint64_t *ret_commands, uint64_t *ret_sequences)
{
    struct pollfd polls[LANES_MAX * DIFF_SIDES];
    uint64_t next = run->first;
    unsigned running;

    do {
        running = 0;
        for (unsigned i = 0; i < run->lane_count; i++) {
            struct diff_lane *lane = &run->lanes[i];

            if (!lane->is_running && *ret_commands < run->commands_wanted) {
                diff_lane_start(lane, &run->options, next++, run->addresses);
            }
            running += lane->is_running;
            diff_lane_poll(lane, &polls[i * DIFF_SIDES]);
        }
        (void)poll(polls, run->lane_count * DIFF_SIDES, POLL_MS); /* interrupted: looks again */
        for (unsigned i = 0; i < run->lane_count; i++) {
            struct diff_lane *lane = &run->lanes[i];

            if (lane->is_running && !diff_lane_step(lane, &polls[i * DIFF_SIDES])) {
                return 1;
            }
            *ret_commands += lane->sequence.command_count;
            lane->sequence.command_count = 0;
        }
    } while (running > 0);
    *ret_sequences = next - run->first;
    return 0;
}

int
main(int argc, char **argv)
{
    static struct run run = {.commands_wanted = 1000000, .lane_count = 16};
    uint64_t commands = 0, sequences = 0, replies = 0;
    time_t began = time(NULL);
    int status;

    run.options.seed = (uint64_t)began;
    run.options.salt = (uint32_t)began ^ (uint32_t)getpid() << 16;
    for (unsigned row = 0; diff_command_name(row); row++) {
        run.options.commands |= UINT64_C(1) << row;
    }
    parse_arguments(&run, argc, argv);
    for (unsigned i = 0; i < run.lane_count; i++) {
        diff_lane_init(&run.lanes[i]);
    }
    status = play(&run, &commands, &sequences);
    for (unsigned i = 0; i < run.lane_count; i++) {
        replies += run.lanes[i].replies;
        diff_lane_finish(&run.lanes[i]);
    }
    printf("differential: %s: %llu commands in %llu sequences, %llu replies, seed %llu, %lld s\n",
           status == 0 ? "alike" : "DIFFERENT", (unsigned long long)commands,
           (unsigned long long)sequences, (unsigned long long)replies,
           (unsigned long long)run.options.seed, (long long)(time(NULL) - began));
    return status;
}
