#include "base/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20)
#define KEY_MAX 40     /* longer ones get no suggestion */
#define HELP_COLUMN 28 /* where help's sentences start */
#define HELP_WIDTH 79  /* and where they end */
#define BOUND_MAX 32   /* a number and its unit */

static void *field_of(const struct config_row *row, void *config)
{
    return (char *)config + row->offset;
}

static const struct config_row *find_row(const struct config_row *table,
                                         const char *key)
{
    for (; table->key != NULL; table++) {
        if (strcmp(table->key, key) == 0) {
            return table;
        }
    }
    return NULL;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

/* Letters to insert, remove, replace or swap with their neighbour to make @b
 * of @a (optimal string alignment). Both are at most KEY_MAX long. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned d[KEY_MAX + 1][KEY_MAX + 1];
    unsigned a_len = (unsigned)strlen(a);
    unsigned b_len = (unsigned)strlen(b);

    for (unsigned i = 0; i <= a_len; i++) {
        d[i][0] = i;
    }
    for (unsigned j = 0; j <= b_len; j++) {
        d[0][j] = j;
    }
    for (unsigned i = 1; i <= a_len; i++) {
        for (unsigned j = 1; j <= b_len; j++) {
            unsigned other = a[i - 1] != b[j - 1];
            d[i][j] =
                min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + other);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
                a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < d[i][j]) {
                d[i][j] = d[i - 2][j - 2] + 1;
            }
        }
    }
    return d[a_len][b_len];
}

/* The row whose key @key was probably meant to be, or NULL. */
static const struct config_row *nearest_row(const struct config_row *table,
                                            const char *key)
{
    const struct config_row *best = NULL;
    unsigned best_distance = 3;

    if (strlen(key) > KEY_MAX) {
        return NULL;
    }
    for (; table->key != NULL; table++) {
        unsigned distance;
        if (strlen(table->key) > KEY_MAX) {
            continue;
        }
        distance = edit_distance(key, table->key);
        /* Most of its letters changed, it is another word. */
        if (distance < best_distance && distance * 2 <= strlen(table->key)) {
            best_distance = distance;
            best = table;
        }
    }
    return best;
}

static int unknown_key(const struct config_row *table, const char *dashes,
                       const char *key, struct err *err)
{
    const char *what = *dashes != 0 ? "option" : "setting";
    const struct config_row *near = nearest_row(table, key);

    if (near != NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "unknown %s %s%s: did you mean %s%s?", what, dashes, key,
                       dashes, near->key);
    }
    return err_set(err, ERR_BAD_INPUT, "unknown %s %s%s", what, dashes, key);
}

/* A bound as one would write it: the largest unit that divides it. */
static void print_bound(struct buf *b, const struct config_row *row, uint64_t v)
{
    static const struct {
        enum config_type type;
        const char *name;
        uint64_t factor;
    } units[] = {
        {CONFIG_SIZE, "TiB", (uint64_t)1 << 40},
        {CONFIG_SIZE, "GiB", (uint64_t)1 << 30},
        {CONFIG_SIZE, "MiB", (uint64_t)1 << 20},
        {CONFIG_SIZE, "KiB", (uint64_t)1 << 10},
        {CONFIG_DURATION, "d", 86400000},
        {CONFIG_DURATION, "h", 3600000},
        {CONFIG_DURATION, "m", 60000},
        {CONFIG_DURATION, "s", 1000},
        {CONFIG_DURATION, "ms", 1},
    };

    for (size_t i = 0; v > 0 && i < sizeof units / sizeof units[0]; i++) {
        if (units[i].type == row->type && v % units[i].factor == 0) {
            buf_printf(b, "%llu%s", (unsigned long long)(v / units[i].factor),
                       units[i].name);
            return;
        }
    }
    buf_printf(b, "%llu", (unsigned long long)v);
}

static int out_of_bounds(const struct config_row *row, const char *shown,
                         const char *value, bool low, struct err *err)
{
    struct buf bound = {0};

    print_bound(&bound, row, low ? row->min : row->max);
    err_set(err, ERR_BAD_INPUT, "%s: \"%s\" is %s, which is %s", shown, value,
            low ? "below the least" : "above the most",
            (const char *)bound.data);
    buf_free(&bound);
    return ERR_BAD_INPUT;
}

