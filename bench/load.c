/* The load generator: many clients in one thread, and what each answer took, as JSON.
 *
 *   load tcp|udp|http HOST PORT CONNECTIONS SIZE|FILE SECONDS RATE PATIENCE BURSTS
 *
 * tcp sends SIZE bytes and expects the same back; udp sends an ID and expects it in front of the
 * answer; http sends the requests of FILE one after the other. FILE has texts that end with NUL, in
 * turn a request and what the body of its answer has to contain, with status 200.
 *
 * RATE 0 is a closed loop: each client sends again as soon as it is answered, which shows the most
 * that the server does. With a RATE (requests a second, of all clients together) it is an open
 * one: each request is due at a fixed time, whatever became of the one before, and its latency
 * counts from then. A server that stalls for a second so shows all the requests that were due in
 * it, and not just the one that was under way (the "coordinated omission" of Gil Tene's talk
 * "How NOT to Measure Latency").
 *
 * With BURSTS 1 all clients send at the same time: in a closed loop when all are answered, and in an
 * open one because their requests are due then. With 0 each client has a pace of its own.
 *
 * A server may listen before it can answer: gunicorn does while its worker loads the application.
 * So the first right answer is waited for, PATIENCE seconds at most, and then there is a warm-up.
 * After that, in a closed loop, it prints "measuring" and rests until there is a line to read, or
 * nothing more: whoever looks at the CPU time of the server has the time to do so.
 *
 * After its report it waits for a signal to end it, so that a server can be looked at with all of its
 * connections open.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000L
#define SECOND 1000000000L
#define CONNECT_TIME (1 * SECOND) /* a full queue drops a SYN, and the next try is a second later */
#define WARM_UP (SECOND / 5)
#define LOST_AFTER (SECOND / 4) /* a datagram, sent again then */

enum protocol { TCP, UDP, HTTP };
enum state { CONNECTING, IDLE, WAITING, BROKEN };

struct client {
    int fd;
    enum state state;
    int wants_out;   /* EPOLLOUT is asked for */
    size_t sent;     /* bytes of the request */
    size_t received; /* bytes of the answer, in `answer` */
    char *answer;
    long due;    /* ns: when its request should be sent, or should have been */
    long began;  /* ns: when it was sent */
    long number; /* which of the requests; in an ID of udp */
    long served;
};

struct text {
    char *data;
    size_t size;
};

static enum protocol protocol;
static struct sockaddr_in server;
static struct text *requests, *expected; /* bytes to send; a part of the answer (http) */
static long request_count;
static size_t answer_limit;
static int epoll;
static struct client *clients;
static long client_count;
static double interval; /* ns between two requests of one client; 0 in a closed loop */
static int bursts;      /* all clients send at the same time */
static long right, measured, wrong, errors, lost;
static int awaiting, measuring; /* the first right answer; what it counts */

/* Latencies in buckets of 1/32 of their power of two, so within 3 percent. */
#define STEPS 32
static long histogram[64 * STEPS];
static long slowest;

static void fail(const char *form, ...) {
    va_list arguments;
    va_start(arguments, form);
    fputs("load: ", stderr);
    vfprintf(stderr, form, arguments);
    fputc('\n', stderr);
    exit(1);
}

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static void record(long latency) {
    if (latency < 1) latency = 1;
    if (latency > slowest) slowest = latency;
    int power = 63 - __builtin_clzl(latency);
    int step = power < 5 ? latency - (1L << power) : (latency >> (power - 5)) - STEPS;
    histogram[power * STEPS + step]++;
}

static double percentile(double part) {
    long total = 0, seen = 0;
    for (int i = 0; i < 64 * STEPS; i++) total += histogram[i];
    for (int i = 0; i < 64 * STEPS; i++) {
        seen += histogram[i];
        if (histogram[i] && seen >= part * total) {
            int power = i / STEPS, step = i % STEPS;
            return power < 5 ? (1L << power) + step : (double)(1L << (power - 5)) * (STEPS + step);
        }
    }
    return 0;
}

static void watch(struct client *client, int operation) {
    struct epoll_event event = {.data.ptr = client};
    event.events = EPOLLIN | (client->wants_out ? EPOLLOUT : 0);
    epoll_ctl(epoll, operation, client->fd, &event);
}

static void want_out(struct client *client, int wanted) {
    if (client->wants_out == wanted) return;
    client->wants_out = wanted;
    watch(client, EPOLL_CTL_MOD);
}

