#include "edge-agent/device_id.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "edge-agent/edge_tls.h"

#define CODE_PREFIX "gwe1."
#define CODE_LEN (5 + 43 + 1 + DEVICE_ID_SECRET_TEXT)

static char *path_in(const char *data, const char *folder, const char *name)
{
    return mem_printf("%s/%s/%s", data, folder, name);
}

static int read_file(const char *data, const char *folder, const char *name,
                     struct buf *out, struct err *err)
{
    char *path = path_in(data, folder, name);
    int code = fs_read(path, DEVICE_ID_JSON_MAX, out, err);

    free(path);
    return code;
}

static int write_file(const char *data, const char *folder, const char *name,
                      const struct buf *b, mode_t mode, struct err *err)
{
    char *path = path_in(data, folder, name);
    int code = fs_write(path, b->data, b->len, mode, err);

    free(path);
    return code;
}

/* ---- loading ---- */

/* The NUL makes it a C string. */
static int read_json(const char *data, const char *name, struct buf *out,
                     struct err *err)
{
    int code = read_file(data, "identity", name, out, err);

    if (code == 0) {
        buf_char(out, '\0');
        out->len--;
    }
    return code;
}

static int load_device(const char *data, struct device_id *id, struct err *err)
{
    struct buf json = {0};
    int code = read_json(data, "device.json", &json, err);

    if (code == 0) {
        id->gateway = json_text((char *)json.data, "gateway");
        id->device = json_text((char *)json.data, "device");
        id->number = json_u64((char *)json.data, "number");
        if (*id->gateway == '\0' || id->number == 0) {
            code = err_set(err, ERR_CORRUPT, "device.json says no gateway");
        }
    }
    buf_free(&json);
    return code;
}

int device_id_load(const char *data, struct device_id *out, struct err *err)
{
    struct device_id id = {0};
    int code = load_device(data, &id, err);

    if (code == ERR_NOT_FOUND) {
        return err_set(err, code,
                       "this device is not enrolled (godwit-edge enroll)");
    }
    if (code == 0) {
        code = read_file(data, "identity", "key.pem", &id.key, err);
    }
    if (code == 0) {
        code = read_file(data, "identity", "cert.pem", &id.cert, err);
    }
    if (code == 0) {
        code = read_file(data, "identity", "ca.pem", &id.ca, err);
    }
    if (code == 0) {
        code = read_json(data, "settings.json", &id.settings, err);
    }
    if (code == 0 && edge_tls_cert_check(&id.cert, &id.key, &id.ca, err) != 0) {
        code = ERR_CORRUPT;
    }
    if (code != 0) {
        device_id_free(&id);
        return err_wrap(err, code == ERR_NOT_FOUND ? ERR_CORRUPT : code,
                        "identity");
    }
    *out = id;
    return 0;
}

void device_id_free(struct device_id *id)
{
    buf_wipe(&id->key);
    buf_free(&id->cert);
    buf_free(&id->ca);
    buf_free(&id->settings);
    free(id->gateway);
    free(id->device);
    *id = (struct device_id){0};
}

/* ---- saving ---- */

int device_id_new_key(const char *data, struct buf *key, struct err *err)
{
    char *folder = mem_printf("%s/identity.new", data);
    struct buf again = {0};
    int code = fs_mkdirs(folder, err);

    free(folder);
    if (code != 0) {
        return code;
    }
    /* One that cannot be used is replaced. */
    if (read_file(data, "identity.new", "key.pem", key, NULL) == 0 &&
        edge_tls_request_new(key, &again, NULL) == 0) {
        buf_free(&again);
        return 0;
    }
    buf_wipe(key);
    code = edge_tls_key_new(key, err);
    return code == 0
               ? write_file(data, "identity.new", "key.pem", key, 0600, err)
               : code;
}

static void remove_folder(const char *data, const char *folder)
{
    static const char *const names[] = {"key.pem", "cert.pem", "ca.pem",
                                        "settings.json", "device.json"};
    char *path;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path = path_in(data, folder, names[i]);
        unlink(path);
        free(path);
    }
    path = mem_printf("%s/%s", data, folder);
    rmdir(path);
    free(path);
}

/* identity.new becomes identity; the old one goes. */
static int put_in_place(const char *data, struct err *err)
{
    char *from = mem_printf("%s/identity.new", data);
    char *to = mem_printf("%s/identity", data);
    int code = 0;

    if (rename(from, to) != 0 &&
        renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) != 0) {
        code = err_errno(err, "%s: rename", to);
    }
    if (code == 0) {
        code = fs_sync_dir(data, err);
    }
    if (code == 0) {
        remove_folder(data, "identity.new");
    }
    free(from);
    free(to);
    return code;
}

int device_id_save(const char *data, const struct device_id *id,
                   struct err *err)
{
    struct buf device = {0};
    int code = write_file(data, "identity.new", "key.pem", &id->key, 0600, err);

    buf_str(&device, "{\"gateway\":");
    put_json_text(&device, id->gateway);
    buf_str(&device, ",\"device\":");
    put_json_text(&device, id->device);
    buf_printf(&device, ",\"number\":%llu}\n", (unsigned long long)id->number);
    if (code == 0) {
        code =
            write_file(data, "identity.new", "cert.pem", &id->cert, 0644, err);
    }
    if (code == 0) {
        code = write_file(data, "identity.new", "ca.pem", &id->ca, 0644, err);
    }
    if (code == 0) {
        code = write_file(data, "identity.new", "settings.json", &id->settings,
                          0644, err);
    }
    if (code == 0) {
        code =
            write_file(data, "identity.new", "device.json", &device, 0644, err);
    }
    buf_free(&device);
    return code == 0 ? put_in_place(data, err) : code;
}

