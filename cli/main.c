/* main.c: find the command and run it; help, version, man page, completion. */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/completion.h"
#include "gateway/gateway.h"

static const struct cli_command server_command = {
    "server",
    "--data DIR [options]",
    "serve S3 from a folder or drives",
    "Serve S3 from DIR: catalogue, drives and gateway in one process. Root "
    "credentials come from GODWIT_ACCESS_KEY_ID and "
    "GODWIT_SECRET_ACCESS_KEY, or else from DIR/credentials, which the first "
    "start makes. Every option may stand in a file of \"key = value\" lines "
    "given by --config FILE; flags win over it.",
    server_table,
    cmd_server,
};

static const struct cli_command verify_command = {
    "verify",
    "--data DIR [--repair] [options of godwit server]",
    "check every shard and row of a stopped store",
    "Check a stopped store: the catalogue's database and references, and for "
    "each object every shard on every drive. One line for each defect. With "
    "--repair, what can be is rebuilt and written again. Exits 0 when all is "
    "well, 1 when there are defects, 2 when it could not look.",
    NULL,
    cmd_verify,
};

static const struct cli_command *const commands[] = {
    &server_command,   &cli_status,     &cli_mb,       &cli_ls,
    &cli_cp,           &cli_cat,        &cli_rm,       &cli_stat,
    &cli_explain,      &cli_user,       &cli_key,      &cli_kms,
    &cli_erase,        &cli_receipt,    &cli_audit,    &cli_edge,
    &cli_token,        &cli_node,       &cli_drive,    &cli_catalogue,
    &cli_bucket,       &cli_cluster,    &cli_identity, &cli_seal,
    &cli_open_command, &verify_command, &cli_bench,
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static void print_help(FILE *out)
{
    fprintf(out,
            "usage: godwit COMMAND [options]\n\n"
            "An object store that speaks S3. Commands:\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-12s%s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(out,
            "  %-12s%s\n  %-12s%s\n  %-12s%s\n\n"
            "godwit COMMAND --help tells more. `godwit --version` prints the "
            "version.\n",
            "help", "tell about a command", "man",
            "print the manual page (roff)", "completion",
            "print the completion for bash");
}

/* Text for roff: no line may begin with a control character, '-' and '\' are
 * escaped, a blank line begins a paragraph. */
static void roff_text(struct buf *b, const char *text)
{
    bool line_start = true;

    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            buf_str(b, "\\&");
        }
        line_start = *text == '\n';
        if (text[0] == '\n' && text[1] == '\n') {
            buf_str(b, "\n.PP");
        } else if (*text == '\\') {
            buf_str(b, "\\e");
        } else if (*text == '-') {
            buf_str(b, "\\-");
        } else {
            buf_char(b, *text);
        }
    }
    buf_char(b, '\n');
}

static void man_command(struct buf *b, const struct cli_command *c)
{
    buf_printf(b, ".SS \"godwit %s ", c->name);
    for (const char *p = c->usage; *p != '\0'; p++) {
        buf_str(b, *p == '-' ? "\\-" : (char[]){*p, '\0'});
    }
    buf_str(b, "\"\n");
    roff_text(b, c->details);
    if (c->table != NULL) {
        config_man(c->table, b);
    }
}

static const char man_head[] =
    ".TH GODWIT 1 \"\" \"godwit " GODWIT_VERSION
    "\" \"User Commands\"\n"
    ".SH NAME\ngodwit \\- edge\\-to\\-cloud object store that speaks S3\n"
    ".SH SYNOPSIS\n.B godwit\n.I COMMAND\n[\\fIoptions\\fR]\n"
    ".SH DESCRIPTION\n"
    "One program is the server and the command line. Objects are named\n"
    "s3://BUCKET/KEY. Sizes are bytes, or take KiB, MiB, GiB or TiB; times\n"
    "are seconds, or take ms, s, m, h or d.\n"
    ".SH COMMANDS\n";

static const char man_tail[] =
    ".SH EXIT STATUS\n"
    "0 when done, 1 when it failed, 2 when it was asked wrongly.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B GODWIT_ENDPOINT\nServer to ask when \\-\\-endpoint is not given.\n"
    ".TP\n.B GODWIT_CA_BUNDLE\nCertificates to trust when \\-\\-ca is not "
    "given.\n"
    ".TP\n.B GODWIT_ACCESS_KEY_ID, GODWIT_SECRET_ACCESS_KEY\n"
    "Root credentials of the server; the other commands use them when the AWS "
    "ones are not set.\n"
    ".TP\n.B AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY\nCredentials.\n"
    ".TP\n.B AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE\n"
    "Section and place of the credentials file.\n"
    ".TP\n.B AWS_REGION, AWS_DEFAULT_REGION\nRegion to sign for.\n"
    ".SH FILES\n"
    ".TP\n.I ~/.aws/credentials\nCredentials, by section.\n"
    ".TP\n.I ./data/credentials\n"
    "Tried last, and only for a server on this machine: what\n"
    ".B godwit server \\-\\-data ./data\nwrote at its first start.\n"
    ".SH EXAMPLES\n.nf\n"
    "godwit server \\-\\-data ./data\n"
    "godwit mb s3://photos\n"
    "godwit cp \\-r ./album s3://photos/2026/\n"
    "godwit ls \\-r s3://photos\n"
    "tar c /etc | godwit cp \\- s3://photos/etc.tar\n"
    "godwit bench put \\-\\-size 4KiB \\-\\-duration 5s\n"
    ".fi\n";

static int print_man(void)
{
    struct buf b = {0};

    buf_str(&b, man_head);
    for (size_t i = 0; i < COMMANDS; i++) {
        man_command(&b, commands[i]);
    }
    buf_str(&b, man_tail);
    fwrite(b.data, 1, b.len, stdout);
    buf_free(&b);
    return CLI_OK;
}

static int print_completion(void)
{
    struct buf b = {0};

    completion_bash(commands, COMMANDS, &b);
    fwrite(b.data, 1, b.len, stdout);
    buf_free(&b);
    return CLI_OK;
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "godwit: unknown command \"%s\"\nTry: godwit help\n", name);
    return CLI_USAGE;
}

static int help(int argc, char **argv)
{
    const struct cli_command *c;
    char *help_args[] = {NULL, (char *)"--help", NULL};

    if (argc < 2) {
        print_help(stdout);
        return CLI_OK;
    }
    c = find_command(argv[1]);
    if (c == NULL) {
        return unknown_command(argv[1]);
    }
    help_args[0] = argv[1];
    return c->run(2, help_args);
}

static int dispatch(int argc, char **argv)
{
    const struct cli_command *c;

    if (argc == 0) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0) {
        printf("godwit %s\n", GODWIT_VERSION);
        return CLI_OK;
    }
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
        strcmp(argv[0], "help") == 0) {
        return help(argc, argv);
    }
    if (strcmp(argv[0], "man") == 0) {
        return print_man();
    }
    if (strcmp(argv[0], "completion") == 0) {
        return print_completion();
    }
    c = find_command(argv[0]);
    return c != NULL ? c->run(argc, argv) : unknown_command(argv[0]);
}

/* Standard output is a pipe whose reader had enough, as head. */
static bool reader_left(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

int main(int argc, char **argv)
{
    int code;

    signal(SIGPIPE, SIG_IGN); /* a write says EPIPE */
    code = dispatch(argc - 1, argv + 1);
    /* Output that did not arrive is a failure, as for a full disk. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_OK) {
        if (!reader_left()) {
            fprintf(stderr, "godwit: standard output: write failed\n");
        }
        code = CLI_FAILED;
    }
    return code;
}
