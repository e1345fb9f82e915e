/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fault/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"

#define LINKS_MAX 16
#define SLOW_MS 15
#define TURN_MS 20              /* a change of mode is seen after at most this */

struct pair {
    int client, server;         /* -1: free */
};

static int
socket_at(const char *folder, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){ .sun_family = AF_UNIX };
    return snprintf(out->sun_path, sizeof(out->sun_path), "%s/.s.PGSQL.5432", folder) <
                   (int)sizeof(out->sun_path)
               ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
               : -1;
}

static void
end_pair(struct pair *pair)
{
    close(pair->client);
    close(pair->server);
    *pair = (struct pair){ -1, -1 };
}

static void
take(struct proxy *proxy, struct pair *pairs)
{
    struct sockaddr_un at;
    int client = accept(proxy->listener, NULL, NULL), server = socket_at(proxy->server, &at), i;

    for (i = 0; i < LINKS_MAX && pairs[i].client >= 0; i++)
        ;
    if (client < 0 || server < 0 || i == LINKS_MAX ||
        connect(server, (struct sockaddr *)&at, sizeof(at))) {
        close(client);
        close(server);
        return;
    }
    (void)fcntl(client, F_SETFD, FD_CLOEXEC);
    pairs[i] = (struct pair){ client, server };
}

/* One piece from one side to the other; false when a side has ended. */
static int
pass(struct proxy *proxy, int from, int to)
{
    char piece[16384];
    ssize_t n = read(from, piece, sizeof(piece)), at = 0, wrote;

    if (n <= 0)
        return n < 0 && errno == EINTR;
    if (proxy->mode == PROXY_SLOW) {
        proxy->delayed++;
        sea_clock_sleep_ms(SLOW_MS);
    }
    for (; at < n; at += wrote) {
        wrote = send(to, piece + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (wrote <= 0)
            return 0;
    }
    return 1;
}

static void *
run(void *arg)
{
    struct proxy *proxy = arg;
    struct pair pairs[LINKS_MAX];
    int i;

    for (i = 0; i < LINKS_MAX; i++)
        pairs[i] = (struct pair){ -1, -1 };
    while (!proxy->over) {
        struct pollfd at[1 + 2 * LINKS_MAX];
        int hole = proxy->mode == PROXY_HOLE;

        if (proxy->mode == PROXY_CUT) {
            for (i = 0; i < LINKS_MAX; i++)
                if (pairs[i].client >= 0) {
                    end_pair(&pairs[i]);
                    proxy->cut++;
                }
            proxy->mode = PROXY_PASS;
        }
        at[0] = (struct pollfd){ .fd = hole ? -1 : proxy->listener, .events = POLLIN };
        for (i = 0; i < LINKS_MAX; i++) {
            at[1 + 2 * i] = (struct pollfd){ .fd = pairs[i].client, .events = POLLIN };
            at[2 + 2 * i] = (struct pollfd){ .fd = pairs[i].server, .events = POLLIN };
        }
        if (poll(at, 1 + 2 * LINKS_MAX, TURN_MS) <= 0)
            continue;
        if (hole) {             /* what wants to pass waits; nobody is told */
            proxy->swallowed++;
            sea_clock_sleep_ms(TURN_MS);
            continue;
        }
        if (at[0].revents)
            take(proxy, pairs);
        for (i = 0; i < LINKS_MAX; i++)
            if ((at[1 + 2 * i].revents && !pass(proxy, pairs[i].client, pairs[i].server)) ||
                (at[2 + 2 * i].revents && pairs[i].client == at[1 + 2 * i].fd &&
                 !pass(proxy, pairs[i].server, pairs[i].client)))
                end_pair(&pairs[i]);
    }
    for (i = 0; i < LINKS_MAX; i++)
        if (pairs[i].client >= 0)
            end_pair(&pairs[i]);
    return NULL;
}

int
proxy_start(struct proxy *proxy, const char *folder, const char *server)
{
    struct sockaddr_un at;

    *proxy = (struct proxy){ .listener = -1 };
    snprintf(proxy->folder, sizeof(proxy->folder), "%s", folder);
    snprintf(proxy->server, sizeof(proxy->server), "%s", server);
    if (mkdir(folder, 0700) && errno != EEXIST)
        return 0;
    proxy->listener = socket_at(folder, &at);
    unlink(at.sun_path);
    return proxy->listener >= 0 && bind(proxy->listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
           listen(proxy->listener, 32) == 0 &&
           pthread_create(&proxy->thread, NULL, run, proxy) == 0;
}

void
proxy_stop(struct proxy *proxy)
{
    proxy->over = 1;
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
}
