/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that make copies meet, by name. All are always on in production; the simulation
 * switches one off to prove that it is needed and that the simulation would notice.
 */
#ifndef EVC_REPLICATION_RULE_H
#define EVC_REPLICATION_RULE_H

enum evc_rule {
    /* needed: without any one of these, schedules diverge */
    EVC_RULE_RELEASE = 1 << 0,     /* an event is released when the first zone has acknowledged */
    EVC_RULE_CONDITIONAL = 1 << 1, /* a replicated write is applied only over an older version */
    EVC_RULE_ECHO = 1 << 2,        /* a receiver that holds something newer announces it */
    EVC_RULE_FAILED = 1 << 3,      /* a write that failed in a zone asks for repair */
    EVC_RULE_TWO_WRITERS =
        1 << 4, /* two writers on one key within the write timeout ask for repair */
    EVC_RULE_NEWER_READ =
        1 << 5, /* a relay that reads another writer's newer version asks for repair */
    EVC_RULE_RESTAMP = 1 << 6, /* a buried newer version: the survivor gets a version above it */
    EVC_RULE_RESHIP = 1 << 7,  /* a repair that changed a zone announces the result */
    /* helpful: they make what eviction can do rarer */
    EVC_RULE_CONFLICT_ECHO = 1 << 8,
    EVC_RULE_GONE = 1 << 9,
    EVC_RULE_OLDER_READ = 1 << 10,
    EVC_RULE_INVERSION = 1 << 11,
    EVC_RULE_DIFFER = 1 << 12,
};

#define EVC_RULE_IS_ON(options, rule) (((options).rules_off & (rule)) == 0)

#endif
