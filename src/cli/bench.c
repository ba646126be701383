/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `bench`: reads the load from the command line, runs it (bench/bench.h), and shows how
 * fast it was answered and what it cost. */
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/figure.h"
#include "bench/bench.h"
#include "bench/cpu.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "topology/topology.h"

enum {
    WATCHED_MAX = 64,
    ADDRESS_TEXT_BYTES = 300,
};

static const char help[] =
    "usage: evcache bench [options] ADDRESS...\n"
    "\n"
    "Loads memcached, a proxy, or anything else that speaks memcached's classic text\n"
    "protocol at ADDRESS (host:port), and prints requests a second, latencies, and\n"
    "CPU time per request.\n"
    "\n"
    "  --connections N    in all, going round the addresses (default 32)\n"
    "  --threads N        each with its share of the connections (1)\n"
    "  --pipeline N       requests in one write; the next when all are answered (1;\n"
    "                     at most 1024)\n"
    "  --rate N           requests a second in all, sent when they are due whatever\n"
    "                     is unanswered; latencies count from then. Without it: as\n"
    "                     fast as they are answered\n"
    "  --ratio G:S        gets to sets (9:1)\n"
    "  --keys N           how many (100000)\n"
    "  --zipf THETA       popular keys: 0 all alike, 0.99 as in YCSB (0; below 1)\n"
    "  --prefix TEXT      of every key, at most 14 bytes (bench:)\n"
    "  --value N|MIN-MAX  bytes of a value (100)\n"
    "  --ttl SECONDS      of what is set (0: never expires)\n"
    "  --no-fill          do not set every key once before\n"
    "  --warmup SECONDS   not measured (1)\n"
    "  --time SECONDS     measured (5)\n"
    "  --seed N           another load of the same kind (1)\n"
    "  --watch-pid PID    tell that process's CPU time per request; may be repeated\n"
    "  --json             the result as JSON\n"
    "\n"
    "While it runs a line on a terminal tells how far it is. Exit status: 0 it ran,\n"
    "1 it could not, 2 the command line is wrong, 3 it ran and there were errors\n"
    "(the first is named).\n";

struct bench_run {
    struct evc_bench_options options;
    struct sockaddr_storage addresses[EVC_BENCH_ADDRESSES_MAX];
    pid_t watched[WATCHED_MAX];
    uint64_t watched_us[WATCHED_MAX];
    char watched_names[WATCHED_MAX][32];
    unsigned watched_count;
    bool is_json;
    bool has_line; /* of progress, on the terminal */
};

/* --- the command line --- */

/** A whole number within bounds, or the mistake is told. */
static bool
take_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    if (!evc_decimal_parse_u64(evc_slice_str(text), ret) || *ret < min || *ret > max) {
        evc_cli_misuse("bench", "--%s '%s' is not a whole number from %llu to %llu", option, text,
                       (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    return true;
}

static bool
take_unsigned(const char *option, const char *text, unsigned min, unsigned max, unsigned *ret)
{
    uint64_t value;

    if (!take_number(option, text, min, max, &value)) {
        return false;
    }
    *ret = (unsigned)value;
    return true;
}

/** Seconds with a fraction, as milliseconds. */
static bool
take_seconds(const char *option, const char *text, double min, unsigned *ret_ms)
{
    char *end;
    double seconds = strtod(text, &end);

    if (*end != '\0' || end == text || !(seconds >= min && seconds <= 86400)) {
        evc_cli_misuse("bench", "--%s '%s' is not a number of seconds from %g to 86400", option,
                       text, min);
        return false;
    }
    *ret_ms = (unsigned)(seconds * 1000);
    return true;
}

/** "A<mark>B", or "A" alone for both where alone_is_both. */
static bool
take_two(const char *option, char *text, char mark, bool alone_is_both, uint64_t max,
         uint64_t *ret_first, uint64_t *ret_second)
{
    char *second = strchr(text, mark);

    if (!second && !alone_is_both) {
        evc_cli_misuse("bench", "--%s '%s' is not of the form N%cN", option, text, mark);
        return false;
    }
    if (second) {
        *second++ = '\0';
    }
    return take_number(option, text, 0, max, ret_first) &&
           take_number(option, second ? second : text, 0, max, ret_second);
}

static bool
take_ratio(struct evc_load *load, char *text)
{
    uint64_t gets, sets;

    if (!take_two("ratio", text, ':', false, 1000000, &gets, &sets)) {
        return false;
    }
    if (gets + sets == 0) {
        evc_cli_misuse("bench", "--ratio 0:0 is no load; at least one must be more than 0");
        return false;
    }
    load->get_parts = (unsigned)gets;
    load->set_parts = (unsigned)sets;
    return true;
}

static bool
take_value(struct evc_load *load, char *text)
{
    uint64_t min, max;

    if (!take_two("value", text, '-', true, EVC_BENCH_OUTPUT_BYTES_MAX / 2, &min, &max)) {
        return false;
    }
    if (min > max) {
        evc_cli_misuse("bench", "--value: the smaller length comes first");
        return false;
    }
    load->value_min = (uint32_t)min;
    load->value_max = (uint32_t)max;
    return true;
}

static bool
take_real(const char *option, const char *text, double min, double max, double *ret)
{
    char *end;

    *ret = strtod(text, &end);
    if (*end != '\0' || end == text || !(*ret >= min && *ret < max)) {
        evc_cli_misuse("bench", "--%s '%s' is not a number from %g to below %g", option, text, min,
                       max);
        return false;
    }
    return true;
}

static bool
take_prefix(struct evc_load *load, const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] == 0x7f) {
            len = SIZE_MAX;
            break;
        }
    }
    if (len > EVC_LOAD_PREFIX_BYTES_MAX) {
        evc_cli_misuse("bench", "--prefix '%s' is longer than %d bytes or no part of a key", text,
                       EVC_LOAD_PREFIX_BYTES_MAX);
        return false;
    }
    load->prefix = text;
    return true;
}