static void open_connection(struct client *client) {
    int type = protocol == UDP ? SOCK_DGRAM : SOCK_STREAM;
    client->fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
    if (client->fd < 0) fail("socket: %s", strerror(errno));
    client->state = protocol == UDP ? IDLE : CONNECTING;
    client->wants_out = protocol != UDP;
    if (protocol != UDP)
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(client->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        client->state = BROKEN;
    watch(client, EPOLL_CTL_ADD);
}

static void write_request(struct client *client) {
    struct text id, *request = &requests[client->number % request_count];
    char buffer[64];
    if (protocol == UDP) {
        id.data = buffer;
        id.size = snprintf(buffer, sizeof buffer, "%ld-%ld", client - clients, client->number);
        request = &id;
    }
    ssize_t count = send(client->fd, request->data + client->sent, request->size - client->sent,
                         MSG_NOSIGNAL);
    if (count > 0) client->sent += count;
    want_out(client, client->sent < request->size);
}

static void begin_request(struct client *client, long time) {
    client->state = WAITING;
    client->began = time;
    client->sent = client->received = 0;
    write_request(client);
}

static void close_connection(struct client *client, enum state state) {
    close(client->fd);
    client->state = state;
    client->received = 0;
    if (state == CONNECTING) open_connection(client);
}

static void end_request(struct client *client, long time, int correct) {
    client->served++;
    client->number++;
    right += correct;
    if (measuring) {
        measured++;
        wrong += !correct;
        record(time - (interval ? client->due : client->began));
    }
    client->due += interval;
    client->state = IDLE;
}

/* Whether the answer to an HTTP request is complete: 0 or 1, and 2 if the server closes next. */
static int http_complete(struct client *client, int closed, struct text *body) {
    client->answer[client->received] = 0;
    char *end = strstr(client->answer, "\r\n\r\n");
    if (!end) return 0;
    *end = 0; /* so that what is looked for is found in the headers only */
    char *length = strcasestr(client->answer, "\r\ncontent-length:");
    int chunked = strcasestr(client->answer, "\r\ntransfer-encoding: chunked") != NULL;
    int last = strcasestr(client->answer, "\r\nconnection: close") ||
               (!strncmp(client->answer, "HTTP/1.0", 8) &&
                !strcasestr(client->answer, "\r\nconnection: keep-alive"));
    long expected = length ? atol(length + strlen("\r\ncontent-length:")) : -1;
    *end = '\r';
    body->data = end + 4;
    body->size = client->answer + client->received - body->data;
    int complete = length    ? (long)body->size >= expected
                   : chunked ? body->size >= 5 && !memcmp(body->data + body->size - 5, "0\r\n\r\n", 5)
                             : closed;
    return complete ? 1 + last : 0;
}

static int http_correct(struct client *client, struct text *body) {
    struct text *part = &expected[client->number % request_count];
    return !strncmp(client->answer + strlen("HTTP/1.x"), " 200", 4) &&
           memmem(body->data, body->size, part->data, part->size);
}

static void read_answer(struct client *client) {
    ssize_t count = recv(client->fd, client->answer + client->received,
                         answer_limit - client->received, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (client->state != WAITING) { /* a late datagram, or the server closes an idle connection */
        if (count <= 0 && protocol != UDP) close_connection(client, CONNECTING);
        return;
    }
    if (count > 0) client->received += count;
    if (protocol == UDP) {
        char id[64];
        int size = snprintf(id, sizeof id, "%ld-%ld ", client - clients, client->number);
        client->received = 0;
        if (count >= size && !memcmp(client->answer, id, size))
            end_request(client, now(), count == size + 24);
        return;
    }
    if (protocol == TCP && client->received == requests[0].size) {
        end_request(client, now(), !memcmp(client->answer, requests[0].data, requests[0].size));
        return;
    }
    if (protocol == HTTP) {
        struct text body;
        int complete = http_complete(client, count == 0, &body);
        if (complete) {
            end_request(client, now(), http_correct(client, &body));
            if (complete == 2 || count == 0) close_connection(client, CONNECTING);
            return;
        }
    }
    if (count <= 0) {
        errors += measuring;
        client->number++;
        close_connection(client, CONNECTING);
    }
}

static void connected(struct client *client) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        errors += measuring;
        close_connection(client, BROKEN);
        return;
    }
    client->state = IDLE;
    want_out(client, 0);
}

static int any_waits(void) {
    for (long i = 0; i < client_count; i++)
        if (clients[i].state == WAITING) return 1;
    return 0;
}

/* Runs every client until `end`; those that are idle send when a request is due. */
static void run(long end) {
    struct epoll_event events[1024];
    long next_check = 0, soonest = 0; /* of the requests that will be due */
    for (long time = now(); time < end && !(awaiting && right); time = now()) {
        /* To sleep, and to the nanosecond: a loop that spins would take the processor from a server
           that the kernel puts on the same one. */
        long wait = !interval || soonest > time + 10 * MS ? 10 * MS : soonest > time ? soonest - time : 0;
        struct timespec timeout = {.tv_nsec = wait};
        int count = epoll_pwait2(epoll, events, 1024, &timeout, NULL);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (client->state == CONNECTING)
                connected(client);
            else if (client->state != BROKEN) {
                if (events[i].events & EPOLLOUT && client->state == WAITING) write_request(client);
                if (events[i].events & ~EPOLLOUT) read_answer(client);
            }
            if (!interval && !bursts && client->state == IDLE) begin_request(client, now());
        }
        int burst = bursts && !interval && !any_waits();
        if (!interval && !burst && (protocol != UDP || time < next_check)) continue;
        next_check = time + 10 * MS;
        soonest = end;
        for (long i = 0; i < client_count; i++) {
            struct client *client = &clients[i];
            if (client->state == WAITING && protocol == UDP && time - client->began > LOST_AFTER) {
                lost += measuring;
                client->number++;
                client->state = IDLE;
            }
            if (client->state == IDLE && (interval ? client->due <= time : burst || !bursts))
                begin_request(client, now());
            else if (client->state == IDLE && client->due < soonest)
                soonest = client->due;
        }
    }
}

