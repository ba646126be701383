/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get, gets, gat, gats, mg, me. A read asks the local zone and falls to another on a miss or an
 * error (engine/read.h). Tombstones are misses. What touches (gat, gats, mg T) is a write with a
 * version of its own, so that the new expiry reaches every zone and region, followed by a read.
 */
#include "proxy/command.h"
#include "proxy/exchange.h"
#include "proxy/session.h"

enum read_outcome {
    READ_HIT,
    READ_MISS,
    READ_NO_ANSWER,
    READ_NO_ROOM,
    READ_NOT_TOUCHED,
    READ_OUTCOME_MAX
};

/** What is answered in place of the reply, of END for a get. */
static const struct evc_slice failure_lines[READ_OUTCOME_MAX] = {
    [READ_NO_ANSWER] = {"SERVER_ERROR no zone answered\r\n", 31},
    [READ_NO_ROOM] = {"SERVER_ERROR too many reads in flight\r\n", 39},
    [READ_NOT_TOUCHED] = {"SERVER_ERROR not enough zones acknowledged the touch\r\n", 54},
};

/* --- replies --- */

static int
compose_classic(struct evc_exchange *exchange, enum read_outcome outcome,
                const struct evc_node_reply *reply, struct evc_buf *out)
{
    bool with_cas = exchange->command == EVC_CMD_GETS || exchange->command == EVC_CMD_GATS;

    if (outcome == READ_HIT) {
        return evc_reply_compose_value(
            out, (struct evc_slice){.ptr = exchange->key, .len = exchange->key_len}, reply,
            with_cas);
    }
    return EVC_OK; /* a miss is no line; a failure takes END's place */
}

static int
compose_meta(struct evc_exchange *exchange, enum read_outcome outcome,
             const struct evc_node_reply *reply, struct evc_buf *out)
{
    if (outcome == READ_HIT) {
        return exchange->command == EVC_CMD_ME
                   ? evc_meta_reply_compose_debug(out, &exchange->meta, reply)
                   : evc_meta_reply_compose_get(out, &exchange->meta, reply);
    }
    if (outcome == READ_MISS) {
        return evc_meta_reply_compose(out, &exchange->meta, EVC_META_EN);
    }
    return evc_buf_append(out, failure_lines[outcome]);
}

static void
finish(struct evc_exchange *exchange, enum read_outcome outcome, const struct evc_node_reply *reply)
{
    struct evc_counters *counters = &exchange->service->counters;
    bool is_meta = evc_command_info(exchange->command)->is_meta;
    struct evc_buf *out;
    int status = EVC_OK;

    if (!exchange->is_read_again) {
        counters->get_hits += outcome == READ_HIT;
        counters->get_misses += outcome == READ_MISS;
        counters->get_errors += outcome != READ_HIT && outcome != READ_MISS;
    }
    exchange->is_read = true;
    if (!is_meta) {
        exchange->failure = failure_lines[outcome];
    }
    out = evc_exchange_begin(exchange);
    if (out) {
        status = is_meta ? compose_meta(exchange, outcome, reply, out)
                         : compose_classic(exchange, outcome, reply, out);
    }
    evc_exchange_end(exchange, status);
}

/* --- reading --- */

void
evc_command_finish_read(struct evc_exchange *exchange, enum evc_node_result result,
                        const struct evc_node_reply *reply)
{
    enum read_outcome outcome = READ_NO_ANSWER;

    if (result == EVC_NODE_HIT) {
        outcome = READ_HIT;
    } else if (result == EVC_NODE_MISS) {
        outcome = READ_MISS;
    }
    finish(exchange, outcome, reply);
}

static void
on_read(void *ctx, const struct evc_read_answer *answer)
{
    evc_command_finish_read(ctx, answer->result, &answer->reply);
}

static void
start_read(struct evc_exchange *exchange)
{
    struct evc_slice key = {.ptr = exchange->key, .len = exchange->key_len};

    if (evc_read_start(exchange->service->reader, key, exchange->want, on_read, exchange) !=
        EVC_OK) {
        finish(exchange, READ_NO_ROOM, NULL);
    }
}

void
evc_command_read_again(struct evc_exchange *exchange)
{
    if (exchange->is_leased) {
        evc_command_read_leased_item(exchange);
    } else {
        start_read(exchange);
    }
}

/* --- touching first --- */

