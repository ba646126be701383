/* SPDX-License-Identifier: Apache-2.0 */
/* See yaml_reader.h. */
#include "topology/yaml_reader.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/printable.h"

enum {
    YAML_TEXT_BYTES_MAX = 1024, /* of one scalar */
    YAML_ALLOWED_BYTES = 300,   /* of a list of what is allowed */
    YAML_DISTANCE_MAX = 2,      /* edits up to which a name is suggested */
    YAML_NAME_BYTES = 64,
    YAML_NUMBER_BYTES = 32, /* 20 digits and a unit */
};

/* --- the document --- */

int
evc_yaml_mistake(struct evc_yaml *yaml, const yaml_node_t *where, const char *format, ...)
{
    char text[EVC_ERROR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return evc_error_set(yaml->error, EVC_E_CONFIG, "%s:%zu: %s%s%s", yaml->file,
                         where ? where->start_mark.line + 1 : (size_t)1, yaml->path,
                         yaml->path[0] != '\0' ? ": " : "", text);
}

size_t
evc_yaml_enter(struct evc_yaml *yaml, const char *name)
{
    size_t len = strlen(yaml->path);

    snprintf(yaml->path + len, sizeof(yaml->path) - len, "%s%s", len > 0 ? "." : "", name);
    return len;
}

size_t
evc_yaml_enter_item(struct evc_yaml *yaml, unsigned index)
{
    size_t len = strlen(yaml->path);

    snprintf(yaml->path + len, sizeof(yaml->path) - len, "[%u]", index);
    return len;
}

void
evc_yaml_leave(struct evc_yaml *yaml, size_t back)
{
    yaml->path[back] = '\0';
}

/** Why the parser has stopped: the file is no YAML, or no file (a directory, say). */
static int
explain_stop(struct evc_yaml *yaml, const yaml_parser_t *parser, FILE *stream)
{
    if (ferror(stream)) {
        return evc_error_sys(yaml->error, errno, "%s: cannot be read", yaml->file);
    }
    return evc_error_set(yaml->error, EVC_E_CONFIG, "%s:%zu: not YAML: %s", yaml->file,
                         parser->problem_mark.line + 1,
                         parser->problem ? parser->problem : "it cannot be read");
}

/** What stands behind a second `---` would be ignored in silence: it is refused instead. */
static int
check_single(struct evc_yaml *yaml, yaml_parser_t *parser, FILE *stream)
{
    yaml_document_t second;
    size_t line = parser->mark.line + 1;
    bool has_second;

    if (!yaml_parser_load(parser, &second)) {
        return explain_stop(yaml, parser, stream);
    }
    has_second = yaml_document_get_root_node(&second) != NULL;
    yaml_document_delete(&second);
    return has_second ? evc_error_set(yaml->error, EVC_E_CONFIG,
                                      "%s:%zu: a second YAML document begins (\"---\"); one file "
                                      "describes one cache",
                                      yaml->file, line)
                      : EVC_OK;
}

static int
parse(struct evc_yaml *yaml, FILE *stream)
{
    yaml_parser_t parser;
    int rc = EVC_OK;

    if (!yaml_parser_initialize(&parser)) {
        return evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
    }
    yaml_parser_set_input_file(&parser, stream);
    if (!yaml_parser_load(&parser, &yaml->document)) {
        rc = explain_stop(yaml, &parser, stream);
    } else {
        yaml->has_document = true;
        rc = check_single(yaml, &parser, stream);
    }
    yaml_parser_delete(&parser);
    return rc;
}

int
evc_yaml_load(struct evc_yaml *yaml, const char *file, struct evc_error *error)
{
    FILE *stream = fopen(file, "rb");
    int rc;

    *yaml = (struct evc_yaml){.file = file, .error = error};
    if (!stream) {
        return evc_error_sys(error, errno, "%s: cannot be read", file);
    }
    rc = parse(yaml, stream);
    fclose(stream);
    return rc;
}

void
evc_yaml_finish(struct evc_yaml *yaml)
{
    if (yaml->has_document) {
        yaml_document_delete(&yaml->document);
        yaml->has_document = false;
    }
}

yaml_node_t *
evc_yaml_node(struct evc_yaml *yaml, int index)
{
    return yaml_document_get_node(&yaml->document, index);
}

int
evc_yaml_text(struct evc_yaml *yaml, const yaml_node_t *node, const char **ret)
{
    if (!node || node->type != YAML_SCALAR_NODE) {
        return evc_yaml_mistake(yaml, node, "must be a single value");
    }
    if (node->data.scalar.length == 0) {
        return evc_yaml_mistake(yaml, node, "is empty");
    }
    if (node->data.scalar.length > YAML_TEXT_BYTES_MAX) {
        return evc_yaml_mistake(yaml, node, "has %zu bytes; at most %d are allowed",
                                node->data.scalar.length, YAML_TEXT_BYTES_MAX);
    }
    if (strlen((const char *)node->data.scalar.value) != node->data.scalar.length) {
        return evc_yaml_mistake(yaml, node, "has a zero byte");
    }
    *ret = (const char *)node->data.scalar.value;
    return EVC_OK;
}

/* --- mappings --- */

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

/** Edits between two short words (Levenshtein). */
static unsigned
distance(const char *a, const char *b)
{
    unsigned row[YAML_NAME_BYTES + 1];
    size_t b_len = strlen(b);

    if (strlen(a) > YAML_NAME_BYTES || b_len > YAML_NAME_BYTES) {
        return YAML_NAME_BYTES;
    }
    for (unsigned j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            unsigned above = row[j];

            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

static const struct evc_yaml_field *
find_field(const struct evc_yaml_field *fields, const char *name)
{
    while (fields->name && strcmp(fields->name, name) != 0) {
        fields++;
    }
    return fields->name ? fields : NULL;
}

static int
unknown_key(struct evc_yaml *yaml, const yaml_node_t *key, const char *name,
            const struct evc_yaml_field *fields)
{
    char allowed[YAML_ALLOWED_BYTES] = "";
    size_t len = 0;

    for (const struct evc_yaml_field *field = fields; field->name; field++) {
        if (distance(name, field->name) <= YAML_DISTANCE_MAX) {
            return evc_yaml_mistake(yaml, key, "no setting \"%.80s\"; did you mean \"%s\"?", name,
                                    field->name);
        }
        if (len < sizeof(allowed)) {
            len += (size_t)snprintf(allowed + len, sizeof(allowed) - len, "%s%s", len ? ", " : "",
                                    field->name);
        }
    }
    return evc_yaml_mistake(yaml, key, "no setting \"%.80s\"; allowed are %s", name, allowed);
}

bool
evc_yaml_is_repeated(struct evc_yaml *yaml, const yaml_node_t *node, const yaml_node_pair_t *pair,
                     const char *name)
{
    for (yaml_node_pair_t *other = node->data.mapping.pairs.start; other < pair; other++) {
        const yaml_node_t *key = evc_yaml_node(yaml, other->key);

        if (key->type == YAML_SCALAR_NODE && strcmp((char *)key->data.scalar.value, name) == 0) {
            return true;
        }
    }
    return false;
}

static int
read_pair(struct evc_yaml *yaml, yaml_node_t *node, const yaml_node_pair_t *pair,
          const struct evc_yaml_field *fields, void *base)
{
    yaml_node_t *key = evc_yaml_node(yaml, pair->key);
    const struct evc_yaml_field *field;
    const char *name = "";
    size_t back;
    int rc = evc_yaml_text(yaml, key, &name);

    if (rc != EVC_OK) {
        return rc;
    }
    field = find_field(fields, name);
    if (!field) {
        return unknown_key(yaml, key, name, fields);
    }
    if (evc_yaml_is_repeated(yaml, node, pair, name)) {
        return evc_yaml_mistake(yaml, key, "\"%s\" is given twice", name);
    }
    back = evc_yaml_enter(yaml, name);
    rc = field->read(yaml, evc_yaml_node(yaml, pair->value), field, (char *)base + field->offset);
    evc_yaml_leave(yaml, back);
    return rc;
}

static bool
has_key(struct evc_yaml *yaml, const yaml_node_t *node, const char *name)
{
    return evc_yaml_is_repeated(yaml, node, node->data.mapping.pairs.top, name);
}

int
evc_yaml_mapping(struct evc_yaml *yaml, yaml_node_t *node, const struct evc_yaml_field *fields,
                 void *base)
{
    if (!node || node->type != YAML_MAPPING_NODE) {
        return evc_yaml_mistake(yaml, node, "must be a mapping (name: value)");
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        int rc = read_pair(yaml, node, pair, fields, base);

        if (rc != EVC_OK) {
            return rc;
        }
    }
    for (; fields->name; fields++) {
        if (fields->is_required && !has_key(yaml, node, fields->name)) {
            return evc_yaml_mistake(yaml, node, "\"%s\" is missing", fields->name);
        }
    }
    return EVC_OK;
}

int
evc_yaml_sequence(struct evc_yaml *yaml, yaml_node_t *node, unsigned max,
                  yaml_node_item_t **ret_items, unsigned *ret_count)
{
    size_t count;

    if (!node || node->type != YAML_SEQUENCE_NODE) {
        return evc_yaml_mistake(yaml, node, "must be a list ([…] or lines with -)");
    }
    count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count == 0) {
        return evc_yaml_mistake(yaml, node, "is an empty list; give at least one");
    }
    if (count > max) {
        return evc_yaml_mistake(yaml, node, "has %zu entries; at most %u are allowed", count, max);
    }
    *ret_items = node->data.sequence.items.start;
    *ret_count = (unsigned)count;
    return EVC_OK;
}

/* --- values --- */

/** "one, quorum, all" */
static const char *
list_words(const struct evc_yaml_word *words, char list[YAML_ALLOWED_BYTES])
{
    size_t len = 0;

    list[0] = '\0';
    for (const struct evc_yaml_word *word = words; word->word && len < YAML_ALLOWED_BYTES; word++) {
        len += (size_t)snprintf(list + len, YAML_ALLOWED_BYTES - len, "%s%s", len > 0 ? ", " : "",
                                word->word);
    }
    return list;
}

int
evc_yaml_read_string(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                     void *target)
{
    const char *text = NULL;
    int rc = evc_yaml_text(yaml, value, &text);

    (void)field;
    if (rc != EVC_OK) {
        return rc;
    }
    if (evc_printable_find_control(text)) { /* it is printed, logged and given to other programs */
        return evc_yaml_mistake(yaml, value, "\"%.80s\" has a control character", text);
    }
    *(char **)target = strdup(text);
    return *(char **)target ? EVC_OK : evc_error_set(yaml->error, EVC_E_NOMEM, "out of memory");
}

int
evc_yaml_read_name(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                   void *target)
{
    const char *text = NULL;
    int rc = evc_yaml_text(yaml, value, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    if (strlen(text) > EVC_CONFIG_NAME_LEN_MAX) {
        return evc_yaml_mistake(yaml, value, "\"%.80s…\" is longer than %d characters", text,
                                EVC_CONFIG_NAME_LEN_MAX);
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && !strchr("_.-", *at)) {
            return evc_yaml_mistake(yaml, value,
                                    "\"%s\" may have letters, digits, '_', '.' and '-' only", text);
        }
    }
    if (text[0] == '.') { /* regions name directories */
        return evc_yaml_mistake(yaml, value, "\"%s\" must not begin with '.'", text);
    }
    return evc_yaml_read_string(yaml, value, field, target);
}

/** Digits alone; one that is larger than any counts as the largest, which no setting allows. */
static bool
take_digits(const char *text, size_t len, uint64_t *ret)
{
    if (len == 0 || strspn(text, "0123456789") < len) {
        return false;
    }
    if (!evc_decimal_parse_u64((struct evc_slice){.ptr = text, .len = len}, ret)) {
        *ret = UINT64_MAX;
    }
    return true;
}

/** A number and, behind it, one of some units; *ret is number times factor. False: it is none. */
static bool
take_with_unit(const char *text, const struct evc_yaml_word *units, uint64_t *ret)
{
    size_t digits = strspn(text, "0123456789");

    for (const struct evc_yaml_word *unit = units; unit->word; unit++) {
        uint64_t number, factor = (uint64_t)unit->value;

        if (strcmp(text + digits, unit->word) == 0 && take_digits(text, digits, &number)) {
            *ret = number <= UINT64_MAX / factor ? number * factor : UINT64_MAX;
            return true;
        }
    }
    return false;
}

/** As a person would write it, with the largest unit that leaves a whole number. */
static const char *
with_unit(uint64_t number, const struct evc_yaml_word *units, char text[YAML_NUMBER_BYTES])
{
    const struct evc_yaml_word *largest = units;

    for (const struct evc_yaml_word *unit = units; unit->word && number > 0; unit++) {
        largest = number % (uint64_t)unit->value == 0 ? unit : largest;
    }
    snprintf(text, YAML_NUMBER_BYTES, "%" PRIu64 "%s", number / (uint64_t)largest->value,
             largest->word);
    return text;
}

static int
check_limits(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_limits *limits,
             uint64_t number, const struct evc_yaml_word *units)
{
    char least[YAML_NUMBER_BYTES], most[YAML_NUMBER_BYTES];

    if (number < limits->min || number > limits->max) {
        return evc_yaml_mistake(yaml, value, "%.80s is out of range; %s to %s are allowed",
                                (char *)value->data.scalar.value,
                                with_unit(limits->min, units, least),
                                with_unit(limits->max, units, most));
    }
    return EVC_OK;
}

/** A number with a unit, within the field's limits. */
static int
read_with_unit(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
               const struct evc_yaml_word *units, uint64_t *ret)
{
    char allowed[YAML_ALLOWED_BYTES];
    const char *text = NULL;
    uint64_t number;
    int rc = evc_yaml_text(yaml, value, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    if (!take_with_unit(text, units, &number)) {
        return evc_yaml_mistake(yaml, value, "\"%.80s\" must be a whole number with a unit (%s)",
                                text, list_words(units, allowed));
    }
    rc = check_limits(yaml, value, field->detail, number, units);
    if (rc == EVC_OK) {
        *ret = number;
    }
    return rc;
}

int
evc_yaml_read_number(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                     void *target)
{
    static const struct evc_yaml_word no_units[] = {{"", 1}, {NULL, 0}};
    const char *text = NULL;
    uint64_t number;
    int rc = evc_yaml_text(yaml, value, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    if (!take_digits(text, strlen(text), &number)) {
        return evc_yaml_mistake(yaml, value, "\"%.80s\" must be a whole number", text);
    }
    rc = check_limits(yaml, value, field->detail, number, no_units);
    if (rc == EVC_OK) {
        *(uint32_t *)target = (uint32_t)number;
    }
    return rc;
}

static const struct evc_yaml_word size_units[] = {
    {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024}, {NULL, 0}};

bool
evc_yaml_size_parse(const char *text, uint64_t *ret)
{
    return take_with_unit(text, size_units, ret);
}

int
evc_yaml_read_size(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                   void *target)
{
    uint64_t bytes;
    int rc = read_with_unit(yaml, value, field, size_units, &bytes);

    if (rc == EVC_OK) {
        *(uint64_t *)target = bytes;
    }
    return rc;
}

int
evc_yaml_read_size32(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                     void *target)
{
    uint64_t bytes;
    int rc = evc_yaml_read_size(yaml, value, field, &bytes);

    if (rc == EVC_OK) {
        *(uint32_t *)target = (uint32_t)bytes;
    }
    return rc;
}

static const struct evc_yaml_word ms_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {NULL, 0}};

bool
evc_yaml_ms_parse(const char *text, uint64_t *ret)
{
    return take_with_unit(text, ms_units, ret);
}

int
evc_yaml_read_ms(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                 void *target)
{
    uint64_t ms;
    int rc = read_with_unit(yaml, value, field, ms_units, &ms);

    if (rc == EVC_OK) {
        *(uint32_t *)target = (uint32_t)ms;
    }
    return rc;
}

int
evc_yaml_read_seconds(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                      void *target)
{
    static const struct evc_yaml_word units[] = {
        {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 24 * 3600}, {NULL, 0}};
    uint64_t seconds;
    int rc = read_with_unit(yaml, value, field, units, &seconds);

    if (rc == EVC_OK) {
        *(uint32_t *)target = (uint32_t)seconds;
    }
    return rc;
}

int
evc_yaml_read_word(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                   void *target)
{
    char allowed[YAML_ALLOWED_BYTES];
    const char *text = NULL;
    int rc = evc_yaml_text(yaml, value, &text);

    if (rc != EVC_OK) {
        return rc;
    }
    for (const struct evc_yaml_word *word = field->detail; word->word; word++) {
        if (strcmp(text, word->word) == 0) {
            *(int *)target = word->value;
            return EVC_OK;
        }
    }
    return evc_yaml_mistake(yaml, value, "\"%.80s\" is not known; allowed are %s", text,
                            list_words(field->detail, allowed));
}

int
evc_yaml_read_group(struct evc_yaml *yaml, yaml_node_t *value, const struct evc_yaml_field *field,
                    void *target)
{
    assert(field->offset == 0);
    return evc_yaml_mapping(yaml, value, field->detail, target);
}
