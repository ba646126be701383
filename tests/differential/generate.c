/* SPDX-License-Identifier: Apache-2.0 */
/* See generate.h; what each command is made of is in commands.c. */
#include "generate.h"

#include <assert.h>
#include <stdio.h>

#include "commands.h"
#include "meta/base64.h"

enum {
    LONG_KEY = 3, /* this one has all the bytes a key may have */
    WILD_COMMANDS_MAX = 8,
    FILLERS = 4,            /* more bytes than any wild request may ask for */
    BASE64_HEAD_BYTES = 13, /* the number of the key, the salt and the number of the sequence */
    BASE64_RAW_BYTES_MAX = 90,
};

static void
make_text_key(struct diff_sequence *sequence, unsigned index)
{
    struct diff_key *key = &sequence->keys[index];

    key->len =
        (size_t)snprintf(key->text, sizeof(key->text), "%c-%08x-%llu", 'a' + (int)index,
                         (unsigned)sequence->options->salt, (unsigned long long)sequence->number);
    if (index == LONG_KEY) {
        memset(key->text + key->len, 'L', sizeof(key->text) - key->len);
        key->len = sizeof(key->text);
    }
    key->is_base64 = false;
    key->value_len_max = 0;
}

/** Any bytes; the first shows in the text's first letter, the number keeps sequences apart. */
static void
make_base64_key(struct diff_sequence *sequence, unsigned index)
{
    struct diff_key *key = &sequence->keys[index];
    char raw[BASE64_RAW_BYTES_MAX];
    size_t len = sim_random_between(&sequence->random, BASE64_HEAD_BYTES, sizeof(raw));

    for (size_t i = BASE64_HEAD_BYTES; i < len; i++) {
        raw[i] = (char)sim_random_below(&sequence->random, 256);
    }
    raw[0] = (char)((index - DIFF_TEXT_KEYS) << 2);
    memcpy(raw + 1, &sequence->options->salt, 4);
    memcpy(raw + 5, &sequence->number, 8);
    key->len = evc_base64_encode((struct evc_slice){.ptr = raw, .len = len}, key->text);
    key->is_base64 = true;
    key->value_len_max = 0;
}

void
diff_sequence_begin(struct diff_sequence *sequence, const struct diff_options *options,
                    uint64_t number)
{
    sequence->options = options;
    sequence->number = number;
    sim_random_init(&sequence->random, options->seed);
    sequence->random.state ^= sim_random_next(&sequence->random) * (number + 1);
    for (unsigned i = 0; i < DIFF_KEYS; i++) {
        if (i < DIFF_TEXT_KEYS) {
            make_text_key(sequence, i);
        } else {
            make_base64_key(sequence, i);
        }
    }
    sequence->pairs.count = 0;
    sequence->pairs.has_touched = false;
    sequence->batch_count = (unsigned)sim_random_between(&sequence->random, 1, DIFF_BATCHES_MAX);
    sequence->batch = 0;
    sequence->keys_touched = 0;
    sequence->keys_rewritten = 0;
    sequence->command_count = 0;
}

static void
compose_commands(struct diff_sequence *sequence)
{
    uint64_t count = sim_random_spread(&sequence->random, 1, DIFF_BATCH_COMMANDS_MAX);

    for (uint64_t i = 0; i < count; i++) {
        diff_compose_command(sequence);
    }
}

/** What every key is now, so that no difference in state goes unseen. */
static void
compose_look(struct diff_sequence *sequence)
{
    for (unsigned i = 0; i < DIFF_KEYS; i++) {
        struct diff_key *key = &sequence->keys[i];

        diff_put(sequence, "mg %.*s%s k f s t c v\r\n", (int)key->len, key->text,
                 key->is_base64 ? " b" : "");
        sequence->command_count++;
    }
}

static void
compose_wild(struct diff_sequence *sequence)
{
    uint64_t count = sim_random_below(&sequence->random, WILD_COMMANDS_MAX);

    for (uint64_t i = 0; i < count; i++) {
        diff_compose_wild(sequence);
    }
    /* memcached does not send what it has said if the end comes while it waits for data. */
    for (unsigned i = 0; i < FILLERS; i++) {
        diff_put(sequence, "mn\r\n");
    }
}

/** What has been learnt of a key before it was touched is of no use any more. */
static void
forget_touched(struct diff_sequence *sequence)
{
    for (unsigned i = 0; i < sequence->pairs.count; i++) {
        struct diff_pair *pair = &sequence->pairs.pair[i];

        pair->is_stale |= diff_is_touched(sequence, pair->key);
    }
    sequence->keys_touched = 0;
}

bool
diff_sequence_compose(struct diff_sequence *sequence, bool *ret_is_last)
{
    evc_buf_clear(&sequence->out[DIFF_MEMCACHED]);
    evc_buf_clear(&sequence->out[DIFF_PROXY]);
    forget_touched(sequence);
    sequence->keys_read = 0;
    sequence->read_bytes_max = 0;
    sequence->sentinels = 1;
    *ret_is_last = sequence->batch == sequence->batch_count + 1;
    if (sequence->batch > sequence->batch_count + 1) {
        return false;
    }
    if (sequence->batch < sequence->batch_count) {
        compose_commands(sequence);
    } else if (sequence->batch == sequence->batch_count) {
        compose_look(sequence);
    } else {
        compose_wild(sequence);
    }
    if (!*ret_is_last) {
        diff_put(sequence, "mn\r\n");
    }
    sequence->batch++;
    return true;
}
