#include "fleet/metadata.h"

#include <string.h>

#include "base/text.h"

bool metadata_name_ok(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.");

    return len > 0 && len <= METADATA_NAME_MAX && name[len] == '\0' &&
           !text_starts(name, METADATA_OWN);
}

bool metadata_value_ok(const char *value)
{
    for (const char *p = value; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            return false;
        }
    }
    return text_utf8(value, strlen(value));
}
