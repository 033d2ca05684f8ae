#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (e != NULL) {
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
    }
    return code;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
    char old[ERR_TEXT_SIZE];
    size_t used;
    va_list ap;

    if (e == NULL) {
        return code;
    }
    memcpy(old, e->text, sizeof old);
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    used = strlen(e->text);
    snprintf(e->text + used, sizeof e->text - used, ": %s", old);
    return code;
}

static int code_of_errno(int number)
{
    switch (number) {
        case ENOSPC:
        case EDQUOT:
            return ERR_FULL;
        case ENOENT:
            return ERR_NOT_FOUND;
        case ENOMEM:
            return ERR_NOMEM;
        default:
            return ERR_IO;
    }
}

int err_errno(struct err *e, const char *fmt, ...)
{
    int number = errno;
    size_t used;
    va_list ap;

    if (e != NULL) {
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
        used = strlen(e->text);
        snprintf(e->text + used, sizeof e->text - used, ": %s",
                 strerror(number));
    }
    return code_of_errno(number);
}

const char *err_name(int code)
{
    switch (code) {
        case 0:
            return "OK";
#define X(name, value, text) \
    case value:              \
        return #name;
            ERR_TABLE(X)
#undef X
        default:
            return "?";
    }
}

const char *err_text(int code)
{
    switch (code) {
        case 0:
            return "success";
#define X(name, value, text) \
    case value:              \
        return text;
            ERR_TABLE(X)
#undef X
        default:
            return "unknown error";
    }
}