static bool
take_watched(struct bench_run *run, const char *text)
{
    uint64_t pid;

    if (run->watched_count == WATCHED_MAX) {
        evc_cli_misuse("bench", "more than %d --watch-pid", WATCHED_MAX);
        return false;
    }
    if (!take_number("watch-pid", text, 1, INT32_MAX, &pid)) {
        return false;
    }
    run->watched[run->watched_count++] = (pid_t)pid;
    return true;
}

static const struct option long_options[] = {
    {"connections", required_argument, NULL, 'c'},
    {"threads", required_argument, NULL, 't'},
    {"pipeline", required_argument, NULL, 'p'},
    {"rate", required_argument, NULL, 'r'},
    {"ratio", required_argument, NULL, 'm'},
    {"keys", required_argument, NULL, 'k'},
    {"zipf", required_argument, NULL, 'z'},
    {"prefix", required_argument, NULL, 'x'},
    {"value", required_argument, NULL, 'v'},
    {"ttl", required_argument, NULL, 'e'},
    {"no-fill", no_argument, NULL, 'F'},
    {"warmup", required_argument, NULL, 'w'},
    {"time", required_argument, NULL, 'd'},
    {"seed", required_argument, NULL, 's'},
    {"watch-pid", required_argument, NULL, 'P'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/** One option. False: the mistake was told. */
static bool
take_option(struct bench_run *run, int option, char *text)
{
    struct evc_bench_options *options = &run->options;
    uint64_t ttl;

    switch (option) {
    case 'c':
        return take_unsigned("connections", text, 1, EVC_BENCH_CONNECTIONS_MAX,
                             &options->connections);
    case 't':
        return take_unsigned("threads", text, 1, EVC_BENCH_THREADS_MAX, &options->threads);
    case 'p':
        return take_unsigned("pipeline", text, 1, EVC_BENCH_OUTSTANDING_MAX, &options->depth);
    case 'r':
        return take_real("rate", text, 1, 1e9, &options->rate);
    case 'm':
        return take_ratio(&options->load, text);
    case 'k':
        return take_number("keys", text, 1, UINT64_C(10000000000), &options->load.key_count);
    case 'z':
        return take_real("zipf", text, 0, 1, &options->load.zipf);
    case 'x':
        return take_prefix(&options->load, text);
    case 'v':
        return take_value(&options->load, text);
    case 'e':
        if (!take_number("ttl", text, 0, UINT32_MAX, &ttl)) {
            return false;
        }
        options->exptime = (int64_t)ttl;
        return true;
    case 'w':
        return take_seconds("warmup", text, 0, &options->warmup_ms);
    case 'd':
        return take_seconds("time", text, 0.1, &options->duration_ms);
    case 's':
        return take_number("seed", text, 0, UINT64_MAX, &options->seed);
    case 'P':
        return take_watched(run, text);
    case 'F':
        options->fills = false;
        return true;
    default:
        run->is_json = true;
        return true;
    }
}

/** host:port, or [v6]:port. */
static bool
take_address(struct bench_run *run, const char *text)
{
    struct evc_bench_options *options = &run->options;
    struct evc_address address;
    struct evc_error error;

    if (options->address_count == EVC_BENCH_ADDRESSES_MAX) {
        evc_cli_misuse("bench", "more than %d addresses", EVC_BENCH_ADDRESSES_MAX);
        return false;
    }
    if (evc_address_parse(text, &address, &error) != EVC_OK) {
        evc_cli_misuse("bench", "%s", error.text);
        return false;
    }
    if (evc_address_resolve(&address, &run->addresses[options->address_count++], &error) !=
        EVC_OK) {
        evc_address_finish(&address);
        evc_cli_fail("bench", "%s", error.text);
        return false;
    }
    evc_address_finish(&address);
    return true;
}

/** True to go on; else *ret_exit. */
static bool
parse(int argc, char **argv, struct bench_run *run, int *ret_exit)
{
    int option;

    *ret_exit = EVC_EXIT_USAGE;
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            *ret_exit = EVC_EXIT_OK;
            return false;
        }
        if (option == '?' || option == ':') {
            *ret_exit = evc_cli_refuse_option("bench", option, argv);
            return false;
        }
        if (!take_option(run, option, optarg)) {
            return false;
        }
    }
    if (run->options.threads > run->options.connections) {
        evc_cli_misuse("bench", "%u threads need at least as many connections, not %u",
                       run->options.threads, run->options.connections);
        return false;
    }
    for (int i = optind; i < argc; i++) {
        if (!take_address(run, argv[i])) {
            return false;
        }
    }
    if (run->options.address_count == 0) {
        evc_cli_misuse("bench", "an address is missing, such as 127.0.0.1:11211");
        return false;
    }
    return true;
}

