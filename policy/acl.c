#include "policy/acl.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#define GROUPS "http://acs.amazonaws.com/groups/"
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const struct {
    unsigned permission;
    char letter;
    const char *name;
} permissions[] = {
    {ACL_READ, 'r', "READ"},
    {ACL_WRITE, 'w', "WRITE"},
    {ACL_READ_ACP, 'g', "READ_ACP"},
    {ACL_WRITE_ACP, 'p', "WRITE_ACP"},
    {ACL_FULL_CONTROL, 'f', "FULL_CONTROL"},
};

static const struct {
    char letter;
    const char *uri;
} grantees[] = {
    [ACL_USER] = {'u', NULL},
    [ACL_ALL_USERS] = {'a', GROUPS "global/AllUsers"},
    [ACL_AUTHENTICATED_USERS] = {'s', GROUPS "global/AuthenticatedUsers"},
    [ACL_LOG_DELIVERY] = {'l', GROUPS "s3/LogDelivery"},
};

/* ---- names ---- */

const char *acl_permission_name(unsigned permission)
{
    for (size_t i = 0; i < COUNT(permissions); i++) {
        if (permissions[i].permission == permission) {
            return permissions[i].name;
        }
    }
    CHECK(false);
    return NULL;
}

unsigned acl_permission_of(const char *name)
{
    for (size_t i = 0; i < COUNT(permissions); i++) {
        if (strcmp(permissions[i].name, name) == 0) {
            return permissions[i].permission;
        }
    }
    return 0;
}

const char *acl_group_uri(enum acl_grantee group)
{
    CHECK(group < COUNT(grantees));
    return grantees[group].uri;
}

enum acl_grantee acl_group_of(const char *uri)
{
    for (size_t i = ACL_ALL_USERS; i < COUNT(grantees); i++) {
        if (strcmp(grantees[i].uri, uri) == 0) {
            return (enum acl_grantee)i;
        }
    }
    return ACL_USER;
}

/* ---- making ---- */

void acl_free(struct acl *a)
{
    free(a->grants);
    *a = (struct acl){.count = 0};
}

void acl_begin(struct acl *a, const char *owner)
{
    CHECK(a->grants == NULL);
    *a = (struct acl){.count = 0};
    memcpy(a->owner, owner, strnlen(owner, ACL_NAME_MAX));
}

static bool name_fits(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= ACL_NAME_MAX && strchr(name, '\n') == NULL;
}

int acl_add(struct acl *a, unsigned permission, enum acl_grantee grantee,
            const char *name, struct err *err)
{
    struct acl_grant g = {.permission = permission, .grantee = grantee};

    if (grantee == ACL_USER) {
        if (!name_fits(name)) {
            return err_set(err, ERR_BAD_INPUT, "not a user's name");
        }
        snprintf(g.name, sizeof g.name, "%s", name);
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->grants[i].permission == permission &&
            a->grants[i].grantee == grantee &&
            strcmp(a->grants[i].name, g.name) == 0) {
            return 0;
        }
    }
    if (a->count == ACL_GRANTS_MAX) {
        return err_set(err, ERR_LIMIT, "more than %d grants", ACL_GRANTS_MAX);
    }
    a->grants = mem_realloc(a->grants, (a->count + 1) * sizeof *a->grants);
    a->grants[a->count++] = g;
    return 0;
}

/* What a canned list grants beside the owner's FULL_CONTROL. */
static const struct {
    const char *name;
    bool of_bucket, of_object;
    struct {
        unsigned permission;      /* 0: no more */
        enum acl_grantee grantee; /* ACL_USER: the bucket's owner */
    } grants[2];
} canned_lists[] = {
    {"private", true, true, {{0}}},
    {"public-read", true, true, {{ACL_READ, ACL_ALL_USERS}}},
    {"public-read-write",
     true,
     true,
     {{ACL_READ, ACL_ALL_USERS}, {ACL_WRITE, ACL_ALL_USERS}}},
    {"authenticated-read", true, true, {{ACL_READ, ACL_AUTHENTICATED_USERS}}},
    {"aws-exec-read", true, true, {{0}}},
    {"bucket-owner-read", false, true, {{ACL_READ, ACL_USER}}},
    {"bucket-owner-full-control", false, true, {{ACL_FULL_CONTROL, ACL_USER}}},
    {"log-delivery-write",
     true,
     false,
     {{ACL_WRITE, ACL_LOG_DELIVERY}, {ACL_READ_ACP, ACL_LOG_DELIVERY}}},
};

int acl_canned(const char *canned, const char *owner, const char *bucket_owner,
               struct acl *out, struct err *err)
{
    size_t at = 0;
    bool applies;

