/* SPDX-License-Identifier: Apache-2.0 */
/* See verify_view.h. Pairs of regions first, then zones, then keys: from "is it well?" to "where?".
 */
#include "cli/verify_view.h"

#include <stdio.h>

#include "base/figure.h"
#include "cli/explain_view.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "meta/base64.h"

enum {
    NAME_BYTES = 2 * EVC_CONFIG_NAME_LEN_MAX + 16,
    KEYS_BYTES = EVC_FIGURE_BYTES + 8,
};

/** The states that are columns. */
static const struct {
    enum evc_copy_state state;
    enum evc_style style;
} columns[] = {
    {EVC_COPY_BEHIND, EVC_STYLE_BAD},
    {EVC_COPY_MISSING, EVC_STYLE_WARN},
    {EVC_COPY_DIFFERENT, EVC_STYLE_BAD},
    {EVC_COPY_FOREIGN, EVC_STYLE_BAD},
};

enum {
    COLUMN_COUNT = sizeof(columns) / sizeof(columns[0])
};

/** Keys that were compared: alike or not, but not those that rightly are not there. */
static uint64_t
keys_of(const uint64_t states[EVC_COPY_STATE_MAX])
{
    uint64_t keys = states[EVC_COPY_NEWEST];

    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        keys += states[columns[i].state];
    }
    return keys;
}

/** "100 %" is all of them; anything less is rounded down. */
static const char *
share_text(uint64_t part, uint64_t of, char text[EVC_FIGURE_BYTES])
{
    if (of == 0) {
        return "-";
    }
    if (part == of) {
        return "100 %";
    }
    snprintf(text, EVC_FIGURE_BYTES, "%.2f %%",
             (double)(uint64_t)(10000.0 * (double)part / (double)of) / 100);
    return text;
}

static void
count_cell(struct evc_table *table, unsigned column, enum evc_style style, uint64_t count)
{
    char text[EVC_FIGURE_BYTES];

    evc_table_cell(table, column, count > 0 ? style : EVC_STYLE_DIM,
                   evc_figure_count((int64_t)count, text));
}

static void
state_row(struct evc_table *table, const char *name, const uint64_t states[EVC_COPY_STATE_MAX])
{
    uint64_t keys = keys_of(states), alike = states[EVC_COPY_NEWEST];
    char text[EVC_FIGURE_BYTES];

    evc_table_row(table, name);
    count_cell(table, 1, EVC_STYLE_PLAIN, keys);
    count_cell(table, 2, EVC_STYLE_PLAIN, alike);
    evc_table_cell(table, 3, alike == keys ? EVC_STYLE_GOOD : EVC_STYLE_WARN,
                   share_text(alike, keys, text));
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        count_cell(table, 4 + i, columns[i].style, states[columns[i].state]);
    }
}

static void
begin_table(struct evc_table *table, const char *of)
{
    const char *const headings[] = {of,       "keys",    "alike",     "",
                                    "behind", "missing", "different", "foreign"};

    evc_table_init(table, headings, sizeof(headings) / sizeof(headings[0]));
}

static void
end_table(struct evc_table *table)
{
    evc_table_print(table, stdout);
    evc_table_finish(table);
    putchar('\n');
}

/** Whether a region takes part. */
static bool
has_region(const struct evc_sweep *sweep, unsigned region)
{
    for (unsigned i = 0; i < sweep->copy_count; i++) {
        if (sweep->copies[i].region == region) {
            return true;
        }
    }
    return false;
}

static unsigned
regions_of(const struct evc_sweep *sweep)
{
    unsigned count = 0;

    for (unsigned r = 0; r < sweep->config->regions_count; r++) {
        count += has_region(sweep, r);
    }
    return count;
}

static void
print_pairs(const struct evc_verify *verify)
{
    const struct evc_sweep *sweep = verify->options.sweep;
    const struct evc_config *config = sweep->config;
    char name[NAME_BYTES];
    struct evc_table table;

    if (regions_of(sweep) < 2) {
        return;
    }
    begin_table(&table, "Regions");
    for (unsigned a = 0; a < config->regions_count; a++) {
        for (unsigned b = a + 1; b < config->regions_count; b++) {
            if (has_region(sweep, a) && has_region(sweep, b)) {
                snprintf(name, sizeof(name), "%s = %s", config->regions[a].name,
                         config->regions[b].name);
                state_row(&table, name, verify->tally.pairs[a][b].states);
            }
        }
    }
    end_table(&table);
}

