/* Counts how often a server's epoll_wait(2) or epoll_pwait(2) returns events: its wake-ups.
 *
 * LD_PRELOAD has this library in every process of a server, and the calls of Python and of event
 * loops in C come here first. The count is the first number of the file BENCH_WAKEUPS, which all of
 * the processes map into their memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

static long nowhere, *wakeups = &nowhere;
static int (*next_wait)(int, struct epoll_event *, int, int);
static int (*next_pwait)(int, struct epoll_event *, int, int, const sigset_t *);

__attribute__((constructor)) static void begin(void) {
    next_wait = dlsym(RTLD_NEXT, "epoll_wait");
    next_pwait = dlsym(RTLD_NEXT, "epoll_pwait");
    const char *path = getenv("BENCH_WAKEUPS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *memory = mmap(NULL, sizeof *wakeups, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) wakeups = memory;
    if (file >= 0) close(file);
}

static int counted(int ready) {
    if (ready > 0) __atomic_fetch_add(wakeups, 1, __ATOMIC_RELAXED);
    return ready;
}

int epoll_wait(int epoll, struct epoll_event *events, int size, int timeout) {
    return counted(next_wait(epoll, events, size, timeout));
}

int epoll_pwait(int epoll, struct epoll_event *events, int size, int timeout, const sigset_t *mask) {
    return counted(next_pwait(epoll, events, size, timeout, mask));
}
