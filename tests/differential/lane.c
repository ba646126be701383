/* SPDX-License-Identifier: Apache-2.0 */
/* See lane.h. */
#include "lane.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum {
    RECEIVE_BYTES = 64 * 1024,
    SHOWN_REPLIES = 3,       /* before the one that differs */
    SHOWN_BYTES_MAX = 20000, /* of a batch */
    SHOWN_RUN_MAX = 160,     /* of a line */
};

static const char *const side_names[DIFF_SIDES] = {"memcached", "proxy"};

static uint64_t
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

void
diff_lane_init(struct diff_lane *lane)
{
    lane->is_running = false;
    lane->replies = 0;
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        lane->sides[side].fd = -1;
        evc_buf_init(&lane->sides[side].in, DIFF_BATCH_BYTES_MAX);
        evc_buf_init(&lane->sequence.out[side], DIFF_BATCH_BYTES_MAX);
    }
}

static void
disconnect(struct diff_side *side)
{
    if (side->fd >= 0) {
        close(side->fd);
        side->fd = -1;
    }
}

void
diff_lane_finish(struct diff_lane *lane)
{
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        disconnect(&lane->sides[side]);
        evc_buf_finish(&lane->sides[side].in);
        evc_buf_finish(&lane->sequence.out[side]);
    }
}

/* --- printing what differs --- */

/** Printable, a line of it on a line; long runs are cut. */
static void
show_bytes(struct evc_slice bytes, const char *indent)
{
    size_t column = 0;
    size_t shown = 0;

    printf("%s", indent);
    for (size_t i = 0; i < bytes.len && shown < SHOWN_BYTES_MAX; i++) {
        unsigned char byte = (unsigned char)bytes.ptr[i];

        if (byte == '\n') {
            printf("\\n%s%s", i + 1 < bytes.len ? "\n" : "", i + 1 < bytes.len ? indent : "");
            column = 0;
        } else if (column++ < SHOWN_RUN_MAX) {
            shown++;
            printf(byte >= ' ' && byte < 127 ? "%c" : byte == '\r' ? "\\r" : "\\x%02x", byte);
        }
    }
    printf("%s\n", shown == SHOWN_BYTES_MAX ? " …" : "");
}

static bool
fail(const struct diff_lane *lane, const char *what)
{
    const struct diff_sequence *sequence = &lane->sequence;

    printf(
        "differential: %s\n  seed %llu, sequence %llu, batch %u of %u\n  requests of the batch:\n",
        what, (unsigned long long)sequence->options->seed, (unsigned long long)sequence->number,
        sequence->batch, sequence->batch_count + 2);
    show_bytes(evc_buf_slice(&sequence->out[DIFF_MEMCACHED]), "    ");
    return false;
}

/** The replies of both from `from` to reply number `index`. */
static void
show_replies(const struct diff_lane *lane, unsigned from, unsigned index)
{
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        struct evc_slice rest = evc_buf_slice(&lane->sides[side].in);
        struct diff_reply reply;

        printf("  %s, replies %u to %u:\n", side_names[side], from, index);
        for (unsigned i = 0; i <= index && diff_reply_take(&rest, &reply); i++) {
            if (i >= from) {
                show_bytes(reply.line, "    ");
                if (reply.block.len > 0) {
                    show_bytes(reply.block, "    ");
                }
            }
        }
    }
}

static void
show_batch(const struct diff_lane *lane)
{
    printf("--- batch %u\n", lane->sequence.batch);
    show_bytes(evc_buf_slice(&lane->sequence.out[DIFF_MEMCACHED]), "");
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        printf("%s:\n", side_names[side]);
        show_bytes(evc_buf_slice(&lane->sides[side].in), "    ");
    }
}

/* --- comparing --- */

static bool
compare(struct diff_lane *lane)
{
    struct evc_slice rest[DIFF_SIDES];
    struct diff_reply replies[DIFF_SIDES];
    bool has[DIFF_SIDES];

    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        rest[side] = evc_buf_slice(&lane->sides[side].in);
    }
    for (unsigned index = 0;; index++) {
        for (unsigned side = 0; side < DIFF_SIDES; side++) {
            has[side] = diff_reply_take(&rest[side], &replies[side]);
        }
        if (!has[0] && !has[1]) {
            break;
        }
        if (!has[0] || !has[1] || !diff_reply_equal(replies, &lane->sequence.pairs)) {
            fail(lane, "the replies differ");
            show_replies(lane, index > SHOWN_REPLIES ? index - SHOWN_REPLIES : 0, index);
            return false;
        }
        lane->replies++;
    }
    if (!evc_slice_equal(rest[0], rest[1])) {
        return fail(lane, "what is left behind the last whole reply differs");
    }
    return true;
}

/* --- batches --- */

/** Whole, in pieces as TCP would cut them, or byte for byte. */
static unsigned
pick_piece_max(struct diff_lane *lane)
{
    static const unsigned sizes[] = {1 << 20, 1 << 20, 4096, 1000, 100};
    size_t len = evc_buf_len(&lane->sequence.out[DIFF_PROXY]);

    if (len < 1000 && sim_random_below(&lane->pieces, 8) == 0) {
        return 8;
    }
    return len < 100000 ? sizes[sim_random_below(&lane->pieces, 5)] : 1 << 20;
}