int device_id_save_cert(const char *data, const struct buf *cert,
                        struct err *err)
{
    return write_file(data, "identity", "cert.pem", cert, 0644, err);
}

int device_id_save_settings(const char *data, const struct buf *settings,
                            struct err *err)
{
    return write_file(data, "identity", "settings.json", settings, 0644, err);
}

/* ---- settings ---- */

/* NULL for what is not said. */
static char *said(const struct buf *json, const char *path)
{
    char *text = json_text((const char *)json->data, path);

    if (*text == '\0') {
        free(text);
        return NULL;
    }
    return text;
}

int device_id_settings_read(const struct buf *json,
                            struct device_id_settings *out, struct err *err)
{
    struct device_id_settings s = {0};
    size_t n = json_count((const char *)json->data, "recipients");

    s.bucket = said(json, "bucket");
    s.prefix = said(json, "prefix");
    s.cipher = said(json, "cipher");
    s.format = said(json, "format");
    s.when_full = said(json, "when_full");
    s.recipients.items = mem_calloc(n + 1, sizeof s.recipients.items[0]);
    for (size_t i = 0; i < n; i++) {
        char *path = mem_printf("recipients.%zu", i);
        s.recipients.items[s.recipients.count++] =
            json_text((const char *)json->data, path);
        free(path);
    }
    if (s.bucket == NULL) {
        device_id_settings_free(&s);
        return err_set(err, ERR_BAD_INPUT, "the settings name no bucket");
    }
    *out = s;
    return 0;
}

void device_id_settings_free(struct device_id_settings *s)
{
    free(s->bucket);
    free(s->prefix);
    free(s->cipher);
    free(s->format);
    free(s->when_full);
    for (size_t i = 0; i < s->recipients.count; i++) {
        free(s->recipients.items[i]);
    }
    free(s->recipients.items);
    *s = (struct device_id_settings){0};
}

/* ---- codes ---- */

/* RFC 4648, section 5, without padding. */
static bool from_url(const char *text, size_t len, uint8_t *out, size_t out_len)
{
    char standard[64];
    uint8_t bytes[48];
    size_t n = 0;

    if (len + 3 > sizeof standard) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '+' || text[i] == '/') {
            return false;
        }
        standard[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    for (; len % 4 != 0; len++) {
        standard[len] = '=';
    }
    if (!text_unbase64(standard, len, bytes, &n) || n != out_len) {
        return false;
    }
    memcpy(out, bytes, n);
    return true;
}

int device_id_code_parse(const char *code, uint8_t ca[DEVICE_ID_CA_PIN],
                         char secret[DEVICE_ID_SECRET_TEXT + 1],
                         struct err *err)
{
    const char *pin = code + strlen(CODE_PREFIX);
    uint8_t bytes[16];
    const char *rest;

    if (!text_starts(code, CODE_PREFIX)) {
        return err_set(err, ERR_BAD_INPUT,
                       "the enrolment code does not begin with " CODE_PREFIX);
    }
    if (strlen(code) != CODE_LEN) {
        return err_set(err, ERR_BAD_INPUT,
                       "the enrolment code has %zu characters, not %d",
                       strlen(code), CODE_LEN);
    }
    rest = pin + 44;
    if (pin[43] != '.' || !from_url(pin, 43, ca, DEVICE_ID_CA_PIN) ||
        !from_url(rest, DEVICE_ID_SECRET_TEXT, bytes, sizeof bytes)) {
        return err_set(err, ERR_BAD_INPUT,
                       "the enrolment code has a character too many or wrong");
    }
    memcpy(secret, rest, DEVICE_ID_SECRET_TEXT + 1);
    mem_wipe(bytes, sizeof bytes);
    return 0;
}

/* ---- memory ---- */

static int64_t signed_of(const char *json, const char *name)
{
    size_t len = 0;
    const char *p = json_find(json, name, &len);

    return p != NULL ? strtoll(p, NULL, 10) : 0;
}

void sync_memory_load(const char *data, struct sync_memory *out)
{
    char *path = mem_printf("%s/sync.json", data);
    struct buf json = {0};

    *out = (struct sync_memory){0};
    if (fs_read(path, DEVICE_ID_JSON_MAX, &json, NULL) == 0) {
        const char *text;
        buf_char(&json, '\0');
        text = (char *)json.data;
        out->number = json_u64(text, "number");
        out->skew_ms = signed_of(text, "skew_ms");
        out->seen_ms = json_u64(text, "seen_ms");
        out->sequence = json_u64(text, "sequence");
        out->refused = json_u64(text, "refused");
    }
    buf_free(&json);
    free(path);
}

int sync_memory_save(const char *data, const struct sync_memory *m,
                     struct err *err)
{
    char *path = mem_printf("%s/sync.json", data);
    struct buf json = {0};
    int code;

    buf_printf(&json,
               "{\"number\":%llu,\"skew_ms\":%lld,\"seen_ms\":%llu,"
               "\"sequence\":%llu,\"refused\":%llu}\n",
               (unsigned long long)m->number, (long long)m->skew_ms,
               (unsigned long long)m->seen_ms, (unsigned long long)m->sequence,
               (unsigned long long)m->refused);
    code = fs_write(path, json.data, json.len, 0600, err);
    buf_free(&json);
    free(path);
    return code;
}
