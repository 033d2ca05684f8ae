#include "client/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"

void credentials_free(struct credentials *c)
{
    if (c->secret_key != NULL) {
        mem_wipe(c->secret_key, strlen(c->secret_key));
    }
    free(c->access_key);
    free(c->secret_key);
    free(c->region);
    free(c->endpoint);
    free(c->ca_file);
    free(c->source);
    memset(c, 0, sizeof *c);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cut blanks off both ends of @s[0..*len). */
static const char *trim(const char *s, size_t *len)
{
    while (*len > 0 && is_blank(*s)) {
        s++;
        (*len)--;
    }
    while (*len > 0 && is_blank(s[*len - 1])) {
        (*len)--;
    }
    return s;
}

/* "[profile name]" is how ~/.aws/config writes "[name]". */
static bool names_section(const char *s, size_t len, const char *profile)
{
    s = trim(s, &len);
    if (len > 8 && strncmp(s, "profile ", 8) == 0) {
        s += 8;
        len -= 8;
        s = trim(s, &len);
    }
    return len == strlen(profile) && memcmp(s, profile, len) == 0;
}

static void set_value(char **field, const char *value, size_t len)
{
    if (*field != NULL) {
        mem_wipe(*field, strlen(*field));
        free(*field);
    }
    *field = mem_strndup(value, len);
}

static bool is_key(const char *s, size_t len, const char *key)
{
    return len == strlen(key) && strncasecmp(s, key, len) == 0;
}

/* "key = value" within the section; others than ours are ignored. */
static void take_pair(struct credentials *c, const char *line, size_t len,
                      const char *equals)
{
    size_t key_len = (size_t)(equals - line);
    size_t value_len = len - key_len - 1;
    const char *value = trim(equals + 1, &value_len);

    line = trim(line, &key_len);
    if (is_key(line, key_len, "aws_access_key_id")) {
        set_value(&c->access_key, value, value_len);
    } else if (is_key(line, key_len, "aws_secret_access_key")) {
        set_value(&c->secret_key, value, value_len);
    } else if (is_key(line, key_len, "region")) {
        set_value(&c->region, value, value_len);
    } else if (is_key(line, key_len, "endpoint_url")) {
        set_value(&c->endpoint, value, value_len);
    } else if (is_key(line, key_len, "ca_bundle")) {
        set_value(&c->ca_file, value, value_len);
    }
}

/* One line; *@inside says whether it stands in the section. */
static int take_line(struct credentials *c, const char *line, size_t len,
                     const char *profile, bool *inside, bool *found,
                     struct err *err)
{
    bool indented = len > 0 && is_blank(*line);
    const char *equals;

    line = trim(line, &len);
    if (len == 0 || *line == '#' || *line == ';') {
        return 0;
    }
    if (*line == '[') {
        if (line[len - 1] != ']') {
            return err_set(err, ERR_BAD_INPUT, "a section has no ']'");
        }
        *inside = names_section(line + 1, len - 2, profile);
        *found = *found || *inside;
        return 0;
    }
    equals = memchr(line, '=', len);
    if (equals == NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "neither a section nor \"key = value\"");
    }
    if (*inside && !indented) { /* indented: a nested setting, as of s3 */
        take_pair(c, line, len, equals);
    }
    return 0;
}

int credentials_parse(const char *text, size_t len, const char *profile,
                      struct credentials *out, struct err *err)
{
    struct credentials c = {0};
    const char *end = text + len;
    unsigned number = 1;
    bool inside = false;
    bool found = false;
    int rc = 0;