/* --- while it runs --- */

static void
on_progress(void *ctx, const char *phase, double seconds, double rate)
{
    struct bench_run *run = ctx;
    char digits[EVC_FIGURE_BYTES];

    if (evc_terminal_is_one(stderr)) {
        run->has_line = true;
        fprintf(stderr, "\r%-10s %4.0f s  %s requests/s \x1b[K", phase, seconds,
                evc_figure_count((int64_t)rate, digits));
        fflush(stderr);
    }
}

static void
on_measure(void *ctx, bool begins)
{
    struct bench_run *run = ctx;

    for (unsigned i = 0; i < run->watched_count; i++) {
        uint64_t us = 0;
        struct evc_error error;

        if (evc_cpu_of(run->watched[i], &us, &error) != EVC_OK) {
            run->watched_us[i] = UINT64_MAX; /* it is gone: no figure, rather than a wrong one */
        } else if (begins) {
            run->watched_us[i] = us;
        } else if (run->watched_us[i] != UINT64_MAX) {
            run->watched_us[i] = us - run->watched_us[i];
        }
    }
}

/* --- the result --- */

static uint64_t
requests_of(const struct evc_bench_result *result)
{
    return result->figures.get_us.count + result->figures.set_us.count;
}

static double
per_request(double total, const struct evc_bench_result *result)
{
    uint64_t requests = requests_of(result);

    return requests > 0 ? total / (double)requests : 0;
}

static json_t *
latency_json(const struct evc_histogram *us, double seconds)
{
    return json_pack("{s:I, s:f, s:I, s:I, s:I, s:I, s:f}", "count", (json_int_t)us->count,
                     "per_second", (double)us->count / seconds, "p50_us",
                     (json_int_t)evc_histogram_quantile(us, 0.5), "p99_us",
                     (json_int_t)evc_histogram_quantile(us, 0.99), "p999_us",
                     (json_int_t)evc_histogram_quantile(us, 0.999), "max_us", (json_int_t)us->max,
                     "mean_us", us->count > 0 ? (double)us->sum / (double)us->count : 0.0);
}

static void
print_json(const struct bench_run *run, const struct evc_bench_result *result)
{
    const struct evc_bench_figures *figures = &result->figures;
    json_t *watched = json_array();
    json_t *json;

    for (unsigned i = 0; i < run->watched_count; i++) {
        bool is_known = run->watched_us[i] != UINT64_MAX;
        double us = is_known ? (double)run->watched_us[i] : 0;

        (void)json_array_append_new(
            watched, json_pack("{s:i, s:s, s:o, s:o}", "pid", (int)run->watched[i], "name",
                               run->watched_names[i], "cpu_us",
                               is_known ? json_real(us) : json_null(), "cpu_us_per_request",
                               is_known ? json_real(per_request(us, result)) : json_null()));
    }
    json = json_pack("{s:f, s:I, s:f, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:o}", "seconds",
                     result->seconds, "requests", (json_int_t)requests_of(result), "per_second",
                     (double)requests_of(result) / result->seconds, "get",
                     latency_json(&figures->get_us, result->seconds), "set",
                     latency_json(&figures->set_us, result->seconds), "hits",
                     (json_int_t)figures->hits, "misses", (json_int_t)figures->misses, "stored",
                     (json_int_t)figures->stored, "errors", (json_int_t)figures->errors,
                     "disconnects", (json_int_t)figures->disconnects, "first_error", figures->error,
                     "own_cpu_us_per_request", per_request(result->cpu_us, result), "watched",
                     watched);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
}