    while (at < COUNT(canned_lists) &&
           strcmp(canned_lists[at].name, canned) != 0) {
        at++;
    }
    if (at == COUNT(canned_lists)) {
        return err_set(err, ERR_BAD_INPUT, "there is no canned ACL %.64s",
                       canned);
    }
    applies = bucket_owner != NULL ? canned_lists[at].of_object
                                   : canned_lists[at].of_bucket;
    acl_begin(out, owner);
    acl_add(out, ACL_FULL_CONTROL, ACL_USER, owner, NULL);
    for (size_t i = 0; i < 2 && applies; i++) {
        unsigned permission = canned_lists[at].grants[i].permission;
        enum acl_grantee grantee = canned_lists[at].grants[i].grantee;
        if (permission != 0 &&
            (grantee != ACL_USER || strcmp(owner, bucket_owner) != 0)) {
            acl_add(out, permission, grantee, bucket_owner, NULL);
        }
    }
    return 0;
}

/* ---- judging ---- */

static bool is_public(const struct acl_grant *g)
{
    return g->grantee == ACL_ALL_USERS || g->grantee == ACL_AUTHENTICATED_USERS;
}

unsigned acl_permissions(const struct acl *a, const char *user,
                         bool ignore_public)
{
    unsigned set = 0;

    if (user != NULL && strcmp(a->owner, user) == 0) {
        return ACL_FULL_CONTROL;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct acl_grant *g = &a->grants[i];
        bool fits = g->grantee == ACL_ALL_USERS ||
                    (user != NULL &&
                     (g->grantee == ACL_AUTHENTICATED_USERS ||
                      (g->grantee == ACL_USER && strcmp(g->name, user) == 0)));
        if (fits && !(ignore_public && is_public(g))) {
            set |= g->permission;
        }
    }
    return set;
}

bool acl_is_public(const struct acl *a)
{
    for (size_t i = 0; i < a->count; i++) {
        if (is_public(&a->grants[i])) {
            return true;
        }
    }
    return false;
}

bool acl_is_private(const struct acl *a)
{
    return a->count == 1 && a->grants[0].permission == ACL_FULL_CONTROL &&
           !acl_grants_others(a, a->owner);
}

bool acl_grants_others(const struct acl *a, const char *user)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->grants[i].grantee != ACL_USER ||
            strcmp(a->grants[i].name, user) != 0) {
            return true;
        }
    }
    return false;
}

/* ---- the coding ---- */

static char letter_of(unsigned permission)
{
    for (size_t i = 0; i < COUNT(permissions); i++) {
        if (permissions[i].permission == permission) {
            return permissions[i].letter;
        }
    }
    CHECK(false);
    return '\0';
}

void acl_encode(const struct acl *a, struct buf *out)
{
    buf_printf(out, "1\n%s\n", a->owner);
    for (size_t i = 0; i < a->count; i++) {
        const struct acl_grant *g = &a->grants[i];
        buf_char(out, letter_of(g->permission));
        buf_char(out, grantees[g->grantee].letter);
        buf_str(out, g->name);
        buf_char(out, '\n');
    }
}

/* The next line, at most @max bytes, without its end; false: there is none. */
static bool take_line(const char **p, const char *end, size_t max, char *out)
{
    const char *stop = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;
    size_t len = stop != NULL ? (size_t)(stop - *p) : 0;

    if (stop == NULL || len > max || memchr(*p, '\0', len) != NULL) {
        return false;
    }
    memcpy(out, *p, len);
    out[len] = '\0';
    *p = stop + 1;
    return true;
}

static bool decode_grant(struct acl *a, const char *line)
{
    size_t permission = 0, grantee = 0;
    size_t before = a->count;

    if (line[0] == '\0' || line[1] == '\0') {
        return false;
    }
    while (permission < COUNT(permissions) &&
           permissions[permission].letter != line[0]) {
        permission++;
    }
    while (grantee < COUNT(grantees) && grantees[grantee].letter != line[1]) {
        grantee++;
    }
    if (permission == COUNT(permissions) || grantee == COUNT(grantees) ||
        (grantee != ACL_USER && line[2] != '\0')) {
        return false;
    }
    return acl_add(a, permissions[permission].permission,
                   (enum acl_grantee)grantee, line + 2, NULL) == 0 &&
           a->count == before + 1;
}

int acl_decode(const void *p, size_t len, struct acl *out, struct err *err)
{
    const char *at = p, *end = at + len;
    char line[ACL_NAME_MAX + 3];
    struct acl a = {.count = 0};
    bool good = take_line(&at, end, sizeof line - 1, line) &&
                strcmp(line, "1") == 0 &&
                take_line(&at, end, ACL_NAME_MAX, line) && line[0] != '\0';

    if (good) {
        acl_begin(&a, line);
    }
    while (good && at < end) {
        good = take_line(&at, end, sizeof line - 1, line) &&
               decode_grant(&a, line);
    }
    if (!good) {
        acl_free(&a);
        return err_set(err, ERR_CORRUPT, "not an access control list");
    }
    *out = a;
    return 0;
}