static const char *
zone_name(const struct evc_sweep *sweep, unsigned copy, char name[NAME_BYTES])
{
    char plain[EVC_SWEEP_NAME_BYTES];

    snprintf(name, NAME_BYTES, "%s%s", evc_sweep_copy_name(sweep, &sweep->copies[copy], plain),
             sweep->copies[copy].is_serving ? "" : " (filling)");
    return name;
}

static void
print_zones(const struct evc_verify *verify)
{
    const struct evc_sweep *sweep = verify->options.sweep;
    char name[NAME_BYTES];
    struct evc_table table;

    begin_table(&table, "Zones");
    for (unsigned i = 0; i < sweep->copy_count; i++) {
        state_row(&table, zone_name(sweep, i, name), verify->tally.zones[i].states);
    }
    end_table(&table);
}

static void
print_repairs(const struct evc_verify *verify)
{
    static const char *const headings[] = {"Repairs", "repaired", "late", "failed"};
    const struct evc_sweep *sweep = verify->options.sweep;
    char name[NAME_BYTES];
    struct evc_table table;

    if (!verify->options.is_repair) {
        return;
    }
    evc_table_init(&table, headings, sizeof(headings) / sizeof(headings[0]));
    for (unsigned i = 0; i < sweep->copy_count; i++) {
        const struct evc_tally_zone *zone = &verify->tally.zones[i];

        if (sweep->copies[i].is_serving) {
            evc_table_row(&table, zone_name(sweep, i, name));
            count_cell(&table, 1, EVC_STYLE_GOOD, zone->repaired);
            count_cell(&table, 2, EVC_STYLE_WARN, zone->late);
            count_cell(&table, 3, EVC_STYLE_BAD, zone->failed);
        }
    }
    end_table(&table);
}

/** As explain takes it: plain, or in base64. */
static struct evc_slice
shown_key(const struct evc_tally_sample *sample, char encoded[EVC_KEY_LEN_MAX * 2],
          bool *ret_is_base64)
{
    struct evc_slice key = {.ptr = sample->key, .len = sample->key_len};

    *ret_is_base64 = !evc_explain_is_printable(key);
    if (*ret_is_base64) {
        key = (struct evc_slice){.ptr = encoded, .len = evc_base64_encode(key, encoded)};
    }
    return key;
}