static void
latency_row(struct evc_table *table, const char *name, const struct evc_histogram *us,
            double seconds)
{
    static const double quantiles[] = {0.5, 0.99, 0.999, 1.0};
    char text[EVC_FIGURE_BYTES];

    if (us->count == 0) {
        return;
    }
    evc_table_row(table, name);
    evc_table_cell(table, 1, EVC_STYLE_BOLD,
                   evc_figure_count((int64_t)((double)us->count / seconds), text));
    for (unsigned q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
        evc_table_cell(table, q + 2, EVC_STYLE_PLAIN,
                       evc_figure_duration(evc_histogram_quantile(us, quantiles[q]), text));
    }
}

static void
print_cost(const char *name, double us, const struct evc_bench_result *result)
{
    printf("  %-24s %8.3f us   %5.1f %% of a core\n", name, per_request(us, result),
           us / result->seconds / 1e4);
}

static void
print_text(const struct bench_run *run, const struct evc_bench_result *result)
{
    static const char *const headings[] = {"", "a second", "p50", "p99", "p99.9", "max"};
    const struct evc_bench_figures *figures = &result->figures;
    uint64_t reads = figures->hits + figures->misses;
    struct evc_table table;

    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    latency_row(&table, "get", &figures->get_us, result->seconds);
    latency_row(&table, "set", &figures->set_us, result->seconds);
    evc_table_print(&table, stdout);
    evc_table_finish(&table);
    printf("\n%llu requests in %.1f s", (unsigned long long)requests_of(result), result->seconds);
    if (reads > 0) {
        printf(", %.1f %% of the gets hit", 100.0 * (double)figures->hits / (double)reads);
    }
    printf(", %llu errors%s%s\n", (unsigned long long)figures->errors,
           figures->error[0] ? ", the first: " : "", figures->error);
    printf("\nCPU time per request\n");
    print_cost("this load generator", result->cpu_us, result);
    for (unsigned i = 0; i < run->watched_count; i++) {
        char name[64];

        snprintf(name, sizeof(name), "%s %ld", run->watched_names[i], (long)run->watched[i]);
        if (run->watched_us[i] == UINT64_MAX) {
            printf("  %-24s ended meanwhile\n", name);
        } else {
            print_cost(name, (double)run->watched_us[i], result);
        }
    }
}

static bool
check_watched(struct bench_run *run)
{
    for (unsigned i = 0; i < run->watched_count; i++) {
        struct evc_error error;

        if (evc_cpu_of(run->watched[i], &run->watched_us[i], &error) != EVC_OK) {
            evc_cli_fail("bench", "--watch-pid: %s", error.text);
            return false;
        }
        evc_cpu_name(run->watched[i], run->watched_names[i], sizeof(run->watched_names[i]));
    }
    return true;
}

int
evc_cli_bench(int argc, char **argv)
{
    static struct bench_run run;
    static struct evc_bench_result result;
    struct evc_error error;
    int code;

    run.options = (struct evc_bench_options){
        .load = {.prefix = "bench:",
                 .key_count = 100000,
                 .get_parts = 9,
                 .set_parts = 1,
                 .value_min = 100,
                 .value_max = 100},
        .addresses = run.addresses,
        .connections = 32,
        .threads = 1,
        .depth = 1,
        .fills = true,
        .warmup_ms = 1000,
        .duration_ms = 5000,
        .seed = 1,
        .on_progress = on_progress,
        .on_measure = on_measure,
        .ctx = &run,
    };
    if (!parse(argc, argv, &run, &code)) {
        return code;
    }
    if (!check_watched(&run)) {
        return EVC_EXIT_FAILURE;
    }
    code = evc_bench_run(&run.options, &result, &error);
    if (run.has_line) {
        fputs("\r\x1b[K", stderr);
    }
    if (code != EVC_OK) {
        return evc_cli_fail("bench", "%s", error.text);
    }
    if (run.is_json) {
        print_json(&run, &result);
    } else {
        print_text(&run, &result);
    }
    return result.figures.errors > 0 ? EVC_EXIT_UNWELL : EVC_EXIT_OK;
}
