/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Non-blocking sockets and poll(), so that one deadline bounds the whole conversation: connecting,
 * sending and every wait for an answer.
 */
#include "http/dial.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "topology/topology.h"

enum {
    DIAL_READ_BYTES = 16 * 1024
};

static int
error_timeout(const struct evc_dial *dial, struct evc_error *error)
{
    return evc_error_set(error, EVC_E_TIMEOUT, "%s does not answer in time", dial->peer->text);
}

/** A failed call on the socket: who hung up or refused is told from who could not be reached. */
static int
error_socket(const struct evc_dial *dial, int sys_errno, struct evc_error *error)
{
    if (sys_errno == ECONNREFUSED) {
        return evc_error_set(error, EVC_E_CLOSED, "nothing listens on %s", dial->peer->text);
    }
    if (sys_errno == ECONNRESET || sys_errno == EPIPE) {
        return evc_error_set(error, EVC_E_CLOSED, "%s closed the connection", dial->peer->text);
    }
    return evc_error_sys(error, sys_errno, "%s", dial->peer->text);
}

/** Waits for events on the socket. 0, EVC_E_TIMEOUT or EVC_E_SYS. */
static int
wait_for(const struct evc_dial *dial, short events, struct evc_error *error)
{
    for (;;) {
        uint64_t now_us = evc_clock_mono_us();
        if (now_us >= dial->deadline_us) {
            return error_timeout(dial, error);
        }
        struct pollfd poll_fd = {.fd = dial->fd, .events = events};
        int timeout_ms = (int)((dial->deadline_us - now_us) / 1000 + 1);
        int count = poll(&poll_fd, 1, timeout_ms);
        if (count > 0) {
            return 0;
        }
        if (count < 0 && errno != EINTR) {
            return error_socket(dial, errno, error);
        }
    }
}

static int
finish_connect(struct evc_dial *dial, struct evc_error *error)
{
    int status = wait_for(dial, POLLOUT, error);
    if (status != 0) {
        return status;
    }
    int sys_errno = 0;
    socklen_t len = sizeof(sys_errno);
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &sys_errno, &len) != 0) {
        sys_errno = errno;
    }
    return sys_errno == 0 ? 0 : error_socket(dial, sys_errno, error);
}

int
evc_dial_open(struct evc_dial *dial, const struct evc_address *peer, unsigned timeout_ms,
              struct evc_error *error)
{
    struct sockaddr_storage address;
    int status = evc_address_resolve(peer, &address, error);

    if (status != 0) {
        return status;
    }
    *dial = (struct evc_dial){.peer = peer,
                              .deadline_us = evc_clock_mono_us() + timeout_ms * UINT64_C(1000)};
    dial->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd < 0) {
        return evc_error_sys(error, errno, "no socket for %s", peer->text);
    }
    socklen_t len = address.ss_family == AF_INET6 ? (socklen_t)sizeof(struct sockaddr_in6)
                                                  : (socklen_t)sizeof(struct sockaddr_in);
    if (connect(dial->fd, (const struct sockaddr *)&address, len) != 0) {
        status =
            errno == EINPROGRESS ? finish_connect(dial, error) : error_socket(dial, errno, error);
    }
    if (status != 0) {
        evc_dial_close(dial);
    }
    return status;
}

int
evc_dial_send(struct evc_dial *dial, struct evc_slice bytes, struct evc_error *error)
{
    assert(dial->fd >= 0);
    while (bytes.len > 0) {
        ssize_t sent = send(dial->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes.ptr += sent;
            bytes.len -= (size_t)sent;
            continue;
        }
        int sys_errno = errno;
        if (sys_errno != EAGAIN && sys_errno != EINTR) {
            return error_socket(dial, sys_errno, error);
        }
        int status = wait_for(dial, POLLOUT, error);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

int
evc_dial_receive(struct evc_dial *dial, struct evc_buf *into, struct evc_error *error)
{
    char *tail;
    size_t want = into->limit - evc_buf_len(into);

    assert(dial->fd >= 0);
    want = want < DIAL_READ_BYTES ? want : DIAL_READ_BYTES;
    if (want == 0 || evc_buf_reserve(into, want, &tail) != 0) {
        return evc_error_set(error, EVC_E_LIMIT, "%s sends more than %zu bytes", dial->peer->text,
                             into->limit);
    }
    for (;;) {
        ssize_t received = recv(dial->fd, tail, want, 0);
        if (received > 0) {
            evc_buf_commit(into, (size_t)received);
            return 0;
        }
        if (received == 0) {
            return evc_error_set(error, EVC_E_CLOSED, "%s closed the connection", dial->peer->text);
        }
        int sys_errno = errno;
        if (sys_errno != EAGAIN && sys_errno != EINTR) {
            return error_socket(dial, sys_errno, error);
        }
        int status = wait_for(dial, POLLIN, error);
        if (status != 0) {
            return status;
        }
    }
}

void
evc_dial_close(struct evc_dial *dial)
{
    if (dial->fd >= 0) {
        close(dial->fd);
        dial->fd = -1;
    }
}
