/* UDP time in C: the answers of services/udp_time/reply.py, at the cost of two system calls. */

#include "address.h"
#include <string.h>
#include <time.h>

#define MAX_SIZE 91 /* bytes to receive: an answer with an ID of 64 and a line ending, as reply.py */

static int is_id(const char *request, int size) {
    for (int i = 0; i < size; i++)
        if (request[i] < ' ' || request[i] > '~')
            return 0;
    return 1 <= size && size <= 64;
}

/* Whether it ends as an answer does, in "00:00:00 0000": two servers would never stop. */
static int is_answer(const char *request, int size) {
    if (size < 24)
        return 0;
    const char *end = request + size - 13;
    for (int i = 0; i < 13; i++) {
        int digit = '0' <= end[i] && end[i] <= '9';
        if (i == 2 || i == 5 ? end[i] != ':' : i == 8 ? end[i] != ' ' : !digit)
            return 0;
    }
    return 1;
}

/* The size without the line ending, LF or CR LF. */
static int without_ending(const char *request, int size) {
    if (size && request[size - 1] == '\n')
        size -= size > 1 && request[size - 2] == '\r' ? 2 : 1;
    return size;
}

int main(void) {
    struct sockaddr_in peer, where = address();
    char buffer[MAX_SIZE + 25], text[26]; /* 24 characters, a line feed and the 0 of a C string */
    time_t now, second = -1;
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    check(bind(server, (struct sockaddr *)&where, sizeof where), "bind");
    log_listening(server);
    for (;;) {
        socklen_t length = sizeof peer;
        int size = recvfrom(server, buffer, MAX_SIZE, 0, (struct sockaddr *)&peer, &length);
        if (size < 0)
            continue;
        size = without_ending(buffer, size);
        if (is_answer(buffer, size))
            continue;
        if ((now = time(NULL)) != second)
            ctime_r(&now, text), second = now;
        if (is_id(buffer, size))
            buffer[size++] = ' ';
        else
            size = 0;
        memcpy(buffer + size, text, 24);
        sendto(server, buffer, size + 24, 0, (struct sockaddr *)&peer, length);
    }
}