static int set_number(const struct config_row *row, void *config,
                      const char *shown, const char *value, struct err *err)
{
    const char *form;
    uint64_t v;
    bool ok;

    if (row->type == CONFIG_SIZE) {
        ok = text_size(value, &v);
        form = "a size, like 4096, 64KiB or 8MiB";
    } else if (row->type == CONFIG_DURATION) {
        ok = text_duration_ms(value, &v);
        form = "a time, like 250ms, 30s, 10m, 24h or 7d";
    } else {
        ok = text_u64(value, &v);
        form = "a whole number";
    }
    if (!ok) {
        return err_set(err, ERR_BAD_INPUT, "%s: \"%s\" is not %s", shown, value,
                       form);
    }
    if (v < row->min) {
        return out_of_bounds(row, shown, value, true, err);
    }
    if (row->max != 0 && v > row->max) {
        return out_of_bounds(row, shown, value, false, err);
    }
    *(uint64_t *)field_of(row, config) = v;
    return 0;
}

static int set_bool(const struct config_row *row, void *config,
                    const char *shown, const char *value, struct err *err)
{
    static const char *const words[] = {"false", "true", "no", "yes",
                                        "off",   "on",   "0",  "1"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text_ieq(value, words[i])) {
            *(bool *)field_of(row, config) = i % 2 != 0;
            return 0;
        }
    }
    return err_set(err, ERR_BAD_INPUT, "%s: \"%s\" is not true or false", shown,
                   value);
}

static void add_item(struct config_list *list, const char *value)
{
    list->items =
        mem_realloc(list->items, (list->count + 1) * sizeof list->items[0]);
    list->items[list->count++] = mem_strdup(value);
}

/* @shown is how errors name the key: "--listen" or "listen". */
static int set_row(const struct config_row *row, void *config,
                   const char *shown, const char *value, struct err *err)
{
    char **text;

    CHECK(row->type <= CONFIG_LIST);
    switch (row->type) {
        case CONFIG_BOOL:
            return set_bool(row, config, shown, value, err);
        case CONFIG_UINT:
        case CONFIG_SIZE:
        case CONFIG_DURATION:
            return set_number(row, config, shown, value, err);
        case CONFIG_STRING:
            text = field_of(row, config);
            free(*text);
            *text = mem_strdup(value);
            return 0;
        case CONFIG_LIST:
            add_item(field_of(row, config), value);
            return 0;
    }
    return ERR_BAD_INPUT; /* not reached: see the CHECK */
}

static void zero_row(const struct config_row *row, void *config)
{
    switch (row->type) {
        case CONFIG_BOOL:
            *(bool *)field_of(row, config) = false;
            break;
        case CONFIG_UINT:
        case CONFIG_SIZE:
        case CONFIG_DURATION:
            *(uint64_t *)field_of(row, config) = 0;
            break;
        case CONFIG_STRING:
            *(char **)field_of(row, config) = NULL;
            break;
        case CONFIG_LIST:
            *(struct config_list *)field_of(row, config) =
                (struct config_list){0};
            break;
    }
}

void config_init(const struct config_row *table, void *config)
{
    for (const struct config_row *row = table; row->key != NULL; row++) {
        zero_row(row, config);
        if (row->deflt != NULL) {
            /* Given items would be added to it and not replace it. */
            CHECK(row->type != CONFIG_LIST);
            CHECK(set_row(row, config, row->key, row->deflt, NULL) == 0);
        }
    }
}

void config_free(const struct config_row *table, void *config)
{
    for (const struct config_row *row = table; row->key != NULL; row++) {
        if (row->type == CONFIG_STRING) {
            free(*(char **)field_of(row, config));
            zero_row(row, config);
        } else if (row->type == CONFIG_LIST) {
            struct config_list *list = field_of(row, config);
            for (size_t i = 0; i < list->count; i++) {
                free(list->items[i]);
            }
            free(list->items);
            zero_row(row, config);
        }
    }
}

int config_set(const struct config_row *table, void *config, const char *key,
               const char *value, struct err *err)
{
    const struct config_row *row = find_row(table, key);

    if (row == NULL) {
        return unknown_key(table, "", key, err);
    }
    return set_row(row, config, key, value, err);
}

