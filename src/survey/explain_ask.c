/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the nodes: a thread and a conversation for each copy, so that one that hangs delays nobody.
 * The request wants no value and counts as no access.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/dial.h"
#include "survey/explain.h"

enum {
    EXPLAIN_INPUT_BYTES_MAX = 16 * 1024, /* one line, however long an error is */
    EXPLAIN_OUTPUT_BYTES_MAX = 4096,
};

/** One copy to be asked for. Where there is no thread, one is asked after another. */
struct question {
    const struct evc_explain *explain;
    struct evc_explain_copy *copy;
    pthread_t thread;
    bool has_thread;
};

static int
send_request(struct evc_dial *dial, struct evc_slice key, struct evc_error *error)
{
    const struct evc_node_op op = {
        .verb = EVC_NODE_GET,
        .want = EVC_WANT_FLAGS | EVC_WANT_CAS | EVC_WANT_TTL | EVC_WANT_SIZE | EVC_WANT_NO_BUMP,
        .key = key,
    };
    struct evc_buf output;
    int rc;

    evc_buf_init(&output, EXPLAIN_OUTPUT_BYTES_MAX);
    rc = evc_node_op_compose(&op, &output);
    if (rc != EVC_OK) {
        evc_error_set(error, rc, "the request cannot be composed: %s", evc_status_str(rc));
    } else {
        rc = evc_dial_send(dial, evc_buf_slice(&output), error);
    }
    evc_buf_finish(&output);
    return rc;
}

/** Takes the answer over; its views end with the input. */
static int
take_answer(struct evc_explain_copy *copy, enum evc_node_result result,
            const struct evc_node_reply *reply, struct evc_error *error)
{
    if (result == EVC_NODE_ERROR) {
        return evc_error_set(error, EVC_E_PROTO, "%s answers: %.*s", copy->address->text,
                             (int)reply->error.len, reply->error.ptr);
    }
    copy->is_found = result == EVC_NODE_HIT;
    copy->reply = *reply;
    copy->reply.value = copy->reply.error = EVC_SLICE("");
    return EVC_OK;
}

static int
receive_answer(struct evc_dial *dial, struct evc_buf *input, struct evc_explain_copy *copy,
               struct evc_error *error)
{
    struct evc_node_parse parse = {0};

    for (;;) {
        enum evc_node_result result;
        struct evc_node_reply reply;
        size_t used;
        int rc = evc_node_reply_parse(&parse, EVC_NODE_GET, evc_buf_slice(input), &used, &result,
                                      &reply);

        if (rc == EVC_OK) {
            return take_answer(copy, result, &reply, error);
        }
        if (rc != EVC_E_AGAIN) {
            return evc_error_set(error, rc, "%s does not answer as a memcached node",
                                 copy->address->text);
        }
        rc = evc_dial_receive(dial, input, error);
        if (rc != EVC_OK) {
            return rc;
        }
    }
}

static void *
ask_one(void *arg)
{
    struct question *question = arg;
    struct evc_explain_copy *copy = question->copy;
    struct evc_error error = {0};
    struct evc_dial dial;
    struct evc_buf input;
    int rc = evc_dial_open(&dial, copy->address, question->explain->timeout_ms, &error);

    if (rc == EVC_OK) {
        evc_buf_init(&input, EXPLAIN_INPUT_BYTES_MAX);
        rc = send_request(&dial, question->explain->key, &error);
        if (rc == EVC_OK) {
            rc = receive_answer(&dial, &input, copy, &error);
        }
        evc_buf_finish(&input);
        evc_dial_close(&dial);
    }
    copy->has_answered = rc == EVC_OK;
    copy->version = evc_version_trusted(copy->reply.cas, evc_clock_unix_us() / 1000,
                                        question->explain->config->drift_ms);
    snprintf(copy->why, sizeof(copy->why), "%s", copy->has_answered ? "" : error.text);
    return NULL;
}

static void
forget_answers(struct evc_explain *explain)
{
    for (size_t i = 0; i < explain->copy_count; i++) {
        struct evc_explain_copy *copy = &explain->copies[i];

        copy->has_answered = copy->is_found = false;
        copy->reply = (struct evc_node_reply){.ttl_s = -1};
        copy->version = 0;
        copy->why[0] = '\0';
        if (copy->address != NULL) {
            snprintf(copy->why, sizeof(copy->why), "%s was not asked: out of memory",
                     copy->address->text);
        }
    }
}

void
evc_explain_look(struct evc_explain *explain)
{
    struct question *questions = calloc(explain->copy_count, sizeof(*questions));

    forget_answers(explain);
    for (size_t i = 0; questions != NULL && i < explain->copy_count; i++) {
        struct question *question = &questions[i];

        *question = (struct question){.explain = explain, .copy = &explain->copies[i]};
        if (question->copy->address != NULL) {
            question->has_thread = pthread_create(&question->thread, NULL, ask_one, question) == 0;
            if (!question->has_thread) {
                (void)ask_one(question);
            }
        }
    }
    for (size_t i = 0; questions != NULL && i < explain->copy_count; i++) {
        if (questions[i].has_thread) {
            (void)pthread_join(questions[i].thread, NULL);
        }
    }
    free(questions);
    explain->unix_us = evc_clock_unix_us();
    evc_explain_judge(explain);
}
