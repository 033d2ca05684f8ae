/* main.c: the agent that stands on devices; find the command and run it. */
#include <stdio.h>
#include <string.h>

static int print_help(FILE *out)
{
    fprintf(out,
            "usage: godwit-edge COMMAND [options]\n\n"
            "The agent of a Godwit store, for devices. Commands:\n\n"
            "  help      tell about a command\n\n"
            "`godwit-edge --version` prints the version.\n");
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("godwit-edge %s\n", GODWIT_VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        strcmp(name, "help") == 0) {
        return print_help(stdout);
    }
    if (*name != '\0') {
        fprintf(stderr, "godwit-edge: unknown command \"%s\"\n", name);
    }
    print_help(stderr);
    return 2;
}