static void
on_touched(void *ctx, uint64_t tag, const struct evc_write_answer *answer)
{
    struct evc_exchange *exchange = ctx;
    struct evc_counters *counters = &exchange->service->counters;

    (void)tag;
    counters->touch_hits += answer->result == EVC_WRITE_TOUCHED;
    counters->touch_misses += answer->result == EVC_WRITE_NOT_FOUND;
    if (exchange->is_leased && answer->result != EVC_WRITE_FAILED) {
        evc_command_read_leased(exchange);
    } else if (answer->result == EVC_WRITE_TOUCHED) {
        start_read(exchange);
    } else {
        finish(exchange, answer->result == EVC_WRITE_NOT_FOUND ? READ_MISS : READ_NOT_TOUCHED,
               NULL);
    }
}

static void
start_touch(struct evc_exchange *exchange, int64_t exptime)
{
    const struct evc_write_request touch = {
        .kind = EVC_WRITE_TOUCH,
        .key = {.ptr = exchange->key, .len = exchange->key_len},
        .exptime = exptime,
    };

    evc_exchange_decides(exchange, touch.key);
    exchange->service->counters.cmd_touch++;
    if (evc_write_start(exchange->service->writer, &touch, on_touched, exchange, 0) != EVC_OK) {
        finish(exchange, READ_NOT_TOUCHED, NULL);
    }
}

/* --- commands --- */

static void
start_one_get(struct evc_exchange *exchange, const struct evc_request *request,
              struct evc_slice key)
{
    bool touches = request->command == EVC_CMD_GAT || request->command == EVC_CMD_GATS;
    bool with_cas = request->command == EVC_CMD_GETS || request->command == EVC_CMD_GATS;

    evc_exchange_keep_key(exchange, key);
    exchange->want = (uint16_t)(EVC_WANT_VALUE | EVC_WANT_FLAGS | (with_cas ? EVC_WANT_CAS : 0));
    exchange->service->counters.cmd_get++;
    if (touches) {
        start_touch(exchange, request->exptime);
    } else {
        start_read(exchange);
    }
}

/** One exchange per key; where room ends, the rest waits in the input and keys_taken says how many
 * went. */
bool
evc_command_get(struct evc_session *session, const struct evc_request *request)
{
    struct evc_slice rest = request->keys;
    struct evc_slice key, next;
    bool has_key = evc_request_next_key(&rest, &key);

    for (unsigned index = 0; has_key; index++, key = next) {
        has_key = evc_request_next_key(&rest, &next);
        if (index < session->keys_taken) {
            continue;
        }
        if (!evc_session_has_room(session) || !evc_session_may_use(session, key)) {
            return false;
        }
        struct evc_exchange *exchange = evc_command_open(session, request);

        if (!exchange) {
            return true;
        }
        session->keys_taken++;
        exchange->closes_group = !has_key;
        start_one_get(exchange, request, key);
    }
    session->keys_taken = 0;
    return true;
}

/** What a meta get asks of the node for the flags its reply will show. */
static uint16_t
want_of(const struct evc_request *request)
{
    unsigned want = EVC_WANT_FLAGS | EVC_WANT_SIZE;

    for (unsigned i = 0; i < request->flag_count; i++) {
        switch (request->flags[i].letter) {
        case 'v':
            want |= EVC_WANT_VALUE;
            break;
        case 'c':
            want |= EVC_WANT_CAS;
            break;
        case 't':
            want |= EVC_WANT_TTL;
            break;
        case 'h':
            want |= EVC_WANT_HIT_BEFORE;
            break;
        case 'l':
            want |= EVC_WANT_LAST_ACCESS;
            break;
        case 'u':
            want |= EVC_WANT_NO_BUMP;
            break;
        default:
            break;
        }
    }
    return (uint16_t)want;
}

bool
evc_command_mg(struct evc_session *session, const struct evc_request *request)
{
    struct evc_exchange *exchange;

    exchange = evc_command_open(session, request);
    if (!exchange) {
        return true;
    }
    exchange->want = want_of(request);
    session->service->counters.cmd_meta++;
    session->service->counters.cmd_get++;
    evc_command_take_lease(exchange, request);
    if (evc_request_flag(request, 'T')) {
        start_touch(exchange, request->exptime);
    } else if (exchange->is_leased) {
        evc_command_read_leased(exchange);
    } else {
        start_read(exchange);
    }
    return true;
}

bool
evc_command_me(struct evc_session *session, const struct evc_request *request)
{
    struct evc_exchange *exchange = evc_command_open(session, request);

    if (exchange) {
        session->service->counters.cmd_meta++;
        exchange->want = EVC_WANT_CAS | EVC_WANT_TTL | EVC_WANT_HIT_BEFORE | EVC_WANT_LAST_ACCESS |
                         EVC_WANT_NO_BUMP;
        start_read(exchange);
    }
    return true;
}