static bool
has_output(const struct diff_lane *lane, unsigned side)
{
    return !lane->sides[side].is_at_end &&
           lane->sides[side].sent < evc_buf_len(&lane->sequence.out[side]);
}

/** Behind the last byte of the last batch: nothing more will come. */
static void
end_output(struct diff_lane *lane, unsigned side)
{
    if (lane->is_last_batch && !has_output(lane, side)) {
        shutdown(lane->sides[side].fd, SHUT_WR);
    }
}

static bool
begin_batch(struct diff_lane *lane)
{
    if (!diff_sequence_compose(&lane->sequence, &lane->is_last_batch)) {
        return false;
    }
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        evc_buf_clear(&lane->sides[side].in);
        lane->sides[side].sent = 0;
        lane->sides[side].scanned = 0;
        lane->sides[side].sentinels = 0;
    }
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        end_output(lane, side);
    }
    lane->piece_max = pick_piece_max(lane);
    lane->began_s = now_s();
    return true;
}

static int
connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    diff_check(fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0,
               "cannot connect");
    diff_check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
                   fcntl(fd, F_SETFL, O_NONBLOCK) == 0,
               "cannot set up a socket");
    return fd;
}

void
diff_lane_start(struct diff_lane *lane, const struct diff_options *options, uint64_t number,
                const struct sockaddr_in addresses[DIFF_SIDES])
{
    diff_sequence_begin(&lane->sequence, options, number);
    sim_random_init(&lane->pieces, options->seed + number);
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        lane->sides[side].fd = connect_to(&addresses[side]);
        lane->sides[side].is_at_end = false;
    }
    lane->is_running = begin_batch(lane);
}

/* --- bytes --- */

void
diff_lane_poll(const struct diff_lane *lane, struct pollfd polls[DIFF_SIDES])
{
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        const struct diff_side *at = &lane->sides[side];

        polls[side] =
            (struct pollfd){.fd = lane->is_running && !at->is_at_end ? at->fd : -1,
                            .events = (short)(POLLIN | (has_output(lane, side) ? POLLOUT : 0))};
    }
}

static void
send_piece(struct diff_lane *lane, unsigned side)
{
    struct evc_slice bytes = evc_buf_slice(&lane->sequence.out[side]);
    size_t len = sim_random_between(&lane->pieces, 1, lane->piece_max);
    ssize_t count;

    if (len > bytes.len - lane->sides[side].sent) {
        len = bytes.len - lane->sides[side].sent;
    }
    count = send(lane->sides[side].fd, bytes.ptr + lane->sides[side].sent, len, MSG_NOSIGNAL);
    if (count < 0) { /* whoever hangs up is compared by what was said before */
        diff_check(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET, "cannot send");
        return;
    }
    lane->sides[side].sent += (size_t)count;
    end_output(lane, side);
}

static void
scan_replies(struct diff_side *side)
{
    struct evc_slice rest = evc_buf_slice(&side->in);
    struct diff_reply reply;

    rest.ptr += side->scanned;
    rest.len -= side->scanned;
    while (diff_reply_take(&rest, &reply)) {
        side->sentinels += evc_slice_equal(reply.line, EVC_SLICE("MN"));
    }
    side->scanned = evc_buf_len(&side->in) - rest.len;
}

static void
receive(struct diff_side *side)
{
    char *tail;
    ssize_t count;

    diff_check(evc_buf_reserve(&side->in, RECEIVE_BYTES, &tail) == EVC_OK, "out of memory");
    count = recv(side->fd, tail, RECEIVE_BYTES, 0);
    if (count > 0) {
        evc_buf_commit(&side->in, (size_t)count);
        scan_replies(side);
    } else if (count == 0 || errno != EAGAIN) {
        side->is_at_end = true;
    }
}

static bool
is_answered(const struct diff_lane *lane)
{
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        const struct diff_side *at = &lane->sides[side];

        if (!at->is_at_end && (lane->is_last_batch || at->sentinels < lane->sequence.sentinels)) {
            return false;
        }
    }
    return true;
}

bool
diff_lane_step(struct diff_lane *lane, const struct pollfd polls[DIFF_SIDES])
{
    for (unsigned side = 0; side < DIFF_SIDES; side++) {
        if (polls[side].fd >= 0 && (polls[side].revents & POLLOUT) != 0) {
            send_piece(lane, side);
        }
        if (polls[side].fd >= 0 && (polls[side].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            receive(&lane->sides[side]);
        }
    }
    if (!is_answered(lane)) {
        if (now_s() - lane->began_s <= DIFF_ANSWER_LIMIT_S) {
            return true;
        }
        (void)compare(lane); /* says where; both alike but unfinished is the line below */
        return fail(lane, "not every request was answered");
    }
    if (lane->sequence.options->shows_all) {
        show_batch(lane);
    }
    if (!compare(lane)) {
        return false;
    }
    lane->is_running = begin_batch(lane);
    if (!lane->is_running) {
        disconnect(&lane->sides[DIFF_MEMCACHED]);
        disconnect(&lane->sides[DIFF_PROXY]);
    }
    return true;
}