/* @flag (without its dashes and value) as a row; *@negated for --no-key. */
static const struct config_row *flag_row(const struct config_row *table,
                                         const char *flag, bool *negated)
{
    const struct config_row *row = find_row(table, flag);

    *negated = false;
    if (row == NULL && text_starts(flag, "no-")) {
        row = find_row(table, flag + 3);
        if (row != NULL && row->type != CONFIG_BOOL) {
            return NULL;
        }
        *negated = row != NULL;
    }
    return row;
}

/* One flag, @arg; @next (or NULL) stands after it. *@used_next is set when it
 * was the flag's value. */
static int set_flag(const struct config_row *table, void *config,
                    const char *arg, const char *next, bool *used_next,
                    struct err *err)
{
    const char *equals = strchr(arg, '=');
    size_t shown_len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
    char *shown = mem_strndup(arg, shown_len);
    const char *value = equals != NULL ? equals + 1 : NULL;
    bool negated;
    const struct config_row *row = flag_row(table, shown + 2, &negated);
    int rc;

    *used_next = false;
    if (row == NULL) {
        rc = unknown_key(table, "--", shown + 2, err);
        goto done;
    }
    if (negated && value != NULL) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "%s: takes no value, but \"%s\" was "
                     "given",
                     shown, value);
        goto done;
    }
    if (value == NULL && row->type == CONFIG_BOOL) {
        value = negated ? "false" : "true";
    } else if (value == NULL) {
        /* A flag after a flag: the value was forgotten. */
        if (next == NULL || text_starts(next, "--")) {
            rc = err_set(err, ERR_BAD_INPUT, "%s: needs a value: %s", shown,
                         row->arg != NULL ? row->arg : "VALUE");
            goto done;
        }
        value = next;
        *used_next = true;
    }
    rc = set_row(row, config, shown, value, err);
done:
    free(shown);
    return rc;
}

int config_args(const struct config_row *table, void *config, int argc,
                char **argv, int *rest, struct err *err)
{
    char **others = mem_calloc((size_t)argc + 1, sizeof others[0]);
    int count = 0;
    bool flags = true;

    for (int i = 0; i < argc; i++) {
        bool used_next;
        int rc;
        if (flags && strcmp(argv[i], "--") == 0) {
            flags = false;
            continue;
        }
        if (!flags || !text_starts(argv[i], "--") ||
            strcmp(argv[i], "--help") == 0) {
            others[count++] = argv[i];
            continue;
        }
        rc = set_flag(table, config, argv[i], i + 1 < argc ? argv[i + 1] : NULL,
                      &used_next, err);
        if (rc != 0) {
            free(others);
            return rc;
        }
        i += used_next;
    }
    memcpy(argv, others, (size_t)count * sizeof argv[0]);
    free(others);
    *rest = count;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cut blanks off both ends, in place. */
static char *trim(char *s)
{
    size_t len;

    while (is_blank(*s)) {
        s++;
    }
    len = strlen(s);
    while (len > 0 && is_blank(s[len - 1])) {
        len--;
    }
    s[len] = 0;
    return s;
}

/* Cut off a comment: '#' at the start or after a blank, not in quotes. */
static void cut_comment(char *s)
{
    bool quoted = false;

    for (char *p = s; *p != 0; p++) {
        if (*p == '"') {
            quoted = !quoted;
        } else if (*p == '#' && !quoted && (p == s || is_blank(p[-1]))) {
            *p = 0;
            return;
        }
    }
}

static int set_line(const struct config_row *table, void *config, char *line,
                    struct err *err)
{
    char *equals;
    char *value;
    size_t len;

    cut_comment(line);
    line = trim(line);
    if (*line == 0) {
        return 0;
    }
    equals = strchr(line, '=');
    if (equals == NULL) {
        return err_set(err, ERR_BAD_INPUT, "\"%s\" is not \"key = value\"",
                       line);
    }
    *equals = 0;
    value = trim(equals + 1);
    len = strlen(value);
    if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
        value[len - 1] = 0;
        value++;
    }
    return config_set(table, config, trim(line), value, err);
}

