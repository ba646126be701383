/* SPDX-License-Identifier: Apache-2.0 */
/* See prefixes.h. */
#include "survey/prefixes.h"

#include <stdlib.h>
#include <string.h>

int
evc_survey_prefixes_init(struct evc_survey_prefixes *prefixes)
{
    *prefixes = (struct evc_survey_prefixes){0};
    prefixes->items = calloc(EVC_SURVEY_PREFIXES_MAX, sizeof(*prefixes->items));
    return prefixes->items ? EVC_OK : EVC_E_NOMEM;
}

void
evc_survey_prefixes_finish(struct evc_survey_prefixes *prefixes)
{
    free(prefixes->items);
    *prefixes = (struct evc_survey_prefixes){0};
}

void
evc_survey_prefixes_reset(struct evc_survey_prefixes *prefixes)
{
    prefixes->rate = 0;
    prefixes->byte_rate = 0;
    prefixes->count = 0;
}

static double
rate_of(const json_t *object, const char *name)
{
    double value = json_number_value(json_object_get(object, name));

    return value > 0 ? value : 0;
}

/** The one of a text, which may be new. NULL: there is no room. */
static struct evc_survey_prefix *
find_or_add(struct evc_survey_prefixes *prefixes, const char *text, size_t len)
{
    struct evc_survey_prefix *prefix;

    for (unsigned i = 0; i < prefixes->count; i++) {
        if (strcmp(prefixes->items[i].text, text) == 0) {
            return &prefixes->items[i];
        }
    }
    if (prefixes->count == EVC_SURVEY_PREFIXES_MAX) {
        return NULL;
    }
    prefix = &prefixes->items[prefixes->count++];
    *prefix = (struct evc_survey_prefix){0};
    memcpy(prefix->text, text, len);
    return prefix;
}

void
evc_survey_prefixes_read(struct evc_survey_prefixes *prefixes, unsigned source, const json_t *told)
{
    const json_t *item;
    size_t i;

    prefixes->rate += rate_of(told, "rate");
    prefixes->byte_rate += rate_of(told, "byte_rate");
    json_array_foreach(json_object_get(told, "top"), i, item)
    {
        const char *text = json_string_value(json_object_get(item, "prefix"));
        size_t len = text != NULL ? strlen(text) : 0;
        struct evc_survey_prefix *prefix;

        if (text == NULL || len > EVC_SURVEY_PREFIX_TEXT_MAX) {
            continue;
        }
        prefix = find_or_add(prefixes, text, len);
        if (prefix != NULL) {
            prefix->rate += rate_of(item, "rate");
            prefix->byte_rate += rate_of(item, "byte_rate");
            prefix->rate_from[source] += rate_of(item, "rate");
        }
    }
}

static int
compare(const void *a, const void *b)
{
    const struct evc_survey_prefix *one = a, *other = b;

    if (one->rate != other->rate) {
        return one->rate < other->rate ? 1 : -1;
    }
    return strcmp(one->text, other->text);
}

void
evc_survey_prefixes_rank(struct evc_survey_prefixes *prefixes)
{
    qsort(prefixes->items, prefixes->count, sizeof(*prefixes->items), compare);
}

json_t *
evc_survey_prefixes_json(const struct evc_survey_prefixes *prefixes,
                         const struct evc_config *config)
{
    json_t *top = json_array();

    for (unsigned i = 0; i < prefixes->count && i < EVC_SURVEY_PREFIXES_SHOWN; i++) {
        const struct evc_survey_prefix *prefix = &prefixes->items[i];
        json_t *sources = json_object();

        for (unsigned r = 0; r < config->regions_count; r++) {
            (void)json_object_set_new(sources, config->regions[r].name,
                                      json_real(prefix->rate_from[r]));
        }
        (void)json_array_append_new(
            top,
            json_pack("{s:s, s:f, s:f, s:f, s:o}", "prefix", prefix->text, "rate", prefix->rate,
                      "byte_rate", prefix->byte_rate, "share",
                      prefixes->rate > 0 ? prefix->rate / prefixes->rate : 0, "sources", sources));
    }
    return json_pack("{s:f, s:f, s:o}", "rate", prefixes->rate, "byte_rate", prefixes->byte_rate,
                     "top", top);
}
