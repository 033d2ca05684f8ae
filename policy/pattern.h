/* pattern.h: compiled patterns of policies: literals, '*', '?', ${variables}.
 *
 * Most patterns differ from what they are asked about within their literal
 * beginning, so that is compared first and as bytes.
 *
 * Threads: never changed once made; any may match.
 */
#ifndef GODWIT_POLICY_PATTERN_H
#define GODWIT_POLICY_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define PATTERN_WILD 1 /* '*' and '?' are wildcards */
#define PATTERN_VARS 2 /* ${...} is a variable */
#define PATTERN_FOLD 4 /* ASCII case does not count; given in lower case */

struct pattern {
    char *literal; /* up to the first wildcard or variable */
    size_t literal_len;
    uint16_t *rest; /* bytes, or a code from 256; NULL: none */
    size_t rest_len;
    char **vars;     /* keys, in lower case */
    char **defaults; /* NULL: none */
    size_t var_count;
    int flags;
    size_t tail_len; /* literal bytes behind the last wildcard or variable */
};

/* What a variable stands for; NULL: it has no value. */
typedef const char *pattern_value_fn(void *arg, const char *key);

/* ERR_BAD_INPUT: a malformed variable; ERR_LIMIT: too long. */
int pattern_make(struct pattern *p, const char *s, int flags, struct err *err);
void pattern_free(struct pattern *p);

/* @unknown (may be NULL) is set when a variable that would decide had no value,
 * and then nothing matches. */
bool pattern_match(const struct pattern *p, const char *s, size_t len,
                   pattern_value_fn *value, void *arg, bool *unknown);
/* Hashes of what the literal beginning and the literal end of a matching text
 * must be; whole patterns without rest have no end. To be compared with
 * pattern_hash_step over a text from its front, or from its back. */
uint32_t pattern_head_hash(const struct pattern *p);
uint32_t pattern_tail_hash(const struct pattern *p);

#define PATTERN_HASH_START 2166136261u

/* FNV-1a: false hits cost a comparison, never a wrong answer. */
static inline uint32_t pattern_hash_step(uint32_t h, uint8_t c)
{
    return (h ^ c) * 16777619u;
}

/* Neither wildcards nor variables. */
bool pattern_is_literal(const struct pattern *p);

#endif