    if (memchr(text, '\0', len) != NULL) {
        return err_set(err, ERR_BAD_INPUT, "has a NUL byte");
    }
    for (const char *line = text; line < end; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop != NULL ? stop : end;
        rc = take_line(&c, line, (size_t)(stop - line), profile, &inside,
                       &found, err);
        if (rc != 0) {
            err_wrap(err, rc, "line %u", number);
            goto err_after_parse;
        }
        line = stop + 1;
    }
    if (!found) {
        rc = err_set(err, ERR_NOT_FOUND, "has no section [%s]", profile);
    } else if (c.access_key == NULL || *c.access_key == '\0') {
        rc = err_set(err, ERR_BAD_INPUT,
                     "section [%s] has no "
                     "aws_access_key_id",
                     profile);
    } else if (c.secret_key == NULL || *c.secret_key == '\0') {
        rc = err_set(err, ERR_BAD_INPUT,
                     "section [%s] has no "
                     "aws_secret_access_key",
                     profile);
    }
    if (rc != 0) {
        goto err_after_parse;
    }
    *out = c;
    return 0;

err_after_parse:
    credentials_free(&c);
    return rc;
}

/* A variable that is set and not empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* Both of a pair of variables; half a pair is an error. */
static int from_variables(const char *access_name, const char *secret_name,
                          struct credentials *out, struct err *err)
{
    const char *access = variable(access_name);
    const char *secret = variable(secret_name);

    if (access == NULL && secret == NULL) {
        return ERR_NOT_FOUND;
    }
    if (access == NULL || secret == NULL) {
        return err_set(err, ERR_BAD_INPUT, "%s is set, but not %s",
                       access != NULL ? access_name : secret_name,
                       access != NULL ? secret_name : access_name);
    }
    out->access_key = mem_strdup(access);
    out->secret_key = mem_strdup(secret);
    out->source = mem_strdup(access_name);
    return 0;
}

static int from_file(const char *path, const char *profile,
                     struct credentials *out, struct err *err)
{
    struct buf text = {0};
    int rc = fs_read(path, CREDENTIALS_FILE_MAX, &text, err);

    if (rc == 0) {
        rc = credentials_parse(text.data != NULL ? (char *)text.data : "",
                               text.len, profile, out, err);
        if (rc != 0) {
            err_wrap(err, rc, "%s", path);
        } else {
            out->source = mem_printf("%s [%s]", path, profile);
        }
    }
    buf_wipe(&text);
    return rc;
}

/* AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials; free(). */
static char *shared_file(void)
{
    const char *path = variable("AWS_SHARED_CREDENTIALS_FILE");
    const char *home = variable("HOME");

    if (path != NULL) {
        return mem_strdup(path);
    }
    return home != NULL ? mem_printf("%s/.aws/credentials", home) : NULL;
}

int credentials_find(const char *profile, bool loopback,
                     struct credentials *out, struct err *err)
{
    const char *named = profile != NULL ? profile : variable("AWS_PROFILE");
    struct credentials c = {0};
    char *path = shared_file();
    int rc = ERR_NOT_FOUND;

    if (profile == NULL) {
        rc = from_variables("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", &c,
                            err);
    }
    if (rc == ERR_NOT_FOUND && profile == NULL) {
        rc = from_variables("GODWIT_ACCESS_KEY_ID", "GODWIT_SECRET_ACCESS_KEY",
                            &c, err);
    }
    if (rc == ERR_NOT_FOUND && path != NULL) {
        rc = from_file(path, named != NULL ? named : "default", &c, err);
        /* A name that was asked for and is not there is a mistake. */
        if (rc == ERR_NOT_FOUND && named != NULL) {
            goto done;
        }
    }
    if (rc == ERR_NOT_FOUND && loopback && named == NULL) {
        rc = from_file(CREDENTIALS_LOCAL, "default", &c, err);
    }
    if (rc == ERR_NOT_FOUND) {
        rc = err_set(
            err, rc,
            "no credentials: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or write them to %s%s",
            path != NULL ? path : "a credentials file",
            loopback ? ", or run where ./" CREDENTIALS_LOCAL " is" : "");
    }
done:
    free(path);
    if (rc == 0) {
        *out = c;
    }
    return rc;
}

int credentials_of_file(const char *path, struct credentials *out,
                        struct err *err)
{
    return from_file(path, "default", out, err);
}
