/* TCP echo in C: the model of services/tcp_echo/evented.py, at the cost of its system calls. */

#define _GNU_SOURCE /* accept4 */
#include "address.h"
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* What the kernel has not taken of an answer: `size` bytes at `outgoing`, in the memory `kept`. */
struct connection {
    int fd;
    size_t size;
    char *kept, *outgoing;
};

static char chunk[64 * 1024];
static int epoll;

/* Level-triggered: each connection gets one chunk per iteration, and no call finds nothing to do. */
static void watch(int operation, int fd, uint32_t events, struct connection *connection) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    check(epoll_ctl(epoll, operation, fd, &event), "epoll_ctl");
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        connection->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection);
    }
}

static void end(struct connection *connection) {
    close(connection->fd);
    free(connection->kept);
    free(connection);
}

/* Send `connection->outgoing`; returns whether the connection is alive. */
static int send_some(struct connection *connection) {
    ssize_t sent = send(connection->fd, connection->outgoing, connection->size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return 0;
    if (sent > 0) {
        connection->outgoing += sent;
        connection->size -= sent;
    }
    return 1;
}

static void echo(struct connection *connection) {
    if (connection->kept) { /* and so it is writable */
        if (!send_some(connection)) {
            end(connection);
        } else if (!connection->size) {
            free(connection->kept);
            connection->kept = NULL;
            watch(EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
        }
        return;
    }
    ssize_t received = recv(connection->fd, chunk, sizeof chunk, 0);
    if (received < 0 && errno == EAGAIN)
        return;
    connection->outgoing = chunk;
    connection->size = received;
    if (received <= 0 || !send_some(connection)) {
        end(connection);
    } else if (connection->size) {
        connection->kept = memcpy(malloc(connection->size), connection->outgoing, connection->size);
        connection->outgoing = connection->kept;
        watch(EPOLL_CTL_MOD, connection->fd, EPOLLOUT, connection);
    }
}

int main(void) {
    struct epoll_event events[256];
    struct sockaddr_in where = address();
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    check(bind(listener, (struct sockaddr *)&where, sizeof where), "bind");
    check(listen(listener, 1024), "listen");
    check(epoll = epoll_create1(0), "epoll_create1");
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    log_listening(listener);
    for (;;) {
        int ready = epoll_wait(epoll, events, sizeof events / sizeof *events, -1);
        for (int i = 0; i < ready; i++)
            if (events[i].data.ptr)
                echo(events[i].data.ptr);
            else
                accept_all(listener);
    }
}
