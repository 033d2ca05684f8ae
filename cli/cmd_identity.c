/* godwit identity: identities to open what is sealed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/unseal.h"
#include "crypto/seal_key.h"

struct options {
    char *output;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "output", STRING, output, NULL, 0, 0, "FILE",
            "create: write the identity to FILE, which must not be there."),
    CLI_ROWS_END,
};

/* The file is new and nobody else's from its first moment. */
static int write_new(const char *path, const struct buf *b, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = 0;

    if (fd < 0) {
        return errno == EEXIST
                   ? err_set(err, ERR_EXISTS, "%s: is there already", path)
                   : err_errno(err, "%s", path);
    }
    for (size_t at = 0; at < b->len && rc == 0;) {
        ssize_t n = write(fd, b->data + at, b->len - at);
        if (n < 0 && errno != EINTR) {
            rc = err_errno(err, "%s", path);
        }
        at += n > 0 ? (size_t)n : 0;
    }
    if (rc == 0 && fsync(fd) != 0) {
        rc = err_errno(err, "%s", path);
    }
    close(fd);
    if (rc != 0) {
        unlink(path);
    }
    return rc;
}

static int create(const struct options *o, struct err *err)
{
    char recipient[SEAL_RECIPIENT_TEXT], secret[SEAL_IDENTITY_TEXT];
    char time[TEXT_TIME_MAX];
    struct seal_identity identity;
    struct seal_recipient r;
    struct buf b = {0};
    int rc = 0;

    seal_identity_new(&identity);
    seal_identity_recipient(&identity, &r);
    seal_recipient_format(&r, recipient);
    buf_reserve(&b, 512); /* so that no copy is left behind by growing */
    buf_printf(&b, "# created: %s\n# public key: %s\n%s\n",
               text_iso8601(clock_real_ms(), time), recipient,
               seal_identity_format(&identity, secret));
    if (o->output != NULL) {
        rc = write_new(o->output, &b, err);
        if (rc == 0) {
            printf("%s\n", recipient);
        }
    } else {
        fwrite(b.data, 1, b.len, stdout);
    }
    buf_wipe(&b);
    mem_wipe(secret, sizeof secret);
    mem_wipe(&identity, sizeof identity);
    return rc;
}

static int show(const char *path, struct err *err)
{
    struct unseal_identities all;
    int rc = unseal_read_identities(path, &all, err);

    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < all.count; i++) {
        char recipient[SEAL_RECIPIENT_TEXT];
        struct seal_recipient r;
        seal_identity_recipient(&all.items[i], &r);
        printf("%s\n", seal_recipient_format(&r, recipient));
    }
    unseal_identities_free(&all);
    return 0;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    int rc;

    if (strcmp(argv[1], "create") == 0 && rest == 1) {
        rc = create(o, err);
    } else if (strcmp(argv[1], "show") == 0 && rest == 2) {
        rc = show(argv[2], err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT, "say create, or show FILE");
    }
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_identity, &o, argc, argv, 1, 2, act);
}

const struct cli_command cli_identity = {
    "identity",
    "create|show [options] [FILE]",
    "make identities that open sealed objects",
    "create makes an identity, in the form of age-keygen. With --output it "
    "goes "
    "to a file of mode 0600 and its public recipient, age1..., is printed: "
    "godwit seal, age and devices seal to it. Keep the file: who loses it "
    "cannot open what was sealed, and nobody else can. show FILE prints the "
    "recipients of the identities in FILE.",
    table,
    run,
};
