// A server with a leak, to try `ltrace --leaks` on. It makes its own requests, a hundred a second, over a
// socket pair, and ends when its standard input does, or after a minute.
//
//     cc -g -pthread examples/leaky_server.c -o leaky_server
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
    char user[24];
    struct session *next;
};

static int link_ends[2];

static struct session *open_session(const char *user) {
    struct session *session = calloc(1, sizeof *session);
    snprintf(session->user, sizeof session->user, "%s", user);
    return session;
}

static void handle(const char *request) {
    char *answer = malloc(64);
    struct session *session = open_session(request);
    int length = snprintf(answer, 64, "hello, %s\n", session->user);
    send(link_ends[0], answer, length, 0);
    free(answer);
    // Nobody closes the session.
}

static void *serve(void *unused) {
    char request[64];
    ssize_t length;
    while ((length = recv(link_ends[0], request, sizeof request - 1, 0)) > 0) {
        request[length] = 0;
        handle(request);
    }
    return unused;
}

int main(void) {
    pthread_t server;
    char answer[64];
    struct pollfd input = {.fd = 0, .events = POLLIN};
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link_ends);
    pthread_create(&server, NULL, serve, NULL);
    for (int i = 0; i < 6000 && !(poll(&input, 1, 10) && read(0, answer, 64) <= 0); i++) {
        send(link_ends[1], "guest", 5, 0);
        recv(link_ends[1], answer, sizeof answer, 0);
    }
    shutdown(link_ends[1], SHUT_RDWR);
    pthread_join(server, NULL);
    return 0;
}
