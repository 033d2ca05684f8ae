/* fuzz_xml.c: no document makes the readers crash, leak or pass their bounds.
 *
 * The first byte chooses the reader. What is read is written again and must be
 * read back the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "gateway/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_delete(const void *p, size_t len)
{
    struct xml_delete d = {0};
    struct xml_delete again = {0};
    struct err err = {{0}};
    struct buf b = {0};

    if (xml_read_delete(p, len, &d, &err) != 0) {
        CHECK(err.text[0] != '\0' && d.keys == NULL);
        return;
    }
    CHECK(d.count >= 1 && d.count <= META_DELETE_MAX);
    xml_open(&b, "Delete");
    for (size_t i = 0; i < d.count; i++) {
        CHECK(strlen(d.keys[i]) <= S3_XML_TEXT_MAX);
        xml_open(&b, "Object");
        xml_text(&b, "Key", d.keys[i]);
        xml_close(&b, "Object");
    }
    xml_close(&b, "Delete");
    CHECK(xml_read_delete(b.data, b.len, &again, &err) == 0);
    CHECK(again.count == d.count);
    for (size_t i = 0; i < d.count; i++) {
        CHECK(strcmp(again.keys[i], d.keys[i]) == 0);
    }
    xml_delete_free(&d);
    xml_delete_free(&again);
    buf_free(&b);
}

static void try_complete(const void *p, size_t len)
{
    struct xml_complete c = {0};
    struct err err = {{0}};

    if (xml_read_complete(p, len, &c, &err) != 0) {
        CHECK(err.text[0] != '\0' && c.parts == NULL);
        return;
    }
    CHECK(c.count >= 1 && c.count <= META_PARTS_MAX);
    for (size_t i = 0; i < c.count; i++) {
        CHECK(c.parts[i].number >= 1 && c.parts[i].number <= META_PARTS_MAX);
        CHECK(c.parts[i].etag != NULL);
    }
    xml_complete_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *location = NULL;

    if (size == 0) {
        return 0;
    }
    switch (data[0] % 3) {
        case 0:
            try_delete(data + 1, size - 1);
            break;
        case 1:
            try_complete(data + 1, size - 1);
            break;
        default:
            if (xml_read_create_bucket(data + 1, size - 1, &location, NULL) ==
                0) {
                free(location);
            }
            break;
    }
    return 0;
}
