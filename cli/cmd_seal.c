/* godwit seal, godwit open: files that only their recipients read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/squeeze.h"
#include "cli/unseal.h"
#include "cli/whole_file.h"
#include "crypto/age.h"
#include "crypto/seal.h"

#define STEP ((size_t)128 << 10)
#define SUFFIX ".sealed"
#define SUFFIX_AGE ".age"

struct seal_options {
    struct config_list recipients;
    char *output;
    char *algorithm;
    bool age;
    bool compress;
};

static const struct config_row seal_table[] = {
    CLI_ROW(struct seal_options, "recipient", LIST, recipients, NULL, 0, 0,
            "AGE1...", "Who can open it; may be repeated; -r for short."),
    CLI_ROW(struct seal_options, "output", STRING, output, NULL, 0, 0, "FILE",
            "Default: the file's name with " SUFFIX " or " SUFFIX_AGE "."),
    CLI_ROW(struct seal_options, "algorithm", STRING, algorithm, "aes-256-gcm",
            0, 0, "NAME", "aes-256-gcm, or chacha20-poly1305."),
    CLI_ROW(struct seal_options, "age", BOOL, age, NULL, 0, 0, NULL,
            "Write a standard age file, for any age tool."),
    CLI_ROW(struct seal_options, "compress", BOOL, compress, NULL, 0, 0, NULL,
            "Compress by zstd first; the length then tells of the text."),
    CLI_ROWS_END,
};

struct open_options {
    char *identity;
    char *output;
};

static const struct config_row open_table[] = {
    CLI_ROW(struct open_options, "identity", STRING, identity, NULL, 0, 0,
            "FILE",
            "The identities to open with, as godwit identity makes them."),
    CLI_ROW(struct open_options, "output", STRING, output, NULL, 0, 0, "FILE",
            "Default: the name without " SUFFIX " or " SUFFIX_AGE "."),
    CLI_ROWS_END,
};

/* ---- both ---- */

static int open_input(const char *path, int *fd, struct err *err)
{
    *fd = strcmp(path, "-") == 0 ? STDIN_FILENO
                                 : open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? err_errno(err, "%s", path) : 0;
}

/* Up to STEP bytes; 0 at the end. */
static int read_step(int fd, uint8_t *p, size_t *len, struct err *err)
{
    ssize_t n;

    do {
        n = read(fd, p, STEP);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return err_errno(err, "read");
    }
    *len = (size_t)n;
    return 0;
}

/* ---- seal ---- */

/* One of two writers. */
struct sealing {
    struct seal_writer *seal;
    struct age_writer *age;
    struct squeeze *pack; /* NULL: as it is */
    struct whole_file *to;
    size_t opening_len; /* head and header: owed before the body */
    uint8_t opening[SEAL_OPENING_MAX];
    uint8_t in[STEP];
    uint8_t out[AGE_UPDATE_MAX(STEP)];
};

_Static_assert(AGE_OPENING_MAX >= SEAL_SALT, "out is large enough for both");

static int algorithm_of(const char *name, enum prim_algorithm *out,
                        struct err *err)
{
    if (text_ieq(name, "aes-256-gcm")) {
        *out = PRIM_AES_256_GCM;
    } else if (text_ieq(name, "chacha20-poly1305")) {
        *out = PRIM_CHACHA20_POLY1305;
    } else {
        return err_set(err, ERR_BAD_INPUT,
                       "--algorithm %s: say aes-256-gcm or chacha20-poly1305",
                       name);
    }
    return 0;
}

static int recipients_of(const struct config_list *list,
                         struct seal_recipient out[SEAL_RECIPIENTS_MAX],
                         struct err *err)
{
    if (list->count < 1 || list->count > SEAL_RECIPIENTS_MAX) {
        return err_set(err, ERR_BAD_INPUT, "say from 1 to %d --recipient",
                       SEAL_RECIPIENTS_MAX);
    }
    for (size_t i = 0; i < list->count; i++) {
        int rc = seal_recipient_parse(list->items[i], &out[i], err);
        if (rc != 0) {
            return err_wrap(err, rc, "--recipient %s", list->items[i]);
        }
    }
    return 0;
}

