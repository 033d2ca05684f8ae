/* config.h: one table for every setting.
 *
 * A table row gives key, type, place in the struct, default, bounds, unit and
 * help. The same table reads flags (--listen-address x), reads a file of
 * "key = value" lines ('#' at the start or after a blank starts a comment; a
 * value in double quotes may hold both), checks bounds, and prints --help and
 * the man page. A row is stated once. What comes later replaces what was set
 * before, but for CONFIG_LIST, which grows.
 *
 * Strings are given to the struct and freed by config_free.
 * Threads: at start only.
 */
#ifndef GODWIT_BASE_CONFIG_H
#define GODWIT_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

enum config_type {
    CONFIG_BOOL,     /* bool; a bare flag is true */
    CONFIG_UINT,     /* uint64_t */
    CONFIG_SIZE,     /* uint64_t, bytes; text_size */
    CONFIG_DURATION, /* uint64_t, ms; text_duration_ms */
    CONFIG_STRING,   /* char * */
    CONFIG_LIST,     /* struct config_list; the flag may be repeated */
};

struct config_list {
    char **items;
    size_t count;
};

struct config_row {
    const char *key; /* "listen"; flag --listen; NULL ends the table */
    enum config_type type;
    size_t offset;     /* offsetof in the struct */
    const char *deflt; /* as text; NULL: zero or empty */
    uint64_t min, max; /* for numbers; max 0: no bound */
    const char *arg;   /* what help calls the value: "ADDR:PORT" */
    const char *help;  /* one sentence */
};

/* Set defaults in @config. */
void config_init(const struct config_row *table, void *config);
void config_free(const struct config_row *table, void *config);

/* Set one key. ERR_BAD_INPUT names the key, the value and the reason; for an
 * unknown key, also the one that was probably meant. */
int config_set(const struct config_row *table, void *config, const char *key,
               const char *value, struct err *err);

/* Read "--key value", "--key=value" and, for CONFIG_BOOL, "--key" and
 * "--no-key". Other arguments (also -h, --help and what follows "--") are
 * counted and moved to the front of @argv from index 0; their number is written
 * to @rest. @argv starts with the first argument, not the program's name. On
 * failure @argv is untouched and the flags before the bad one are set. */
int config_args(const struct config_row *table, void *config, int argc,
                char **argv, int *rest, struct err *err);

/* Read a file; an error names the file and line. */
int config_file(const struct config_row *table, void *config, const char *path,
                struct err *err);

/* Options as --help shows them, and as man's OPTIONS section (roff). */
void config_help(const struct config_row *table, struct buf *out);
void config_man(const struct config_row *table, struct buf *out);

#endif
