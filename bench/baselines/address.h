/* What the baselines share: the settings of every server, as services/runtime.py reads them. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void check(int done, const char *what) {
    if (done < 0) {
        perror(what);
        exit(1);
    }
}

/* Where to listen: WIRELAB_HOST (default loopback) and WIRELAB_PORT (default 20000, 0 for any). */
static struct sockaddr_in address(void) {
    const char *host = getenv("WIRELAB_HOST"), *port = getenv("WIRELAB_PORT");
    struct sockaddr_in where = {.sin_family = AF_INET};
    where.sin_port = htons(port && *port ? atoi(port) : 20000);
    errno = EINVAL;
    check(inet_pton(AF_INET, host && *host ? host : "127.0.0.1", &where.sin_addr) - 1, host);
    return where;
}

/* Whoever starts a server waits for this line. */
static void log_listening(int server) {
    struct sockaddr_in where;
    socklen_t size = sizeof where;
    check(getsockname(server, (struct sockaddr *)&where, &size), "getsockname");
    printf("listening on %s:%d\n", inet_ntoa(where.sin_addr), ntohs(where.sin_port));
    fflush(stdout);
}
