#include "edge-agent/redact.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/config.h"
#include "base/err.h"
#include "policy/json_tree.h"

/* ---- over a document that was read: it is well-formed ---- */

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++) {
        p += *p == '\\' ? 1 : 0;
    }
    return p + 1;
}

/* To the comma or brace behind a value of an object. */
static const char *skip_value(const char *p)
{
    int depth = 0;

    while (depth > 0 || (*p != ',' && *p != '}')) {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += *p == '{' || *p == '[' ? 1 : 0;
        depth -= *p == '}' || *p == ']' ? 1 : 0;
        p++;
    }
    return p;
}

static bool is_named(const struct config_list *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The members as the tree has them stand in the text in the same order. */
static void copy(const char *p, const struct json_node *object,
                 const struct config_list *names, struct buf *out)
{
    bool first = true;

    p = skip_blanks(p);
    CHECK(*p == '{');
    p++;
    buf_char(out, '{');
    for (const struct json_node *n = object->first; n != NULL; n = n->next) {
        const char *from = skip_blanks(p);
        p = skip_value(skip_string(from));
        if (!is_named(names, n->name)) {
            buf_str(out, first ? "" : ",");
            buf_append(out, from, (size_t)(p - from));
            first = false;
        }
        p += *p == ',' ? 1 : 0;
    }
    buf_char(out, '}');
}

int redact_json(const void *json, size_t len, const struct config_list *names,
                struct buf *out, struct err *err)
{
    struct json_tree *tree = NULL;
    struct buf text = {0};
    int code = json_tree_read(json, len, &tree, err);

    if (code != 0) {
        return err_wrap(err, code, "its fields cannot be left out");
    }
    if (json_tree_root(tree)->kind == JSON_OBJECT) {
        buf_append(&text, json, len); /* a NUL follows */
        copy((const char *)text.data, json_tree_root(tree), names, out);
        buf_wipe(&text);
    } else {
        buf_append(out, json, len);
    }
    json_tree_free(tree);
    return 0;
}

bool redact_is_json(const char *content_type)
{
    static const char type[] = "application/";
    const char *end, *sub;

    if (content_type == NULL) {
        return false;
    }
    content_type = skip_blanks(content_type);
    if (strncasecmp(content_type, type, strlen(type)) != 0) {
        return false;
    }
    sub = content_type + strlen(type);
    end = sub + strcspn(sub, "; \t");
    return (end - sub == 4 && strncasecmp(sub, "json", 4) == 0) ||
           (end - sub > 5 && strncasecmp(end - 5, "+json", 5) == 0);
}
