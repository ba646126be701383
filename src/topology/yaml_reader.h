/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a YAML document against a table of what is allowed, with messages that name file, line,
 * mistake and what would be right. libyaml's documents keep the line of every value (libcyaml's
 * structs do not, which is why it is not used). Used by config.c alone.
 */
#ifndef EVC_TOPOLOGY_YAML_READER_H
#define EVC_TOPOLOGY_YAML_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <yaml.h>

#include "base/error.h"
#include "topology/config.h"

enum {
    EVC_YAML_PATH_BYTES = 128, /* a longer path is cut */
};

struct evc_yaml {
    const char *file;
    char path[EVC_YAML_PATH_BYTES]; /* of what is being read: "regions[0].zones[1].nodes" */
    yaml_document_t document;
    bool has_document;
    struct evc_error *error; /* where the first mistake is described */
};

struct evc_yaml_field;

/** Reads the value of one field into base + offset. 0 or a status with yaml->error filled. */
typedef int (*evc_yaml_read_fn)(struct evc_yaml *yaml, yaml_node_t *value,
                                const struct evc_yaml_field *field, void *target);

/** One key of a mapping. The table ends with a name of NULL. */
struct evc_yaml_field {
    const char *name;
    evc_yaml_read_fn read;
    size_t offset; /* of the target in the struct the mapping fills */
    bool is_required;
    const void *detail; /* what the read function needs: a sub-table, limits, names */
};

struct evc_yaml_limits {
    uint64_t min, max;
};

/** A word and what it stands for; ends with NULL. */
struct evc_yaml_word {
    const char *word;
    int value;
};

/** Parses a file's only document. EVC_E_SYS or EVC_E_CONFIG. */
EVC_MUST_USE int evc_yaml_load(struct evc_yaml *yaml, const char *file, struct evc_error *error);
void evc_yaml_finish(struct evc_yaml *yaml);

/** Fills the error with "file:line: path: <text>" and returns EVC_E_CONFIG. */
int evc_yaml_mistake(struct evc_yaml *yaml, const yaml_node_t *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Goes on to an item of the sequence, or to a setting of the mapping, that is being read. Returns
 * what leads back. */
EVC_MUST_USE size_t evc_yaml_enter_item(struct evc_yaml *yaml, unsigned index);
EVC_MUST_USE size_t evc_yaml_enter(struct evc_yaml *yaml, const char *name);
void evc_yaml_leave(struct evc_yaml *yaml, size_t back);

/** Reads a mapping: unknown keys and missing required ones are mistakes. */
EVC_MUST_USE int evc_yaml_mapping(struct evc_yaml *yaml, yaml_node_t *node,
                                  const struct evc_yaml_field *fields, void *base);

/** Whether an earlier pair of the mapping has the same key: YAML forbids it, libyaml does not look.
 */
bool evc_yaml_is_repeated(struct evc_yaml *yaml, const yaml_node_t *node,
                          const yaml_node_pair_t *pair, const char *name);

/** The items of a sequence of at most max; a mistake when it is something else or empty. */
EVC_MUST_USE int evc_yaml_sequence(struct evc_yaml *yaml, yaml_node_t *node, unsigned max,
                                   yaml_node_item_t **ret_items, unsigned *ret_count);
yaml_node_t *evc_yaml_node(struct evc_yaml *yaml, int index);

/** A scalar's text, not empty; a mistake otherwise. */
EVC_MUST_USE int evc_yaml_text(struct evc_yaml *yaml, const yaml_node_t *node, const char **ret);

/** Whether a text is a size as the file has them: "64MiB". */
bool evc_yaml_size_parse(const char *text, uint64_t *ret);

/** Whether a text is a duration as the file has them, "250ms"; in milliseconds. */
bool evc_yaml_ms_parse(const char *text, uint64_t *ret);

/* Read functions: target types are char * (copied), uint32_t, unsigned, uint64_t, int, as said. */
int evc_yaml_read_string(struct evc_yaml *yaml, yaml_node_t *value,
                         const struct evc_yaml_field *field, void *target); /* char * */
int evc_yaml_read_name(struct evc_yaml *yaml, yaml_node_t *value,
                       const struct evc_yaml_field *field, void *target); /* char * */
int evc_yaml_read_number(struct evc_yaml *yaml, yaml_node_t *value,
                         const struct evc_yaml_field *field, void *target); /* uint32_t; limits */
int evc_yaml_read_size(struct evc_yaml *yaml, yaml_node_t *value,
                       const struct evc_yaml_field *field,
                       void *target); /* uint64_t bytes; limits */
int evc_yaml_read_size32(struct evc_yaml *yaml, yaml_node_t *value,
                         const struct evc_yaml_field *field, void *target); /* uint32_t bytes */
int evc_yaml_read_ms(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                     void *target); /* uint32_t ms; limits */
int evc_yaml_read_seconds(struct evc_yaml *yaml, yaml_node_t *value,
                          const struct evc_yaml_field *field,
                          void *target); /* uint32_t s; limits */
int evc_yaml_read_word(struct evc_yaml *yaml, yaml_node_t *value,
                       const struct evc_yaml_field *field, void *target); /* int; words */
int evc_yaml_read_group(struct evc_yaml *yaml, yaml_node_t *value,
                        const struct evc_yaml_field *field, void *target); /* sub-table, offset 0 */

#endif