int config_file(const struct config_row *table, void *config, const char *path,
                struct err *err)
{
    struct buf text = {0};
    unsigned number = 1;
    char *line;
    int rc = fs_read(path, CONFIG_FILE_MAX, &text, err);

    if (rc != 0) {
        goto done;
    }
    line = (char *)text.data;
    if (strlen(line) != text.len) {
        rc = err_set(err, ERR_BAD_INPUT, "%s: has a NUL byte", path);
        goto done;
    }
    for (; line != NULL && rc == 0; number++) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = 0;
        }
        rc = set_line(table, config, line, err);
        if (rc != 0) {
            rc = err_wrap(err, rc, "%s:%u", path, number);
        }
        line = end;
    }
done:
    buf_free(&text);
    return rc;
}

static bool is_number(const struct config_row *row)
{
    return row->type == CONFIG_UINT || row->type == CONFIG_SIZE ||
           row->type == CONFIG_DURATION;
}

/* The row's sentence, bounds and default. */
static void describe(const struct config_row *row, struct buf *b)
{
    buf_str(b, row->help);
    if (row->type == CONFIG_LIST) {
        buf_str(b, " May be repeated.");
    }
    if (is_number(row) && row->max != 0) {
        buf_str(b, " From ");
        print_bound(b, row, row->min);
        buf_str(b, " to ");
        print_bound(b, row, row->max);
        buf_char(b, '.');
    } else if (is_number(row) && row->min != 0) {
        buf_str(b, " At least ");
        print_bound(b, row, row->min);
        buf_char(b, '.');
    }
    if (row->deflt != NULL && *row->deflt != 0) {
        buf_printf(b, " Default: %s.", row->deflt);
    }
}

/* Break @text at blanks so that it stands right of HELP_COLUMN. */
static void print_wrapped(struct buf *out, const char *text)
{
    size_t column = HELP_COLUMN;

    for (;;) {
        size_t len = strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + len > HELP_WIDTH) {
            buf_printf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            buf_char(out, ' ');
            column++;
        }
        buf_append(out, text, len);
        column += len;
        text += len;
        if (*text == 0) {
            break;
        }
        text++;
    }
    buf_char(out, '\n');
}

void config_help(const struct config_row *table, struct buf *out)
{
    for (const struct config_row *row = table; row->key != NULL; row++) {
        struct buf text = {0};
        size_t start = out->len;
        size_t width;

        if (row->type == CONFIG_BOOL) {
            buf_printf(out, "  --[no-]%s", row->key);
        } else {
            buf_printf(out, "  --%s %s", row->key,
                       row->arg != NULL ? row->arg : "VALUE");
        }
        width = out->len - start;
        if (width + 2 > HELP_COLUMN) {
            buf_char(out, '\n');
            width = 0;
        }
        buf_printf(out, "%*s", (int)(HELP_COLUMN - width), "");
        describe(row, &text);
        print_wrapped(out, (const char *)text.data);
        buf_free(&text);
    }
}

/* Escape what roff would take for its own: '-' alone is a typographic hyphen
 * that cannot be pasted into a shell. */
static void print_roff(struct buf *out, const char *text)
{
    if (*text == '.' || *text == '\'') {
        buf_str(out, "\\&");
    }
    for (; *text != 0; text++) {
        if (*text == '\\') {
            buf_str(out, "\\e");
        } else if (*text == '-') {
            buf_str(out, "\\-");
        } else {
            buf_char(out, *text);
        }
    }
}

void config_man(const struct config_row *table, struct buf *out)
{
    for (const struct config_row *row = table; row->key != NULL; row++) {
        struct buf text = {0};

        buf_str(out, ".TP\n\\fB\\-\\-");
        buf_str(out, row->type == CONFIG_BOOL ? "[no\\-]" : "");
        print_roff(out, row->key);
        buf_str(out, "\\fR");
        if (row->type != CONFIG_BOOL) {
            buf_str(out, " \\fI");
            print_roff(out, row->arg != NULL ? row->arg : "VALUE");
            buf_str(out, "\\fR");
        }
        buf_char(out, '\n');
        describe(row, &text);
        print_roff(out, (const char *)text.data);
        buf_char(out, '\n');
        buf_free(&text);
    }
}
