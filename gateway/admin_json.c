#include "gateway/admin_json.h"

#include "base/buf.h"

void put_json_text(struct buf *b, const char *s)
{
    buf_char(b, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\') {
            buf_char(b, '\\');
            buf_char(b, *s);
        } else if ((unsigned char)*s < ' ') {
            buf_printf(b, "\\u%04x", *s);
        } else {
            buf_char(b, *s);
        }
    }
    buf_char(b, '"');
}

void put_json_member(struct buf *b, const char *name, const char *text,
                     bool last)
{
    buf_printf(b, "\"%s\":", name);
    put_json_text(b, text);
    buf_str(b, last ? "" : ",");
}

void put_json_u64(struct buf *b, const char *name, uint64_t v, bool last)
{
    buf_printf(b, "\"%s\":%llu%s", name, (unsigned long long)v,
               last ? "" : ",");
}

void put_json_bool(struct buf *b, const char *name, bool v, bool last)
{
    buf_printf(b, "\"%s\":%s%s", name, v ? "true" : "false", last ? "" : ",");
}
