#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "edge-agent/http.h"
#include "edge-agent/uplink.h"

static bool is_host(const char *s)
{
    for (; *s != '\0'; s++) {
        bool fine = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                    (*s >= '0' && *s <= '9') || strchr(".-:_", *s) != NULL;
        if (!fine) {
            return false;
        }
    }
    return true;
}

static bool is_local(const char *host)
{
    char address[UPLINK_HOST_MAX + 8];
    bool loopback = false;

    if (strcmp(host, "localhost") == 0) {
        return true;
    }
    snprintf(address, sizeof address,
             strchr(host, ':') != NULL ? "[%s]:1" : "%s:1", host);
    return http_is_loopback(address, &loopback, NULL) == 0 && loopback;
}

/* "HOST", "HOST:PORT", "[IPv6]:PORT". */
static bool split(const char *at, size_t len, struct uplink_url *u)
{
    const char *end = at + len;
    const char *host_end, *port;
    uint64_t n = u->port;

    if (len > 0 && *at == '[') {
        host_end = memchr(at, ']', len);
        port = host_end != NULL ? host_end + 1 : NULL;
        at++;
    } else {
        host_end = memchr(at, ':', len);
        host_end = host_end != NULL ? host_end : end;
        port = host_end;
    }
    if (host_end == NULL || host_end == at ||
        (size_t)(host_end - at) > UPLINK_HOST_MAX) {
        return false;
    }
    if (port != end &&
        (*port != ':' || !text_u64_n(port + 1, (size_t)(end - port - 1), &n) ||
         n == 0 || n > 65535)) {
        return false;
    }
    memcpy(u->host, at, (size_t)(host_end - at));
    u->host[host_end - at] = '\0';
    u->port = (uint16_t)n;
    return is_host(u->host);
}

int uplink_url_parse(const char *text, bool insecure, struct uplink_url *out,
                     struct err *err)
{
    struct uplink_url u = {.tls = text_starts(text, "https://"), .port = 443};
    const char *at = text + strlen("https://");
    size_t len;

    if (!u.tls) {
        if (!text_starts(text, "http://")) {
            return err_set(err, ERR_BAD_INPUT,
                           "\"%s\": a URL is https://HOST[:PORT]", text);
        }
        at = text + strlen("http://");
        u.port = 80;
    }
    len = strlen(at);
    if (len > 0 && at[len - 1] == '/') {
        len--;
    }
    if (!split(at, len, &u)) {
        return err_set(err, ERR_BAD_INPUT,
                       "\"%s\": a URL is https://HOST[:PORT]", text);
    }
    if (!u.tls && !insecure && !is_local(u.host)) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s: without TLS only to this machine (or with "
                       "--insecure)",
                       text);
    }
    snprintf(u.authority, sizeof u.authority,
             strchr(u.host, ':') != NULL ? "[%s]:%u" : "%s:%u", u.host, u.port);
    *out = u;
    return 0;
}