/** Whether it stands on a shell's command line as it is, and is no option. */
static bool
is_plain_word(struct evc_slice key)
{
    static const char allowed[] =
        "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.:/@%+,=";

    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] == '\0' || strchr(allowed + (i == 0), key.ptr[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/** The first one, looked at: the command to be copied. */
static void
print_command(const struct evc_tally_sample *sample, const char *config)
{
    struct evc_slice key = {.ptr = sample->key, .len = sample->key_len};
    bool is_plain = is_plain_word(key);
    char encoded[EVC_KEY_LEN_MAX * 2];

    if (!is_plain) {
        key = (struct evc_slice){.ptr = encoded, .len = evc_base64_encode(key, encoded)};
    }
    printf("  one of them: evcache explain --config %s%s %.*s\n\n", config,
           is_plain ? "" : " --base64", (int)key.len, key.ptr);
}

static void
print_samples(const struct evc_verify *verify, const char *config)
{
    const struct evc_tally *tally = &verify->tally;
    char encoded[EVC_KEY_LEN_MAX * 2], name[EVC_SWEEP_NAME_BYTES], text[EVC_FIGURE_BYTES];
    uint64_t differing = tally->missing + tally->stale;
    struct evc_slice key;
    size_t width = 0;
    bool is_base64;

    if (tally->sample_count == 0) {
        return;
    }
    for (unsigned i = 0; i < tally->sample_count; i++) {
        size_t len = strlen(evc_sweep_copy_name(
            verify->options.sweep, &verify->options.sweep->copies[tally->samples[i].copy], name));

        width = len > width ? len : width;
    }
    printf("  %sKeys that differ%s\n", evc_terminal_style(stdout, EVC_STYLE_BOLD),
           evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    for (unsigned i = 0; i < tally->sample_count; i++) {
        const struct evc_tally_sample *sample = &tally->samples[i];

        key = shown_key(sample, encoded, &is_base64);
        printf("  %s%-9s%s  %-*s  %.*s%s\n",
               evc_terminal_style(stdout, sample->state == EVC_COPY_MISSING ? EVC_STYLE_WARN
                                                                            : EVC_STYLE_BAD),
               evc_copy_state_str(sample->state), evc_terminal_style(stdout, EVC_STYLE_PLAIN),
               (int)width,
               evc_sweep_copy_name(verify->options.sweep,
                                   &verify->options.sweep->copies[sample->copy], name),
               (int)key.len, key.ptr, is_base64 ? "  (base64)" : "");
    }
    if (differing > tally->sample_count) {
        printf("  and %s more\n",
               evc_figure_count((int64_t)(differing - tally->sample_count), text));
    }
    print_command(&tally->samples[0], config);
}

/** "1 key", "1,234 keys". */
static const char *
keys_text(uint64_t count, char *text, size_t text_bytes)
{
    char digits[EVC_FIGURE_BYTES];

    snprintf(text, text_bytes, "%s %s", evc_figure_count((int64_t)count, digits),
             count == 1 ? "key" : "keys");
    return text;
}

static void
print_head(const struct evc_verify *verify)
{
    const struct evc_sweep *sweep = verify->options.sweep;
    char keys[KEYS_BYTES], duration[EVC_FIGURE_BYTES];

    printf("%s%s%s: %s in %u zones of %u regions, %s", evc_terminal_style(stdout, EVC_STYLE_BOLD),
           sweep->config->cache, evc_terminal_style(stdout, EVC_STYLE_PLAIN),
           keys_text(verify->tally.keys, keys, sizeof(keys)), sweep->copy_count, regions_of(sweep),
           evc_figure_duration(verify->ended_us - verify->started_us, duration));
    if (verify->range.pass > 1) {
        printf(", in %u passes", verify->range.pass);
    }
    printf("\n\n");
}

/** Of keys that differ. Stale and missing apart: a miss is safe, a stale value is not. */
static void
print_differing(const struct evc_tally *tally, bool is_repair, bool is_all)
{
    char text[KEYS_BYTES];

    if (tally->missing > 0) {
        printf("%s%s%s of which a copy %s missing: that is a miss, and safe\n",
               evc_terminal_style(stdout, EVC_STYLE_WARN),
               keys_text(tally->missing, text, sizeof(text)),
               evc_terminal_style(stdout, EVC_STYLE_PLAIN), is_repair ? "was" : "is");
    }
    if (tally->stale_left > 0) {
        printf("%s%s %s a copy that is behind, different or foreign%s\n",
               evc_terminal_style(stdout, EVC_STYLE_BAD),
               keys_text(tally->stale_left, text, sizeof(text)), is_repair ? "left with" : "with",
               evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    } else if (is_all) {
        printf("%s%s%s\n", evc_terminal_style(stdout, EVC_STYLE_GOOD),
               tally->stale > 0 ? "no copy is stale any more" : "no copy is stale",
               evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    }
}

static void
print_summary(const struct evc_verify *verify)
{
    const struct evc_tally *tally = &verify->tally;
    bool is_all = !verify->is_incomplete && tally->unanswered == 0;

    if (verify->is_incomplete) {
        printf("%snot all was compared: %s%s\n", evc_terminal_style(stdout, EVC_STYLE_BAD),
               verify->why, evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    }
    if (tally->stale + tally->missing > 0) {
        print_differing(tally, verify->options.is_repair, is_all);
    } else if (is_all) {
        printf("%sall copies agree%s\n", evc_terminal_style(stdout, EVC_STYLE_GOOD),
               evc_terminal_style(stdout, EVC_STYLE_PLAIN));
    }
}

void
evc_verify_print(const struct evc_verify *verify, const char *config)
{
    print_head(verify);
    print_pairs(verify);
    print_zones(verify);
    print_repairs(verify);
    print_samples(verify, config);
    print_summary(verify);
}

/* --- JSON --- */

static json_t *
states_json(const uint64_t states[EVC_COPY_STATE_MAX])
{
    json_t *object = json_pack("{s:I, s:I}", "keys", (json_int_t)keys_of(states), "alike",
                               (json_int_t)states[EVC_COPY_NEWEST]);

    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        (void)json_object_set_new(object, evc_copy_state_str(columns[i].state),
                                  json_integer((json_int_t)states[columns[i].state]));
    }
    return object;
}

static json_t *
pairs_json(const struct evc_verify *verify)
{
    const struct evc_sweep *sweep = verify->options.sweep;
    json_t *pairs = json_array();

    for (unsigned a = 0; a < sweep->config->regions_count; a++) {
        for (unsigned b = a + 1; b < sweep->config->regions_count; b++) {
            if (has_region(sweep, a) && has_region(sweep, b)) {
                json_t *pair = states_json(verify->tally.pairs[a][b].states);

                (void)json_object_set_new(pair, "regions",
                                          json_pack("[s, s]", sweep->config->regions[a].name,
                                                    sweep->config->regions[b].name));
                (void)json_array_append_new(pairs, pair);
            }
        }
    }
    return pairs;
}

static json_t *
zones_json(const struct evc_verify *verify)
{
    const struct evc_sweep *sweep = verify->options.sweep;
    json_t *zones = json_array();

    for (unsigned i = 0; i < sweep->copy_count; i++) {
        const struct evc_sweep_copy *copy = &sweep->copies[i];
        const struct evc_config_region *region = &sweep->config->regions[copy->region];
        const struct evc_tally_zone *zone = &verify->tally.zones[i];
        json_t *object = states_json(zone->states);

        (void)json_object_update_new(
            object, json_pack("{s:s, s:s, s:b, s:I, s:I, s:I}", "region", region->name, "zone",
                              region->zones[copy->zone].name, "counted", (int)copy->is_serving,
                              "repaired", (json_int_t)zone->repaired, "late",
                              (json_int_t)zone->late, "failed", (json_int_t)zone->failed));
        (void)json_array_append_new(zones, object);
    }
    return zones;
}

static json_t *
samples_json(const struct evc_verify *verify)
{
    json_t *samples = json_array();

    for (unsigned i = 0; i < verify->tally.sample_count; i++) {
        const struct evc_tally_sample *sample = &verify->tally.samples[i];
        char base64[EVC_KEY_LEN_MAX * 2], name[EVC_SWEEP_NAME_BYTES];
        size_t base64_len = evc_base64_encode(
            (struct evc_slice){.ptr = sample->key, .len = sample->key_len}, base64);
        json_t *key = json_stringn(sample->key, sample->key_len);

        (void)json_array_append_new(
            samples,
            json_pack("{s:o, s:s%, s:s, s:s}", "key", key != NULL ? key : json_null(), "key_base64",
                      base64, base64_len, "copy",
                      evc_sweep_copy_name(verify->options.sweep,
                                          &verify->options.sweep->copies[sample->copy], name),
                      "state", evc_copy_state_str(sample->state)));
    }
    return samples;
}

json_t *
evc_verify_json(const struct evc_verify *verify)
{
    const struct evc_tally *tally = &verify->tally;
    json_t *json =
        json_pack("{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:s?}", "cache",
                  verify->options.sweep->config->cache, "complete", (int)!verify->is_incomplete,
                  "repair", (int)verify->options.is_repair, "keys", (json_int_t)tally->keys,
                  "missing", (json_int_t)tally->missing, "stale", (json_int_t)tally->stale,
                  "stale_left", (json_int_t)tally->stale_left, "gone", (json_int_t)tally->gone,
                  "unanswered", (json_int_t)tally->unanswered, "passes", (int)verify->range.pass,
                  "us", (json_int_t)(verify->ended_us - verify->started_us), "why",
                  verify->why[0] != '\0' ? verify->why : NULL);

    (void)json_object_set_new(json, "pairs", pairs_json(verify));
    (void)json_object_set_new(json, "zones", zones_json(verify));
    (void)json_object_set_new(json, "differing", samples_json(verify));
    return json;
}
