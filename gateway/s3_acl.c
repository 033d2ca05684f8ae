#include "gateway/s3_acl.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/s3_tree.h"
#include "gateway/s3_xml.h"

#define ID_LEN 64
#define XSI "http://www.w3.org/2001/XMLSchema-instance"
#define NS "http://s3.amazonaws.com/doc/2006-03-01/"

static enum s3_error refuse(struct err *err, enum s3_error e, const char *what)
{
    err_set(err, ERR_BAD_INPUT, "%s", what);
    return e;
}

static enum s3_error malformed(struct err *err)
{
    return refuse(err, S3_MalformedACLError,
                  s3_error_message(S3_MalformedACLError));
}

/* ---- grants ---- */

static enum s3_error add(struct acl *a, unsigned permission,
                         enum acl_grantee grantee, const char *name,
                         struct err *err)
{
    return acl_add(a, permission, grantee, name, NULL) == 0
               ? S3_OK
               : refuse(err, S3_MalformedACLError,
                        "An access control list has at most 100 grants");
}

static enum s3_error user_of(const char *id, const struct s3_acl_names *names,
                             char name[ACL_NAME_MAX + 1], struct err *err)
{
    uint8_t bytes[ID_LEN / 2];
    int rc = ERR_NOT_FOUND;

    if (text_unhex(id, strlen(id), bytes, sizeof bytes)) {
        rc = names->find(names->arg, id, name, err);
    }
    if (rc == ERR_NOT_FOUND) {
        return refuse(err, S3_InvalidArgument, "Invalid id");
    }
    return rc == 0 ? S3_OK : s3_error_of(rc);
}

static enum s3_error grant_id(struct acl *a, unsigned permission,
                              const char *id, const struct s3_acl_names *names,
                              struct err *err)
{
    char name[ACL_NAME_MAX + 1];
    enum s3_error e = user_of(id, names, name, err);

    return e == S3_OK ? add(a, permission, ACL_USER, name, err) : e;
}

static enum s3_error grant_uri(struct acl *a, unsigned permission,
                               const char *uri, struct err *err)
{
    enum acl_grantee group = acl_group_of(uri);

    return group != ACL_USER
               ? add(a, permission, group, NULL, err)
               : refuse(err, S3_InvalidArgument, "Invalid group uri");
}

static enum s3_error grant_email(struct err *err)
{
    return refuse(err, S3_UnresolvableGrantByEmailAddress,
                  s3_error_message(S3_UnresolvableGrantByEmailAddress));
}

/* ---- documents ---- */

/* The word of the child @name; NULL: it has none of that name, or no word. */
static char *child_word(const struct s3_node *n, const char *name)
{
    const struct s3_node *child = s3_node_child(n, name);
    char *word = NULL;

    if (child == NULL || s3_node_word(child, &word, NULL) != 0) {
        return NULL;
    }
    return word;
}

static enum s3_error read_grantee(struct acl *a, unsigned permission,
                                  const struct s3_node *grantee,
                                  const struct s3_acl_names *names,
                                  struct err *err)
{
    static const char *const known[] = {"ID", "DisplayName", "URI",
                                        "EmailAddress", NULL};
    char *id = child_word(grantee, "ID");
    char *uri = child_word(grantee, "URI");
    char *email = child_word(grantee, "EmailAddress");
    enum s3_error e;

    if (s3_node_check(grantee, known, NULL) != 0 ||
        (id != NULL) + (uri != NULL) + (email != NULL) != 1) {
        e = malformed(err);
    } else if (id != NULL) {
        e = grant_id(a, permission, id, names, err);
    } else if (uri != NULL) {
        e = grant_uri(a, permission, uri, err);
    } else {
        e = grant_email(err);
    }
    free(id);
    free(uri);
    free(email);
    return e;
}

static enum s3_error read_grant(struct acl *a, const struct s3_node *grant,
                                const struct s3_acl_names *names,
                                struct err *err)
{
    static const char *const known[] = {"!Grantee", "!Permission", NULL};
    unsigned permission = 0;
    char *word;

    if (strcmp(grant->name, "Grant") != 0 ||
        s3_node_check(grant, known, NULL) != 0) {
        return malformed(err);
    }
    word = child_word(grant, "Permission");
    permission = word != NULL ? acl_permission_of(word) : 0;
    free(word);
    if (permission == 0) {
        return malformed(err);
    }
    return read_grantee(a, permission, s3_node_child(grant, "Grantee"), names,
                        err);
}

static enum s3_error read_owner(struct acl *a, const struct s3_node *owner,
                                const struct s3_acl_names *names,
                                struct err *err)
{
    static const char *const known[] = {"!ID", "DisplayName", NULL};
    char name[ACL_NAME_MAX + 1];
    char *id = child_word(owner, "ID");
    enum s3_error e;

