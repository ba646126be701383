/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The top prefixes of keys of the whole cache: what every relay tells of those it ships
 * (replication/prefix_top.h), added up by prefix. Rates are estimates. An event counts once for
 * every region it is shipped to, as in the books.
 */
#ifndef EVC_SURVEY_PREFIXES_H
#define EVC_SURVEY_PREFIXES_H

#include <jansson.h>

#include "base/status.h"
#include "replication/prefix_top.h"
#include "topology/config.h"

enum {
    EVC_SURVEY_PREFIXES_MAX = 1024, /* different ones; those beyond are in the sums only */
    EVC_SURVEY_PREFIXES_SHOWN = 20,
    EVC_SURVEY_PREFIX_TEXT_MAX = 4 * EVC_PREFIX_BYTES_MAX, /* a longer one no relay tells */
};

struct evc_survey_prefix {
    char text[EVC_SURVEY_PREFIX_TEXT_MAX + 1]; /* as the relay tells it: UTF-8, escaped */
    double rate;                               /* events a second, from all regions */
    double byte_rate;                          /* of values sent, a second */
    double rate_from[EVC_CONFIG_REGION_MAX];   /* of rate, by source */
};

struct evc_survey_prefixes {
    double rate, byte_rate; /* of all keys */
    unsigned count;
    struct evc_survey_prefix *items; /* room for EVC_SURVEY_PREFIXES_MAX */
};

/** 0 or EVC_E_NOMEM. */
EVC_MUST_USE int evc_survey_prefixes_init(struct evc_survey_prefixes *prefixes);
void evc_survey_prefixes_finish(struct evc_survey_prefixes *prefixes); /* accepts all zero */

void evc_survey_prefixes_reset(struct evc_survey_prefixes *prefixes);

/** Adds what a relay of a region tells, whatever that is: what makes no sense is passed over. */
void evc_survey_prefixes_read(struct evc_survey_prefixes *prefixes, unsigned source,
                              const json_t *told);

/** The most events first, and of as many by the text. */
void evc_survey_prefixes_rank(struct evc_survey_prefixes *prefixes);

/** rate, byte_rate, and top: EVC_SURVEY_PREFIXES_SHOWN prefixes with rate, byte_rate, share (of the
 * rate of all, 0 to 1) and sources ({region: rate}). NULL without memory. */
json_t *evc_survey_prefixes_json(const struct evc_survey_prefixes *prefixes,
                                 const struct evc_config *config);

#endif
