/* godwit verify: check the catalogue and every shard of a stopped store. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/cli.h"
#include "gateway/gateway.h"

#define DEFECTS_SHOWN_MAX 1000

struct tally {
    uint64_t lines;
};

static void on_defect(void *arg, const char *line)
{
    struct tally *t = arg;

    if (t->lines++ < DEFECTS_SHOWN_MAX) {
        printf("%s\n", line);
    } else if (t->lines == DEFECTS_SHOWN_MAX + 1) {
        printf("... more than %d defects; only counted from here on\n",
               DEFECTS_SHOWN_MAX);
    }
}

static void usage(FILE *out)
{
    fprintf(out,
            "usage: godwit verify --data DIR [--repair] [options of godwit "
            "server]\n\n"
            "Check a stopped store: the catalogue's database and references, "
            "and for each\nobject every shard on every drive, block by block. "
            "One line for each defect.\n\n"
            "  --repair    Rebuild and write again what can be.\n\n"
            "Give --ec, --drives or --drive as the server has them. Exits 0 "
            "when all is\nwell, 1 when there are defects, 2 when it could not "
            "look.\n");
}

/* Take "--repair" out of @argv. */
static bool take_repair(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--repair") == 0) {
            memmove(&argv[i], &argv[i + 1],
                    sizeof argv[0] * (size_t)(*argc - i - 1));
            (*argc)--;
            return true;
        }
    }
    return false;
}

int cmd_verify(int argc, char **argv)
{
    struct server_options o = {0};
    struct tally tally = {0};
    struct err err = {{0}};
    uint64_t defects = 0;
    bool repair = take_repair(&argc, argv);
    int rest = 0;
    int rc;

    if (argc > 1 &&
        (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        usage(stdout);
        return 0;
    }
    config_init(server_table, &o);
    rc = config_args(server_table, &o, argc - 1, argv + 1, &rest, &err);
    if (rc == 0 && rest > 0) {
        rc = err_set(&err, ERR_BAD_INPUT, "%s: not an option of godwit verify",
                     argv[1]);
    }
    if (rc == 0) {
        rc = gateway_verify(&o, repair, on_defect, &tally, &defects, &err);
    }
    config_free(server_table, &o);
    if (rc != 0) {
        fprintf(stderr, "godwit verify: %s\n", err.text);
        return 2;
    }
    printf("%llu defect%s found%s\n", (unsigned long long)defects,
           defects == 1 ? "" : "s", repair ? "; repaired what can be" : "");
    return defects > 0 ? 1 : 0;
}