    e = id == NULL || s3_node_check(owner, known, NULL) != 0
            ? malformed(err)
            : user_of(id, names, name, err);
    if (e == S3_OK) {
        acl_begin(a, name);
    }
    free(id);
    return e;
}

enum s3_error s3_acl_read(const void *p, size_t len,
                          const struct s3_acl_names *names, struct acl *out,
                          struct err *err)
{
    static const char *const known[] = {"!Owner", "!AccessControlList", NULL};
    struct acl a = {.count = 0};
    struct s3_node *root;
    enum s3_error e;

    if (s3_tree_read(p, len, "AccessControlPolicy", &root, NULL) != 0) {
        return malformed(err);
    }
    if (s3_node_check(root, known, NULL) != 0) {
        e = malformed(err);
    } else {
        e = read_owner(&a, s3_node_child(root, "Owner"), names, err);
    }
    if (e == S3_OK) {
        const struct s3_node *n = s3_node_child(root, "AccessControlList");
        for (n = n->first; n != NULL && e == S3_OK; n = n->next) {
            e = read_grant(&a, n, names, err);
        }
    }
    s3_tree_free(root);
    if (e == S3_OK) {
        *out = a;
    } else {
        acl_free(&a);
    }
    return e;
}

void s3_acl_write(const struct acl *a, struct buf *b)
{
    buf_str(b, "<AccessControlPolicy xmlns=\"" NS "\">");
    xml_owner(b, "Owner", a->owner);
    xml_open(b, "AccessControlList");
    for (size_t i = 0; i < a->count; i++) {
        const struct acl_grant *g = &a->grants[i];
        xml_open(b, "Grant");
        buf_printf(b, "<Grantee xmlns:xsi=\"" XSI "\" xsi:type=\"%s\">",
                   g->grantee == ACL_USER ? "CanonicalUser" : "Group");
        if (g->grantee == ACL_USER) {
            xml_owner_fields(b, g->name);
        } else {
            xml_text(b, "URI", acl_group_uri(g->grantee));
        }
        xml_close(b, "Grantee");
        xml_text(b, "Permission", acl_permission_name(g->permission));
        xml_close(b, "Grant");
    }
    xml_close(b, "AccessControlList");
    xml_close(b, "AccessControlPolicy");
}

/* ---- headers ---- */

unsigned s3_acl_header(const char *name)
{
    static const struct {
        const char *name;
        unsigned permission;
    } rows[] = {
        {"x-amz-grant-read", ACL_READ},
        {"x-amz-grant-write", ACL_WRITE},
        {"x-amz-grant-read-acp", ACL_READ_ACP},
        {"x-amz-grant-write-acp", ACL_WRITE_ACP},
        {"x-amz-grant-full-control", ACL_FULL_CONTROL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcasecmp(name, rows[i].name) == 0) {
            return rows[i].permission;
        }
    }
    return 0;
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t') {
        p++;
    }
    return p;
}

/* One of: type = "value" or type = value. Gives where it ends (NULL: it cannot
 * be read), and copies that free(). */
static const char *take_grantee(const char *p, char **type, char **value)
{
    const char *name = skip_blanks(p);
    size_t name_len = strcspn(name, " \t=,\"");
    const char *end;
    size_t len;

    p = skip_blanks(name + name_len);
    if (name_len == 0 || *p != '=') {
        return NULL;
    }
    p = skip_blanks(p + 1);
    if (*p == '"') {
        p++;
        len = strcspn(p, "\"");
        if (p[len] != '"') {
            return NULL;
        }
        end = skip_blanks(p + len + 1);
    } else {
        len = strcspn(p, " \t,\"");
        end = skip_blanks(p + len);
    }
    if (len == 0 || (*end != '\0' && *end != ',')) {
        return NULL;
    }
    *type = mem_strndup(name, name_len);
    *value = mem_strndup(p, len);
    return end;
}

enum s3_error s3_acl_grant(struct acl *a, unsigned permission,
                           const char *value, const struct s3_acl_names *names,
                           struct err *err)
{
    const char *p = value;
    enum s3_error e = S3_OK;

    do {
        char *type = NULL, *who = NULL;
        p = take_grantee(p, &type, &who);
        if (p == NULL) {
            return refuse(err, S3_InvalidArgument,
                          "Argument format not recognized");
        }
        if (text_ieq(type, "id")) {
            e = grant_id(a, permission, who, names, err);
        } else if (text_ieq(type, "uri")) {
            e = grant_uri(a, permission, who, err);
        } else if (text_ieq(type, "emailAddress")) {
            e = grant_email(err);
        } else {
            e = refuse(err, S3_InvalidArgument,
                       "Argument format not recognized");
        }
        free(type);
        free(who);
    } while (e == S3_OK && *p++ == ',');
    return e;
}