/* A segment of its own for each file: its link 0. */
static int begin_envelope(struct sealing *s, const struct seal_recipient *to,
                          size_t count, enum prim_algorithm algorithm,
                          uint8_t flags, struct err *err)
{
    struct seal_segment *segment;
    const uint8_t *header;
    struct seal_key key;
    size_t len = 0;
    int rc = seal_segment_new(to, count, algorithm, &segment, err);

    if (rc != 0) {
        return rc;
    }
    rc = seal_segment_next(segment, &key, err);
    if (rc == 0) {
        header = seal_segment_header(segment, &len);
        s->opening_len =
            seal_head_write(flags, key.link, header, len, s->opening);
        s->seal = seal_writer_new();
        seal_writer_init(s->seal, &key, flags);
    }
    seal_segment_free(segment);
    return rc;
}

static int begin(struct sealing *s, const struct seal_options *o,
                 struct err *err)
{
    struct seal_recipient to[SEAL_RECIPIENTS_MAX];
    enum prim_algorithm algorithm = PRIM_AES_256_GCM;
    int rc = recipients_of(&o->recipients, to, err);

    if (rc == 0) {
        rc = algorithm_of(o->algorithm, &algorithm, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (o->age && o->compress) {
        return err_set(err, ERR_BAD_INPUT,
                       "--age and --compress: no age tool would unpack it");
    }
    return o->age ? age_writer_new(to, o->recipients.count, &s->age, err)
                  : begin_envelope(s, to, o->recipients.count, algorithm,
                                   o->compress ? SEAL_FLAG_ZSTD : 0, err);
}

/* At most STEP bytes; a sink. */
static int seal_step(void *arg, const void *p, size_t len, struct err *err)
{
    struct sealing *s = arg;
    size_t made = 0;
    int rc = s->age != NULL
                 ? age_writer_update(s->age, p, len, s->out, &made, err)
                 : seal_writer_update(s->seal, p, len, s->out, &made, err);

    return rc == 0 ? whole_file_write(s->to, s->out, made, err) : rc;
}

static int seal_bytes(struct sealing *s, int in, struct err *err)
{
    size_t len = 0, made = 0;
    int rc = whole_file_write(s->to, s->opening, s->opening_len, err);

    while (rc == 0 && (rc = read_step(in, s->in, &len, err)) == 0 && len > 0) {
        rc = s->pack != NULL ? squeeze_update(s->pack, s->in, len, err)
                             : seal_step(s, s->in, len, err);
    }
    if (rc == 0 && s->pack != NULL) {
        rc = squeeze_final(s->pack, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (s->age != NULL) {
        age_writer_final(s->age, s->out, &made);
    } else {
        seal_writer_final(s->seal, s->out, &made);
    }
    return whole_file_write(s->to, s->out, made, err);
}

static int seal_file(const struct seal_options *o, const char *path,
                     struct err *err)
{
    struct sealing *s = mem_alloc(sizeof *s);
    char *to = o->output != NULL ? mem_strdup(o->output)
               : strcmp(path, "-") == 0
                   ? mem_strdup("-")
                   : mem_printf("%s%s", path, o->age ? SUFFIX_AGE : SUFFIX);
    struct whole_file out;
    int rc = begin(s, o, err);
    int in = -1;

    if (rc == 0) {
        rc = open_input(path, &in, err);
    }
    if (rc == 0) {
        rc = whole_file_open(to, &out, err);
        if (rc == 0) {
            s->to = &out;
            s->pack = o->compress ? squeeze_new(false, seal_step, s) : NULL;
            rc = seal_bytes(s, in, err);
            if (rc == 0) {
                rc = whole_file_commit(&out, err);
            } else {
                whole_file_abort(&out);
            }
        }
        close(in);
    }
    seal_writer_free(s->seal);
    age_writer_free(s->age);
    squeeze_free(s->pack);
    mem_wipe(s, sizeof *s);
    free(s);
    free(to);
    return rc;
}

static int act_seal(void *options, int rest, char **argv, struct err *err)
{
    (void)rest;
    return seal_file(options, argv[1], err);
}

static int run_seal(int argc, char **argv)
{
    struct seal_options o;

    return cli_do(&cli_seal, &o, argc, argv, 1, 1, act_seal);
}

/* ---- open ---- */

static int open_bytes(struct unseal *u, int in, struct err *err)
{
    uint8_t *p = mem_realloc(NULL, STEP);
    size_t len = 0;
    int rc = 0;

    while (rc == 0 && (rc = read_step(in, p, &len, err)) == 0 && len > 0) {
        rc = unseal_update(u, p, len, err);
    }
    free(p);
    return rc == 0 ? unseal_final(u, err) : rc;
}

static bool ends_in(const char *s, const char *end)
{
    size_t a = strlen(s), b = strlen(end);

    return a > b && strcmp(s + a - b, end) == 0;
}

/* The name of what is opened; NULL when @path does not tell. */
static char *opened_name(const struct open_options *o, const char *path)
{
    const char *suffix = ends_in(path, SUFFIX)       ? SUFFIX
                         : ends_in(path, SUFFIX_AGE) ? SUFFIX_AGE
                                                     : NULL;

    if (o->output != NULL) {
        return mem_strdup(o->output);
    }
    if (strcmp(path, "-") == 0) {
        return mem_strdup("-");
    }
    return suffix != NULL ? mem_strndup(path, strlen(path) - strlen(suffix))
                          : NULL;
}

static int open_file(const struct unseal_identities *identities,
                     const char *path, const char *to, struct err *err)
{
    struct whole_file out;
    struct unseal *u;
    int in;
    int rc = open_input(path, &in, err);

    if (rc != 0) {
        return rc;
    }
    rc = whole_file_open(to, &out, err);
    if (rc == 0) {
        u = unseal_new(identities, whole_file_write, &out);
        rc = open_bytes(u, in, err);
        unseal_free(u);
        if (rc == 0) {
            rc = whole_file_commit(&out, err);
        } else {
            whole_file_abort(&out);
            err_wrap(err, rc, "%s", path);
        }
    }
    close(in);
    return rc;
}

static int run_open(int argc, char **argv)
{
    struct unseal_identities identities = {NULL, 0};
    struct open_options o;
    struct err err = {{0}};
    int code = CLI_OK;
    int rest;
    int rc = 0;
    char *to;

    if (!cli_args(&cli_open_command, &o, argc, argv, 1, 1, &rest, &code)) {
        return code;
    }
    to = opened_name(&o, argv[1]);
    if (o.identity == NULL) {
        rc = err_set(&err, ERR_BAD_INPUT, "say --identity FILE");
    } else if (to == NULL) {
        rc = err_set(&err, ERR_BAD_INPUT,
                     "%s does not end in " SUFFIX " or " SUFFIX_AGE
                     ": say --output FILE",
                     argv[1]);
    } else {
        rc = unseal_read_identities(o.identity, &identities, &err);
    }
    if (rc == 0) {
        rc = open_file(&identities, argv[1], to, &err);
    }
    if (rc != 0) {
        code = cli_fail(&cli_open_command, rc, &err);
    }
    unseal_identities_free(&identities);
    free(to);
    config_free(open_table, &o);
    return code;
}

const struct cli_command cli_seal = {
    "seal",
    "-r AGE1... [options] FILE",
    "seal a file so that only its recipients open it",
    "Seal FILE ('-' is standard input) to recipients, as godwit identity makes "
    "them "
    "or age-keygen does. The sealed file may be kept anywhere: whoever keeps "
    "it learns its length and nothing else. docs/SEAL.md has the format; with "
    "--age it is a standard age file.",
    seal_table,
    run_seal,
};

const struct cli_command cli_open_command = {
    "open",
    "--identity FILE [options] FILE",
    "open a sealed file",
    "Open a file that godwit seal, a device or age sealed ('-' is standard "
    "input). The opened file gets its name only when all of it is proved "
    "genuine and whole; what goes to standard output is genuine, but whole "
    "only when the command succeeds.",
    open_table,
    run_open,
};
