/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `explain`: takes a key, asks the node that has it in every zone of every region, and the
 * relays for its last events (survey/explain.h), and shows what they say (explain_view.h).
 */
#include <stdio.h>

#include "cli/explain_view.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "meta/base64.h"
#include "meta/wire.h"

static const char help[] =
    "usage: evcache explain --config FILE [--json] [--base64] KEY\n"
    "\n"
    "Asks the node that has the key, in every zone of every region, and shows each\n"
    "copy: a value, a tombstone (it was deleted) or absent; its version, size,\n"
    "client flags and expiry; whether it is as new as the newest. Below stand the\n"
    "versions there are, with the time each was written and by whom, and by name\n"
    "what is not as it should be. Nodes are asked past every proxy, all at once;\n"
    "nothing is changed, and the access does not count as one.\n"
    "\n"
    "  --config FILE    the configuration, the same for every process\n"
    "  --json           everything as JSON\n"
    "  --base64         KEY is given in base64: for keys with blanks or control\n"
    "                   characters\n"
    "\n"
    "The copies: newest; following (older, while the key is being written: it keeps\n"
    "up); behind (an older version); missing; different (the newest version, but\n"
    "another size, flags, expiry or kind); foreign (somebody wrote on the node past\n"
    "evcache, which has no version); absent (rightly: it is nowhere, or the key's\n"
    "policy leaves it to one region); unanswered (its node does not answer within 2\n"
    "s); drained (not asked). A zone that is being filled is shown and not judged.\n"
    "While copies differ they are looked at up to 3 more times, 200 ms apart: a\n"
    "write may be on its way.\n"
    "\n"
    "The last events: what the relays remember of the key, about the last 32,768\n"
    "events to each region, of one key the last 4; how each ended (see `evcache\n"
    "status --help`), or what it does now; the batch is partition/slot/first number,\n"
    "as in the logs.\n"
    "\n"
    "Colours are for terminals; NO_COLOR turns them off. Exit status: 0 all copies\n"
    "are alike, 1 copies differ, or it did not work, 2 the command line is wrong, 3\n"
    "a node or relay does not answer (it is named).\n";

enum {
    KEY_ENCODED_MAX = EVC_KEY_LEN_MAX * 2,
};

/* --- the key --- */

/** The bytes of a key given in base64; 0: it is none. Strict: a plain key must not pass for one. */
static size_t
decode(const char *text, char bytes[KEY_ENCODED_MAX])
{
    char again[KEY_ENCODED_MAX * 2];
    struct evc_slice given = evc_slice_str(text);
    size_t len;

    if (given.len > KEY_ENCODED_MAX) {
        return 0;
    }
    len = evc_base64_decode(given, bytes);
    struct evc_slice encoded = {
        .ptr = again,
        .len = evc_base64_encode((struct evc_slice){.ptr = bytes, .len = len}, again)};
    return evc_slice_equal(given, encoded) ? len : 0;
}

/** Takes the key from the command line; decoded: memory for one in base64. An enum evc_exit. */
static int
take_key(const struct evc_cli_options *options, char decoded[KEY_ENCODED_MAX],
         struct evc_slice *ret)
{
    struct evc_wire_key wire;

    *ret = evc_slice_str(options->key);
    if (options->is_base64) {
        *ret = (struct evc_slice){.ptr = decoded, .len = decode(options->key, decoded)};
        if (ret->len == 0) {
            return evc_cli_misuse("explain", "the key is not base64 of 1 to %d bytes",
                                  EVC_KEY_LEN_MAX);
        }
    } else if (!evc_explain_is_printable(*ret)) {
        return evc_cli_misuse("explain", "the key has blanks or control characters; give such a "
                                         "key in base64, with --base64");
    }
    if (ret->len == 0 || ret->len > EVC_KEY_LEN_MAX) {
        return evc_cli_misuse("explain", "the key has %zu bytes; keys have 1 to %d", ret->len,
                              EVC_KEY_LEN_MAX);
    }
    if (evc_wire_key_init(&wire, *ret) != EVC_OK) {
        return evc_cli_misuse(
            "explain",
            "the key has %zu bytes; with blanks, line ends or NULs keys travel in "
            "base64, of at most %d characters",
            ret->len, EVC_KEY_LEN_MAX);
    }
    return EVC_EXIT_OK;
}

/** On standard error, so that --json says it too. */
static int
verdict(const struct evc_explain *explain)
{
    size_t differing = evc_explain_differing(explain);
    char name[EVC_EXPLAIN_NAME_BYTES];

    for (size_t i = 0; i < explain->relay_count; i++) {
        const struct evc_explain_relay *relay = &explain->relays[i];
        if (!relay->has_answered) {
            (void)evc_cli_fail("explain", "%s/relay/%u does not answer: %s",
                               explain->config->regions[relay->region].name, relay->index,
                               relay->why);
        }
    }
    for (size_t i = 0; i < explain->copy_count; i++) {
        const struct evc_explain_copy *copy = &explain->copies[i];
        if (copy->is_counted && copy->state == EVC_COPY_UNANSWERED) {
            (void)evc_cli_fail("explain", "%s does not answer: %s",
                               evc_explain_copy_name(explain, copy, name), copy->why);
        }
    }
    if (differing > 0) {
        return evc_cli_fail("explain", "%zu of %zu copies differ", differing,
                            evc_explain_counted(explain));
    }
    return evc_explain_unanswered(explain) + evc_explain_silent_relays(explain) > 0
               ? EVC_EXIT_UNANSWERED
               : EVC_EXIT_OK;
}

static int
run(const struct evc_cli_options *options, const struct evc_config *config, struct evc_slice key)
{
    struct evc_explain *explain = evc_explain_create(config, key);

    if (explain == NULL) {
        return evc_cli_fail("explain", "out of memory");
    }
    evc_explain_look_patiently(explain);
    evc_explain_ask_relays(explain);
    if (options->is_json) {
        json_t *json = evc_explain_json(explain);
        (void)json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
    } else {
        evc_explain_print(explain);
    }
    fflush(stdout);
    int result = verdict(explain);
    evc_explain_destroy(explain);
    return result;
}

int
evc_cli_explain(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    char decoded[KEY_ENCODED_MAX];
    struct evc_slice key;
    int result;

    if (!evc_cli_options_parse(argc, argv,
                               EVC_CLI_TAKE_CONFIG | EVC_CLI_TAKE_JSON | EVC_CLI_TAKE_KEY, help,
                               &options, &result)) {
        return result;
    }
    result = take_key(&options, decoded, &key);
    if (result != EVC_EXIT_OK || !evc_cli_config_load(&options, &config, NULL, &result)) {
        return result;
    }
    result = run(&options, config, key);
    evc_config_destroy(config);
    return result;
}
