#include "edge-agent/ask.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

#define RUN (64U * 1024)

static int connect_to(const char *path, int *out, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, code;

    if (strlen(path) >= sizeof a.sun_path) {
        return err_set(err, ERR_BAD_INPUT, "%s: too long for a socket", path);
    }
    strcpy(a.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_errno(err, "socket");
    }
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        code = errno == ENOENT || errno == ECONNREFUSED
                   ? err_set(err, ERR_UNAVAILABLE,
                             "no agent listens at %s (godwit-edge run)", path)
                   : err_errno(err, "connect to %s", path);
        close(fd);
        return code;
    }
    *out = fd;
    return 0;
}

/* ERR_CLOSED: the agent takes no more; it may have answered. */
static int send_all(int fd, const void *p, size_t len, struct err *err)
{
    const char *from = p;

    while (len > 0) {
        ssize_t n = send(fd, from, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EPIPE || errno == ECONNRESET
                       ? err_set(err, ERR_CLOSED, "the agent hung up")
                       : err_errno(err, "send");
        }
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

static int send_body(int fd, const struct ask *a, struct err *err)
{
    static char run[RUN];
    uint64_t left = a->body_len;
    int code = 0;

    while (left > 0 && code == 0) {
        size_t want = left < sizeof run ? (size_t)left : sizeof run;
        ssize_t n = read(a->body_fd, run, want);
        if (n < 0) {
            return err_errno(err, "read");
        }
        if (n == 0) {
            return err_set(err, ERR_IO, "the file became shorter");
        }
        code = send_all(fd, run, (size_t)n, err);
        left -= (uint64_t)n;
    }
    return code == ERR_CLOSED ? 0 : code;
}

/* Read the head; what follows it stays in @b. */
static int read_head(int fd, struct buf *b, int *status, uint64_t *length,
                     struct err *err)
{
    char *end = NULL;
    size_t head;
    uint64_t n = 0;

    while (end == NULL) {
        ssize_t got;
        buf_reserve(b, RUN);
        got = recv(fd, b->data + b->len, RUN, 0);
        if (got <= 0 || b->len > ASK_HEAD_MAX) {
            return err_set(err, ERR_IO, "the agent gave no answer");
        }
        b->len += (size_t)got;
        end = memmem(b->data, b->len, "\r\n\r\n", 4);
    }
    *end = '\0';
    if (b->len < 12 || strncmp((char *)b->data, "HTTP/1.1 ", 9) != 0 ||
        !text_u64_n((char *)b->data + 9, 3, &n)) {
        return err_set(err, ERR_IO, "the agent's answer is no HTTP");
    }
    *status = (int)n;
    *length = 0;
    for (char *line = strstr((char *)b->data, "\r\n"); line != NULL;
         line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, "Content-Length: ", 16) == 0) {
            size_t digits = strspn(line + 16, "0123456789");
            if (!text_u64_n(line + 16, digits, length)) {
                return err_set(err, ERR_IO, "the agent's answer has no length");
            }
        }
    }
    head = (size_t)(end + 4 - (char *)b->data);
    memmove(b->data, b->data + head, b->len - head);
    b->len -= head;
    return 0;
}

static int read_body(int fd, struct buf *b, uint64_t left, struct buf *body,
                     FILE *to, struct err *err)
{
    for (;;) {
        size_t n = b->len < left ? b->len : (size_t)left;
        ssize_t got;
        if (to != NULL) {
            if (n > 0 && fwrite(b->data, 1, n, to) != n) {
                return err_errno(err, "write");
            }
        } else {
            buf_append(body, b->data, n);
        }
        left -= n;
        if (left == 0) {
            return 0;
        }
        buf_clear(b);
        buf_reserve(b, RUN);
        got = recv(fd, b->data, RUN, 0);
        if (got <= 0) {
            return err_set(err, ERR_IO, "the agent hung up in its answer");
        }
        b->len = (size_t)got;
    }
}

int ask(const struct ask *a, int *status, struct buf *body, FILE *to,
        struct err *err)
{
    struct buf b = {0};
    uint64_t length = 0;
    int fd = -1;
    int code = connect_to(a->socket, &fd, err);

    if (code != 0) {
        return code;
    }
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n%s",
               a->method, a->path, a->fields != NULL ? a->fields : "");
    if (a->body_fd >= 0) {
        buf_printf(&b, "Content-Length: %llu\r\n",
                   (unsigned long long)a->body_len);
    }
    buf_str(&b, "\r\n");
    code = send_all(fd, b.data, b.len, err);
    buf_clear(&b);
    if (code == 0 && a->body_fd >= 0) {
        code = send_body(fd, a, err);
    }
    if (code == 0) {
        code = read_head(fd, &b, status, &length, err);
    }
    if (code == 0 && strcmp(a->method, "HEAD") != 0) {
        code = read_body(fd, &b, length, body, *status / 100 == 2 ? to : NULL,
                         err);
    }
    buf_free(&b);
    close(fd);
    return code;
}
