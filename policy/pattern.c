#include "policy/pattern.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "policy/iam.h"

#define STAR 256
#define ONE 257
#define VAR 258 /* and up */
#define EXPANDED_MAX 8192

static uint8_t fold(char c, int flags)
{
    return (uint8_t)((flags & PATTERN_FOLD) != 0 && c >= 'A' && c <= 'Z'
                         ? c - 'A' + 'a'
                         : c);
}

/* "key" or "key, 'default'" between the braces. */
static int add_var(struct pattern *p, const char *s, size_t len,
                   struct err *err)
{
    const char *comma = memchr(s, ',', len);
    size_t key_len = comma != NULL ? (size_t)(comma - s) : len;
    size_t n = p->var_count;
    char *dflt = NULL;
    char *key;

    while (key_len > 0 && s[key_len - 1] == ' ') {
        key_len--;
    }
    if (comma != NULL) {
        const char *from = comma + 1;
        const char *end = s + len;
        from += strspn(from, " ");
        while (end > from && end[-1] == ' ') {
            end--;
        }
        if (end - from < 2 || *from != '\'' || end[-1] != '\'') {
            return err_set(err, ERR_BAD_INPUT,
                           "the default of a variable stands in '...'");
        }
        dflt = mem_strndup(from + 1, (size_t)(end - from) - 2);
    }
    if (key_len == 0 || memchr(s, ':', key_len) == NULL) {
        free(dflt);
        return err_set(err, ERR_BAD_INPUT, "${%.*s} is no policy variable",
                       (int)(len < 64 ? len : 64), s);
    }
    key = mem_strndup(s, key_len);
    for (char *c = key; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    p->vars = mem_realloc(p->vars, (n + 1) * sizeof *p->vars);
    p->defaults = mem_realloc(p->defaults, (n + 1) * sizeof *p->defaults);
    p->vars[n] = key;
    p->defaults[n] = dflt;
    p->var_count = n + 1;
    return 0;
}

/* The next code of @s and how many bytes it took; 0: an error. */
static size_t next_code(struct pattern *p, const char *s, uint16_t *code,
                        int *rc, struct err *err)
{
    const char *end;

    if ((p->flags & PATTERN_VARS) != 0 && s[0] == '$' && s[1] == '{') {
        if (s[2] != '\0' && strchr("*?$", s[2]) != NULL && s[3] == '}') {
            *code = (uint8_t)s[2];
            return 4;
        }
        end = strchr(s, '}');
        if (end == NULL) {
            *rc = err_set(err, ERR_BAD_INPUT, "${ without }");
            return 0;
        }
        *rc = add_var(p, s + 2, (size_t)(end - s) - 2, err);
        *code = (uint16_t)(VAR + p->var_count - 1);
        return *rc == 0 ? (size_t)(end - s) + 1 : 0;
    }
    *code = fold(*s, p->flags);
    if ((p->flags & PATTERN_WILD) != 0 && (*s == '*' || *s == '?')) {
        *code = *s == '*' ? STAR : ONE;
    }
    return 1;
}

int pattern_make(struct pattern *p, const char *s, int flags, struct err *err)
{
    size_t len = strlen(s);
    int rc = 0;

    if (len > IAM_PATTERN_MAX) {
        return err_set(err, ERR_LIMIT, "over %d bytes", IAM_PATTERN_MAX);
    }
    *p = (struct pattern){.flags = flags};
    p->literal = mem_alloc(len + 1);
    p->rest = mem_calloc(len + 1, sizeof *p->rest);
    while (*s != '\0') {
        uint16_t code = 0;
        size_t n = next_code(p, s, &code, &rc, err);
        if (n == 0) {
            pattern_free(p);
            return rc;
        }
        s += n;
        if (code < STAR && p->rest_len == 0) {
            p->literal[p->literal_len++] = (char)code;
        } else if (code != STAR || p->rest_len == 0 ||
                   p->rest[p->rest_len - 1] != STAR) {
            p->rest[p->rest_len++] = code;
        }
    }
    if (p->rest_len == 0) {
        free(p->rest);
        p->rest = NULL;
    }
    while (p->tail_len < p->rest_len &&
           p->rest[p->rest_len - 1 - p->tail_len] < STAR) {
        p->tail_len++;
    }
    return 0;
}

uint32_t pattern_head_hash(const struct pattern *p)
{
    uint32_t h = PATTERN_HASH_START;

    for (size_t i = 0; i < p->literal_len; i++) {
        h = pattern_hash_step(h, (uint8_t)p->literal[i]);
    }
    return h;
}

uint32_t pattern_tail_hash(const struct pattern *p)
{
    uint32_t h = PATTERN_HASH_START;

    for (size_t i = 0; i < p->tail_len; i++) {
        h = pattern_hash_step(h, (uint8_t)p->rest[p->rest_len - 1 - i]);
    }
    return h;
}

void pattern_free(struct pattern *p)
{
    for (size_t i = 0; i < p->var_count; i++) {
        free(p->vars[i]);
        free(p->defaults[i]);
    }
    free(p->vars);
    free(p->defaults);
    free(p->literal);
    free(p->rest);
    *p = (struct pattern){0};
}

static const char *value_of(const struct pattern *p, size_t code,
                            pattern_value_fn *value, void *arg)
{
    const char *v = value != NULL ? value(arg, p->vars[code - VAR]) : NULL;

    return v != NULL ? v : p->defaults[code - VAR];
}

/* The codes from @i with every variable as literal bytes, at most
 * EXPANDED_MAX. */
static bool expand(const struct pattern *p, size_t i, pattern_value_fn *value,
                   void *arg, uint16_t *out, size_t *out_len)
{
    size_t n = 0;

    for (; i < p->rest_len; i++) {
        const char *v;
        if (p->rest[i] < VAR) {
            if (n == EXPANDED_MAX) {
                return false;
            }
            out[n++] = p->rest[i];
            continue;
        }
        v = value_of(p, p->rest[i], value, arg);
        if (v == NULL || strlen(v) > EXPANDED_MAX - n) {
            return false;
        }
        for (; *v != '\0'; v++) {
            out[n++] = fold(*v, p->flags);
        }
    }
    *out_len = n;
    return true;
}

/* Going back to the last star alone is enough: what an earlier one could take
 * instead, the last can take as well. */
static bool match_codes(const uint16_t *c, size_t c_len, const char *s,
                        size_t len, int flags)
{
    size_t i = 0, k = 0, star = SIZE_MAX, from = 0;

    while (k < len) {
        if (i < c_len && c[i] == STAR) {
            star = i++;
            from = k;
        } else if (i < c_len && (c[i] == ONE || c[i] == fold(s[k], flags))) {
            i++;
            k++;
        } else if (star != SIZE_MAX) {
            i = star + 1;
            k = ++from;
        } else {
            return false;
        }
    }
    while (i < c_len && c[i] == STAR) {
        i++;
    }
    return i == c_len;
}

static bool match_literal(const struct pattern *p, const char *s)
{
    if ((p->flags & PATTERN_FOLD) == 0) {
        return memcmp(p->literal, s, p->literal_len) == 0;
    }
    for (size_t i = 0; i < p->literal_len; i++) {
        if ((uint8_t)p->literal[i] != fold(s[i], p->flags)) {
            return false;
        }
    }
    return true;
}

static bool no_value(bool *unknown)
{
    if (unknown != NULL) {
        *unknown = true;
    }
    return false;
}

/* Apart, so that the common way has a small frame. */
static __attribute__((noinline)) bool match_expanded(const struct pattern *p,
                                                     size_t i, const char *s,
                                                     size_t len,
                                                     pattern_value_fn *value,
                                                     void *arg, bool *unknown)
{
    uint16_t codes[EXPANDED_MAX];
    size_t n = 0;

    if (!expand(p, i, value, arg, codes, &n)) {
        return no_value(unknown);
    }
    return match_codes(codes, n, s, len, p->flags);
}

/* Up to the first star no choice is to be made, and most end there. */
static bool match_vars(const struct pattern *p, const char *s, size_t len,
                       pattern_value_fn *value, void *arg, bool *unknown)
{
    if (len < p->literal_len || !match_literal(p, s)) {
        return false;
    }
    s += p->literal_len;
    len -= p->literal_len;
    for (size_t i = 0; i < p->rest_len; i++) {
        uint16_t c = p->rest[i];
        if (c == STAR) {
            return match_expanded(p, i, s, len, value, arg, unknown);
        }
        if (c >= VAR) {
            const char *v = value_of(p, c, value, arg);
            if (v == NULL) {
                return no_value(unknown);
            }
            for (; *v != '\0'; v++) {
                if (len == 0 || fold(*v, p->flags) != fold(*s, p->flags)) {
                    return false;
                }
                s++;
                len--;
            }
            continue;
        }
        if (len == 0 || (c != ONE && c != fold(*s, p->flags))) {
            return false;
        }
        s++;
        len--;
    }
    return len == 0;
}

bool pattern_match(const struct pattern *p, const char *s, size_t len,
                   pattern_value_fn *value, void *arg, bool *unknown)
{
    if (p->var_count > 0) {
        return match_vars(p, s, len, value, arg, unknown);
    }
    if (len < p->literal_len || (p->rest_len == 0 && len != p->literal_len) ||
        !match_literal(p, s)) {
        return false;
    }
    return p->rest_len == 0 || (p->rest_len == 1 && p->rest[0] == STAR) ||
           match_codes(p->rest, p->rest_len, s + p->literal_len,
                       len - p->literal_len, p->flags);
}

bool pattern_is_literal(const struct pattern *p)
{
    return p->rest_len == 0;
}
