/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See listener.h. The socket is made, bound and listening before libuv hears of it: a uv handle can
 * be freed only a turn after it was closed, so nothing may fail once there is one.
 */
#include "net/listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void
address_text(const struct sockaddr *address, char text[EVC_ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(text, EVC_ADDRESS_TEXT_BYTES, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(text, EVC_ADDRESS_TEXT_BYTES, "%s:%u", host, ntohs(v4->sin_port));
    }
}

static socklen_t
address_len(const struct sockaddr *address)
{
    return address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

static int
refuse(const struct sockaddr *address, int sys_errno, struct evc_error *error)
{
    char text[EVC_ADDRESS_TEXT_BYTES];
    int status = EVC_E_SYS;

    address_text(address, text);
    if (sys_errno == EADDRINUSE) {
        evc_error_set(error, status,
                      "%s: address already in use; stop the process that has it or change the "
                      "address in the configuration",
                      text);
    } else if (sys_errno == EADDRNOTAVAIL) {
        evc_error_set(error, status, "%s: not an address of this machine", text);
    } else if (sys_errno == EACCES) {
        evc_error_set(error, status, "%s: not permitted; ports below 1024 need a privilege", text);
    } else {
        status = evc_error_sys(error, sys_errno, "%s: cannot listen", text);
    }
    if (error != NULL) {
        error->sys_errno = sys_errno;
    }
    return status;
}

/** A bound socket, or a negative errno. */
static int
bound_socket(const struct sockaddr *address, bool is_shared)
{
    int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return -errno;
    }
    /* REUSEADDR: connections of a former process in TIME_WAIT are no obstacle. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        bind(fd, address, address_len(address)) != 0) {
        int sys_errno = errno;

        close(fd);
        return -sys_errno;
    }
    return fd;
}

static void
on_uv_connection(uv_stream_t *server, int status)
{
    struct evc_listener *listener = EVC_CONTAINER_OF(server, struct evc_listener, tcp);

    evc_loop_enter(listener->loop);
    if (status == 0) { /* else the process is out of descriptors: libuv has turned the peer away */
        listener->on_connection(listener);
    }
}

int
evc_listener_open(struct evc_listener *listener, struct evc_loop *loop,
                  const struct sockaddr *address,
                  void (*on_connection)(struct evc_listener *listener), struct evc_error *error)
{
    int fd = bound_socket(address, true);
    int status;

    if (fd < 0) {
        return refuse(address, -fd, error);
    }
    if (listen(fd, EVC_LISTENER_BACKLOG) != 0) {
        int sys_errno = errno;

        close(fd);
        return refuse(address, sys_errno, error);
    }
    *listener = (struct evc_listener){.loop = loop, .on_connection = on_connection};
    status = uv_tcp_init(&loop->uv, &listener->tcp);
    assert(status == 0); /* without a family it makes no system call */
    status = uv_tcp_open(&listener->tcp, fd);
    assert(status == 0); /* fails only for a socket that is none, or not one's own */
    status = uv_listen((uv_stream_t *)&listener->tcp, EVC_LISTENER_BACKLOG, on_uv_connection);
    assert(status == 0); /* it listens already */
    (void)status;
    return EVC_OK;
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct evc_listener *listener = EVC_CONTAINER_OF(handle, struct evc_listener, tcp);

    evc_loop_enter(listener->loop);
    if (listener->on_closed != NULL) {
        listener->on_closed(listener);
    }
}

void
evc_listener_close(struct evc_listener *listener)
{
    if (!uv_is_closing((uv_handle_t *)&listener->tcp)) {
        uv_close((uv_handle_t *)&listener->tcp, on_handle_closed);
    }
}

int
evc_listener_probe(const struct sockaddr *address, struct evc_error *error)
{
    int fd = bound_socket(address, false);
    int status;

    if (fd >= 0) {
        close(fd);
        return EVC_OK;
    }
    status = refuse(address, -fd, error);
    if (fd == -EADDRINUSE) {
        status = EVC_E_BUSY;
        if (error != NULL) {
            error->status = status;
        }
    }
    return status;
}

int
evc_listener_address(const struct evc_listener *listener, struct sockaddr_storage *ret)
{
    int len = sizeof(*ret);

    return uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)ret, &len) == 0 ? EVC_OK
                                                                                 : EVC_E_SYS;
}
