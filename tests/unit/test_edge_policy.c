/* test_edge_policy.c: what an operator tells a device to do.
 *
 * Goal: all that a policy may say is read, nothing else is, and each refusal
 * names the field; a document is for one device. Method: one policy that says
 * all, a table of bad ones with what is to be said of each, every cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/edge_policy.h"

static const char all[] =
    "{\"when_full\":\"class\",\"max_bytes\":\"64MiB\",\"max_objects\":1000,"
    "\"flash_budget\":1073741824,\"order\":\"newest\",\"rate\":\"64K\","
    "\"zstd\":true,"
    "\"hours\":\"22-6\","
    "\"metered\":{\"file\":\"/run/metered\",\"priority\":7},"
    "\"redact\":{\"metadata\":[\"Serial\"],\"json\":[\"gps\",\"Owner\"]},"
    "\"classes\":{\"0\":{\"deadline\":\"1h\"},\"3\":{\"priority\":8,"
    "\"reserved\":20,\"order\":\"oldest\"}}}";

static void a_policy_says_all_that_it_may(void **state)
{
    struct edge_policy p;
    struct err err;

    (void)state;
    assert_int_equal(edge_policy_read(all, strlen(all), &p, &err), 0);
    assert_int_equal(p.when_full, EDGE_FULL_CLASS);
    assert_int_equal(p.max_bytes, 64 << 20);
    assert_int_equal(p.max_objects, 1000);
    assert_int_equal(p.flash_budget, 1 << 30);
    assert_true(p.rate_said);
    assert_int_equal(p.rate, 64 << 10);
    assert_string_equal(p.hours, "22-6");
    assert_true(p.zstd_said && p.zstd);
    assert_string_equal(p.metered_file, "/run/metered");
    assert_int_equal(p.metered_class, 7);
    assert_int_equal(p.drop_metadata.count, 1);
    assert_string_equal(p.drop_metadata.items[0], "serial");
    assert_int_equal(p.drop_json.count, 2);
    assert_string_equal(p.drop_json.items[1], "Owner");
    assert_int_equal(p.classes[0].deadline_ms, 3600 * 1000);
    assert_int_equal(p.classes[0].priority, 0);
    assert_int_equal(p.classes[0].order, EDGE_ORDER_NEWEST);
    assert_int_equal(p.classes[3].priority, 8);
    assert_int_equal(p.classes[3].reserved, 20);
    assert_int_equal(p.classes[3].order, EDGE_ORDER_OLDEST);
    edge_policy_free(&p);
}

static void an_empty_policy_says_nothing(void **state)
{
    struct edge_policy p;

    (void)state;
    assert_int_equal(edge_policy_read("{}", 2, &p, NULL), 0);
    assert_int_equal(p.when_full, EDGE_FULL_UNSAID);
    assert_null(p.hours);
    assert_false(p.rate_said);
    assert_int_equal(p.classes[9].priority, 9);
    edge_policy_free(&p);
}

static void a_refusal_names_the_field(void **state)
{
    static const struct {
        const char *json, *says;
    } rows[] = {
        {"[]", "policy: not an object"},
        {"{\"colour\":1}", "colour: not known"},
        {"{\"when_full\":\"panic\"}", "when_full: refuse, oldest or class"},
        {"{\"when_full\":1}", "when_full: "},
        {"{\"max_bytes\":\"1MiB\"}", "max_bytes: 4MiB to 60GiB"},
        {"{\"max_objects\":0}", "max_objects: "},
        {"{\"max_objects\":\"9\"}", "max_objects: "},
        {"{\"max_objects\":-1}", "max_objects: "},
        {"{\"flash_budget\":5}", "flash_budget: "},
        {"{\"order\":\"any\"}", "order: "},
        {"{\"rate\":true}", "rate: "},
        {"{\"zstd\":1}", "zstd: true or false"},
        {"{\"hours\":\"25-3\"}", "hours: "},
        {"{\"hours\":\"3-3\"}", "hours: "},
        {"{\"hours\":7}", "hours: "},
        {"{\"metered\":{}}", "metered.file: "},
        {"{\"metered\":{\"file\":\"x\"}}", "metered.file: "},
        {"{\"metered\":{\"file\":\"/x\",\"priority\":10}}",
         "metered.priority: "},
        {"{\"metered\":{\"program\":\"/x\"}}", "metered.program: not known"},
        {"{\"redact\":{\"json\":\"gps\"}}", "redact.json: "},
        {"{\"redact\":{\"json\":[1]}}", "redact.json: "},
        {"{\"redact\":{\"metadata\":[\"\"]}}", "redact.metadata: "},
        {"{\"redact\":[]}", "redact: not an object"},
        {"{\"classes\":[]}", "classes: not an object"},
        {"{\"classes\":{\"10\":{}}}", "classes.10: not a class"},
        {"{\"classes\":{\"03\":{}}}", "classes.03: not a class"},
        {"{\"classes\":{\"3\":1}}", "classes.3: not an object"},
        {"{\"classes\":{\"3\":{\"deadline\":\"soon\"}}}",
         "classes.3.deadline: a time"},
        {"{\"classes\":{\"3\":{\"deadline\":\"0s\"}}}", "classes.3.deadline: "},
        {"{\"classes\":{\"3\":{\"priority\":11}}}", "classes.3.priority: "},
        {"{\"classes\":{\"3\":{\"reserved\":91}}}", "classes.3.reserved: "},
        {"{\"classes\":{\"3\":{\"order\":1}}}", "classes.3.order: "},
        {"{\"classes\":{\"3\":{\"x\":1}}}", "classes.3.x: not known"},
        {"{\"classes\":{\"3\":{\"reserved\":50},\"4\":{\"reserved\":41}}}",
         "classes: over 90"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct edge_policy p;
        struct err err = {{0}};
        assert_int_equal(
            edge_policy_read(rows[i].json, strlen(rows[i].json), &p, &err),
            ERR_BAD_INPUT);
        if (strncmp(err.text, rows[i].says, strlen(rows[i].says)) != 0) {
            fail_msg("%s: %s", rows[i].json, err.text);
        }
    }
}

static void every_cut_is_refused(void **state)
{
    struct edge_policy p;

    (void)state;
    for (size_t len = 0; len < strlen(all); len++) {
        char *part = mem_strndup(all, len);
        assert_int_equal(edge_policy_read(part, len, &p, NULL), ERR_BAD_INPUT);
        free(part);
    }
}

static void a_policy_that_is_too_long_is_refused(void **state)
{
    struct edge_policy p;
    char text[EDGE_POLICY_MAX + 1];

    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, "{}", 2);
    assert_int_equal(edge_policy_read(text, sizeof text - 1, &p, NULL), 0);
    edge_policy_free(&p);
    assert_int_equal(edge_policy_read(text, sizeof text, &p, NULL), ERR_LIMIT);
}

static void a_document_is_for_its_device_alone(void **state)
{
    struct buf doc = {0};
    struct edge_policy p;
    struct err err;
    uint64_t version = 7;

    (void)state;
    edge_policy_document("dev42", 3, all, strlen(all), &doc);
    assert_int_equal(
        edge_policy_open(doc.data, doc.len, "dev42", &version, &p, &err), 0);
    assert_int_equal(version, 3);
    assert_int_equal(p.classes[3].priority, 8);
    edge_policy_free(&p);
    assert_int_equal(
        edge_policy_open(doc.data, doc.len, "dev43", &version, &p, &err),
        ERR_DENIED);
    assert_int_equal(version, 3);
    buf_free(&doc);
}

static void a_document_that_is_none_is_refused(void **state)
{
    static const struct {
        const char *json, *says;
        uint64_t version;
    } rows[] = {
        {"{}", "version: ", 0},
        {"{\"device\":\"d\",\"version\":0,\"policy\":{}}", "version: ", 0},
        {"{\"device\":\"d\",\"version\":4}", "policy: ", 4},
        {"{\"version\":4,\"policy\":{}}", "device: ", 4},
        {"{\"device\":\"d\",\"version\":4,\"policy\":{\"rate\":[]}}",
         "rate: ", 4},
    };
    struct edge_policy p;
    uint64_t version;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {{0}};
        assert_int_not_equal(
            edge_policy_open(rows[i].json, strlen(rows[i].json), "d", &version,
                             &p, &err),
            0);
        assert_int_equal(version, rows[i].version);
        assert_int_equal(strncmp(err.text, rows[i].says, strlen(rows[i].says)),
                         0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_says_all_that_it_may),
        cmocka_unit_test(an_empty_policy_says_nothing),
        cmocka_unit_test(a_refusal_names_the_field),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(a_policy_that_is_too_long_is_refused),
        cmocka_unit_test(a_document_is_for_its_device_alone),
        cmocka_unit_test(a_document_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