static void connect_all(void) {
    epoll = epoll_create1(0);
    clients = calloc(client_count, sizeof *clients);
    for (long i = 0; i < client_count; i++) {
        clients[i].answer = malloc(answer_limit + 1);
        clients[i].number = i * request_count / client_count; /* no two the same at a time */
        open_connection(&clients[i]);
    }
    struct epoll_event events[1024];
    long open = 0, end = now() + CONNECT_TIME;
    while (protocol != UDP && open < client_count && now() < end) {
        int count = epoll_wait(epoll, events, 1024, 10);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (client->state == CONNECTING) {
                connected(client);
                open++;
            }
        }
    }
}

static void read_requests(const char *path) {
    static char buffer[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) fail("%s: %s", path, strerror(errno));
    char *end = buffer + fread(buffer, 1, sizeof buffer, file);
    fclose(file);
    if (end == buffer || end == buffer + sizeof buffer || end[-1]) fail("%s: empty, too large or cut", path);
    requests = calloc(end - buffer, sizeof *requests);
    expected = calloc(end - buffer, sizeof *expected);
    for (char *at = buffer; at < end; request_count++)
        for (struct text **list = (struct text *[]){requests, expected, NULL}; *list; list++) {
            (*list)[request_count] = (struct text){at, strlen(at)};
            at += strlen(at) + 1;
        }
}

static void fill_requests(size_t size) {
    char *data = malloc(size);
    for (size_t i = 0; i < size; i++) data[i] = 'a' + i % 23;
    requests = malloc(sizeof *requests);
    requests[request_count++] = (struct text){data, size};
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int count, char **arguments) {
    if (count != 10) fail("tcp|udp|http HOST PORT CONNECTIONS SIZE|FILE SECONDS RATE PATIENCE BURSTS");
    protocol = !strcmp(arguments[1], "tcp") ? TCP : !strcmp(arguments[1], "udp") ? UDP : HTTP;
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(arguments[3]));
    if (!inet_pton(AF_INET, arguments[2], &server.sin_addr)) fail("%s is not an IPv4 address", arguments[2]);
    client_count = atol(arguments[4]);
    double seconds = atof(arguments[6]), rate = atof(arguments[7]), patience = atof(arguments[8]);
    bursts = atoi(arguments[9]);
    answer_limit = 2 * 1024 * 1024; /* what is not touched takes no memory */
    if (protocol == HTTP)
        read_requests(arguments[5]);
    else
        fill_requests(atol(arguments[5]));
    if (protocol == TCP) answer_limit = requests[0].size;

    prctl(PR_SET_TIMERSLACK, 1); /* ns; by default a sleep may take 50 us longer */
    connect_all();
    for (long i = 0; i < client_count && !rate; i++)
        if (clients[i].state == IDLE) begin_request(&clients[i], now());
    if (rate) {
        interval = client_count / rate * SECOND;
        long first = now();
        for (long i = 0; i < client_count; i++)
            clients[i].due = first + (bursts ? 0 : (long)(i * interval / client_count));
    }
    awaiting = 1;
    run(now() + (long)(patience * SECOND));
    awaiting = 0;
    run(now() + WARM_UP);
    if (!rate) {
        puts("measuring");
        fflush(stdout);
        getchar();
    }
    measuring = 1;
    double cpu = cpu_seconds();
    long start = now();
    run(start + (long)(seconds * SECOND));
    long end = now();
    cpu = cpu_seconds() - cpu;

    long never_served = 0;
    for (long i = 0; i < client_count; i++) {
        never_served += !clients[i].served;
        /* Those that are due still count, as what they have taken so far at the least. */
        for (; interval && clients[i].due < end; clients[i].due += interval) record(end - clients[i].due);
    }
    printf("{\"seconds\": %.6f, \"requests\": %ld, \"answered\": %ld, \"wrong\": %ld, \"errors\": %ld, \"lost\": %ld,"
           " \"connections\": %ld, \"never_served\": %ld, \"cpu_seconds\": %.6f, \"rate\": %.1f,"
           " \"latency_us\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f,"
           " \"max\": %.1f}}\n",
           (end - start) / 1e9, measured, measured, wrong, errors, lost, client_count, never_served, cpu,
           measured / ((end - start) / 1e9), percentile(.5) / 1e3, percentile(.9) / 1e3,
           percentile(.99) / 1e3, percentile(.999) / 1e3, slowest / 1e3);
    fflush(stdout);
    pause();
}
