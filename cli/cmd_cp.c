/* godwit cp: copy between files and objects. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "cli/progress.h"
#include "cli/unseal.h"
#include "cli/upload.h"
#include "client/s3_client.h"
#include "crypto/seal_name.h"

#define MIB ((uint64_t)1 << 20)
#define DEPTH_MAX 256 /* of folders */

struct options {
    struct cli_options common;
    bool recursive;
    bool clobber;
    bool quiet;
    uint64_t parallel;
    uint64_t part_bytes;
    uint64_t multipart_min;
    char *content_type;
    char *identity;
    char *names;
    struct seal_names names_key;
    struct unseal_identities identities; /* of the file; none: as stored */
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "recursive", BOOL, recursive, NULL, 0, 0, NULL,
            "Copy all below a folder or prefix; -r for short."),
    CLI_ROW(struct options, "parallel", UINT, parallel, "4", 1,
            UPLOAD_PARALLEL_MAX, "N", "Parts or files at a time."),
    CLI_ROW(struct options, "part-size", SIZE, part_bytes, "16MiB", 5 * MIB,
            1024 * MIB, "BYTES", "Size of the parts of large files."),
    CLI_ROW(struct options, "multipart-min", SIZE, multipart_min, "32MiB",
            5 * MIB, 5120 * MIB, "BYTES",
            "Files of this size and more are sent in parts."),
    CLI_ROW(struct options, "content-type", STRING, content_type, NULL, 0, 0,
            "TYPE", "Type of the objects. Default: by the key's ending."),
    CLI_ROW(struct options, "clobber", BOOL, clobber, "true", 0, 0, NULL,
            "Replace what is there."),
    CLI_ROW(struct options, "identity", STRING, identity, NULL, 0, 0, "FILE",
            "Open sealed objects with the identities in FILE."),
    CLI_ROW(struct options, "names", STRING, names, NULL, 0, 0, "FILE",
            "Seal the object's key by the first identity in FILE; "
            "not with --recursive."),
    CLI_ROW(struct options, "quiet", BOOL, quiet, NULL, 0, 0, NULL,
            "Show no progress."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

enum direction { UP, DOWN, ACROSS };

/* One file or object to copy. */
struct item {
    char *from; /* path or key */
    char *to;   /* key or path */
    uint64_t size;
};

struct copy {
    const struct options *o;
    struct s3_client *client;
    const char *endpoint;
    struct progress *progress;
    enum direction direction;
    const char *from_bucket;
    const char *to_bucket;
    /* of a recursive copy */
    struct item *items;
    size_t count;
    pthread_mutex_t mutex;
    size_t next;     /* under mutex */
    uint64_t failed; /* under mutex */
};

/* ---- one ---- */

static struct upload_options upload_options(const struct copy *c,
                                            unsigned parallel)
{
    return (struct upload_options){.client = c->client,
                                   .endpoint = c->endpoint,
                                   .parallel = parallel,
                                   .part_bytes = c->o->part_bytes,
                                   .multipart_min = c->o->multipart_min,
                                   .content_type = c->o->content_type,
                                   .no_clobber = !c->o->clobber,
                                   .progress = c->progress};
}

static struct download_options download_options(const struct copy *c)
{
    return (struct download_options){
        .client = c->client,
        .endpoint = c->endpoint,
        .no_clobber = !c->o->clobber,
        .progress = c->progress,
        .identities = c->o->identity != NULL ? &c->o->identities : NULL};
}

static int copy_across(const struct copy *c, const struct item *i,
                       struct err *err)
{
    struct s3_info info;
    int rc = 0;

    if (!c->o->clobber) {
        rc = s3_client_head_object(c->client, c->to_bucket, i->to, &info, err);
        if (rc == 0) {
            s3_info_free(&info);
            return err_set(err, ERR_EXISTS, "s3://%s/%s: is there already",
                           c->to_bucket, i->to);
        }
        rc = rc == ERR_NO_KEY ? 0 : rc;
    }
    if (rc == 0) {
        rc = s3_client_copy_object(c->client, c->from_bucket, i->from,
                                   c->to_bucket, i->to, err);
    }
    if (rc == 0 && c->progress != NULL) {
        progress_add(c->progress, (int64_t)i->size);
    }
    return rc != 0 ? err_wrap(err, rc, "s3://%s/%s", c->from_bucket, i->from)
                   : 0;
}

static int copy_item(const struct copy *c, const struct item *i,
                     unsigned parallel, struct err *err)
{
    struct upload_options up = upload_options(c, parallel);
    struct download_options down = download_options(c);
    int rc;

    switch (c->direction) {
        case UP:
            return strcmp(i->from, "-") == 0
                       ? upload_stream(&up, STDIN_FILENO, c->to_bucket, i->to,
                                       err)
                       : upload_file(&up, i->from, c->to_bucket, i->to, err);
        case DOWN:
            rc =
                strcmp(i->to, "-") == 0
                    ? download_stream(&down, c->from_bucket, i->from,
                                      STDOUT_FILENO, err)
                    : download_file(&down, c->from_bucket, i->from, i->to, err);
            return rc != 0 ? err_wrap(err, rc, "s3://%s/%s", c->from_bucket,
                                      i->from)
                           : 0;
        case ACROSS:
            break;
    }
    return copy_across(c, i, err);
}

/* ---- many ---- */

static void add_item(struct copy *c, char *from, char *to, uint64_t size)
{
    if ((c->count & (c->count - 1)) == 0) {
        size_t cap = c->count == 0 ? 1 : c->count * 2;
        c->items = mem_realloc(c->items, cap * sizeof *c->items);
    }
    c->items[c->count++] = (struct item){from, to, size};
}

static void free_items(struct copy *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->items[i].from);
        free(c->items[i].to);
    }
    free(c->items);
    c->items = NULL;
    c->count = 0;
}

static void report(struct copy *c, int rc, const struct err *err)
{
    pthread_mutex_lock(&c->mutex);
    cli_fail(&cli_cp, rc, err);
    c->failed++;
    pthread_mutex_unlock(&c->mutex);
}

/* Large uploads are parallel in themselves and go one at a time, after the
 * small ones. */
static bool is_large(const struct copy *c, const struct item *i)
{
    return c->direction == UP && i->size >= c->o->multipart_min;
}

static void *copy_small(void *arg)
{
    struct copy *c = arg;

    for (;;) {
        const struct item *i = NULL;
        struct err err = {{0}};
        int rc = 0;
        pthread_mutex_lock(&c->mutex);
        while (c->next < c->count && is_large(c, &c->items[c->next])) {
            c->next++;
        }
        if (c->next < c->count) {
            i = &c->items[c->next++];
        }
        pthread_mutex_unlock(&c->mutex);
        if (i == NULL) {
            return NULL;
        }
        if (c->direction == DOWN) {
            rc = download_make_folders(i->to, &err);
        }
        if (rc == 0) {
            rc = copy_item(c, i, 1, &err);
        }
        if (rc != 0) {
            report(c, rc, &err);
        }
    }
}

static void copy_all(struct copy *c)
{
    pthread_t threads[UPLOAD_PARALLEL_MAX];
    unsigned started = 0;

    c->next = 0;
    while (started + 1 < c->o->parallel && started + 1 < c->count &&
           pthread_create(&threads[started], NULL, copy_small, c) == 0) {
        started++;
    }
    copy_small(c);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < c->count; i++) {
        struct err err = {{0}};
        int rc = 0;
        if (is_large(c, &c->items[i])) {
            rc = copy_item(c, &c->items[i], (unsigned)c->o->parallel, &err);
        }
        if (rc != 0) {
            report(c, rc, &err);
        }
    }
}

/* All regular files below @folder; links to files are followed, links to
 * folders are not. */
static int walk_folder(struct copy *c, const char *folder, const char *prefix,
                       unsigned depth, struct err *err)
{
    DIR *d = depth < DEPTH_MAX ? opendir(folder) : NULL;
    struct dirent *e;
    int rc = 0;

    if (depth == DEPTH_MAX) {
        return err_set(err, ERR_LIMIT, "%s: folders are too deep", folder);
    }
    if (d == NULL) {
        return err_errno(err, "%s", folder);
    }
    while (rc == 0 && (e = readdir(d)) != NULL) {
        struct stat st, link;
        char *path;
        char *key;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        path = mem_printf("%s/%s", folder, e->d_name);
        key = mem_printf("%s%s", prefix, e->d_name);
        if (stat(path, &st) != 0 || lstat(path, &link) != 0) {
            rc = err_errno(err, "%s", path);
        } else if (S_ISDIR(st.st_mode) && !S_ISLNK(link.st_mode)) {
            char *below = mem_printf("%s/", key);
            rc = walk_folder(c, path, below, depth + 1, err);
            free(below);
        } else if (S_ISREG(st.st_mode)) {
            add_item(c, path, key, (uint64_t)st.st_size);
            path = key = NULL;
        }
        free(path);
        free(key);
    }
    closedir(d);
    return rc;
}

/* Keys of one page below @prefix as paths below @folder. */
static void add_page(struct copy *c, const struct s3_page *p, size_t skip,
                     const char *to)
{
    for (size_t i = 0; i < p->object_count; i++) {
        const char *key = p->objects[i].key;
        const char *relative = key + skip;
        size_t len = strlen(relative);
        if (len == 0 || relative[len - 1] == '/') {
            if (c->direction == ACROSS && len > 0) {
                add_item(c, mem_strdup(key), mem_printf("%s%s", to, relative),
                         p->objects[i].size);
            }
            continue; /* a folder's mark is no file */
        }
        if (c->direction == DOWN && !download_safe_name(relative)) {
            struct err err = {{0}};
            report(c,
                   err_set(&err, ERR_DENIED,
                           "s3://%s/%s: would not stay below %s; not copied",
                           c->from_bucket, key, to),
                   &err);
            continue;
        }
        add_item(c, mem_strdup(key), mem_printf("%s%s", to, relative),
                 p->objects[i].size);
    }
}

/* Page by page, so that memory is bounded. */
static int copy_prefix(struct copy *c, const char *prefix, const char *to,
                       struct err *err)
{
    char *token = NULL;
    uint64_t total = 0;
    int rc = 0;

    do {
        struct s3_list l = {
            .bucket = c->from_bucket, .prefix = prefix, .token = token};
        struct s3_page p;
        rc = s3_client_list_objects(c->client, &l, &p, err);
        free(token);
        token = NULL;
        if (rc != 0) {
            return rc;
        }
        total += p.object_count;
        add_page(c, &p, strlen(prefix), to);
        token = p.next;
        p.next = NULL;
        s3_page_free(&p);
        copy_all(c);
        free_items(c);
    } while (token != NULL);
    if (total == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "s3://%s/%s: nothing there",
                     c->from_bucket, prefix);
    }
    return rc;
}

/* @s with a '/' at its end, unless it is empty. */
static char *as_folder(const char *s)
{
    size_t len = strlen(s);

    return mem_printf("%s%s", s, len == 0 || s[len - 1] == '/' ? "" : "/");
}

static int copy_recursive(struct copy *c, const char *from,
                          const char *from_key, const char *to, struct err *err)
{
    char *target = as_folder(to);
    char *source = as_folder(from_key);
    uint64_t total = 0;
    int rc;

    if (c->direction == ACROSS && strcmp(c->from_bucket, c->to_bucket) == 0 &&
        text_starts(target, source)) {
        /* Copies would be listed and copied again, for ever. */
        rc = err_set(err, ERR_BAD_INPUT, "%s: would be copied into itself",
                     from);
    } else if (c->direction == UP) {
        char *folder = mem_strdup(from);
        size_t len = strlen(folder);
        while (len > 1 && folder[len - 1] == '/') {
            folder[--len] = '\0';
        }
        rc = walk_folder(c, folder, target, 0, err);
        free(folder);
        for (size_t i = 0; i < c->count; i++) {
            total += c->items[i].size;
        }
        c->progress = progress_new(from, total, c->o->quiet);
        if (rc == 0) {
            copy_all(c);
        }
    } else {
        c->progress = progress_new(from, 0, c->o->quiet);
        rc = copy_prefix(c, source, target, err);
    }
    free_items(c);
    free(source);
    free(target);
    if (rc == 0 && c->failed > 0) {
        rc = err_set(err, ERR_IO, "%llu not copied",
                     (unsigned long long)c->failed);
    }
    return rc;
}

/* ---- names ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static bool is_folder(const char *path)
{
    struct stat st;
    size_t len = strlen(path);

    return (len > 0 && path[len - 1] == '/') ||
           (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* The name that a single copy gets: @to, or below it. */
static char *single_name(const struct copy *c, const char *from, const char *to)
{
    size_t len = strlen(to);
    bool into = c->direction == DOWN ? strcmp(to, "-") != 0 && is_folder(to)
                                     : len == 0 || to[len - 1] == '/';

    if (!into) {
        return mem_strdup(to);
    }
    return mem_printf("%s%s%s", to, len == 0 || to[len - 1] == '/' ? "" : "/",
                      base_name(from));
}

static uint64_t size_of_source(const struct copy *c, const char *from)
{
    struct s3_info info;
    struct stat st;
    uint64_t size = 0;

    if (c->direction == UP) {
        return stat(from, &st) == 0 && S_ISREG(st.st_mode)
                   ? (uint64_t)st.st_size
                   : 0;
    }
    /* Only for who watches. */
    if (!c->o->quiet && isatty(STDERR_FILENO) == 1 &&
        s3_client_head_object(c->client, c->from_bucket, from, &info, NULL) ==
            0) {
        size = info.size;
        s3_info_free(&info);
    }
    return size;
}

/* The object's key becomes its sealed form. */
static int seal_key_of(const struct copy *c, struct item *i, struct err *err)
{
    char *sealed;
    int rc = unseal_name(&c->o->names_key, c->direction == UP ? i->to : i->from,
                         &sealed, err);

    if (rc != 0) {
        return rc;
    }
    if (c->direction == UP) {
        free(i->to);
        i->to = sealed;
    } else {
        i->from = sealed;
    }
    return 0;
}

static int copy_single(struct copy *c, const char *from, const char *to,
                       struct err *err)
{
    struct item i = {.from = (char *)from};
    int rc = 0;

    if (from[0] == '\0') {
        return err_set(err, ERR_BAD_INPUT,
                       "s3://%s names no object; -r copies "
                       "all",
                       c->from_bucket);
    }
    i.to = single_name(c, from, to);
    i.size = size_of_source(c, from);
    c->progress = progress_new(base_name(from), i.size, c->o->quiet);
    if (i.to[0] == '\0' || strcmp(base_name(i.to), "") == 0 ||
        (strcmp(from, "-") == 0 && strcmp(base_name(i.to), "-") == 0 &&
         c->direction == UP && strcmp(to, i.to) != 0)) {
        rc = err_set(err, ERR_BAD_INPUT, "%s: say what the copy's name is",
                     from);
    }
    if (rc == 0 && c->direction == DOWN && strcmp(i.to, "-") != 0) {
        rc = download_make_folders(i.to, err);
    }
    if (rc == 0 && c->o->names != NULL) {
        rc = seal_key_of(c, &i, err);
    }
    if (rc == 0) {
        rc = copy_item(c, &i, (unsigned)c->o->parallel, err);
    }
    if (i.from != from) {
        free(i.from);
    }
    free(i.to);
    return rc;
}

/* From a name to a name. */
static int copy(const struct options *o, struct s3_client *client,
                const char *from, const char *to, struct err *err)
{
    struct cli_target source = {0};
    struct cli_target target = {0};
    struct copy c = {
        .o = o, .client = client, .endpoint = cli_endpoint(&o->common)};
    const char *from_name = from;
    const char *to_name = to;
    int rc = 0;

    if (!cli_is_remote(from) && !cli_is_remote(to)) {
        return err_set(err, ERR_BAD_INPUT,
                       "neither %s nor %s begins with s3://", from, to);
    }
    c.direction = !cli_is_remote(from) ? UP : cli_is_remote(to) ? ACROSS : DOWN;
    if (c.direction != UP) {
        rc = cli_target(from, true, &source, err);
        from_name = source.key;
    }
    if (rc == 0 && c.direction != DOWN) {
        rc = cli_target(to, true, &target, err);
        to_name = target.key;
    }
    if (rc == 0 && o->identity != NULL && c.direction != DOWN) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "--identity opens what is copied from a store to a file");
    }
    if (rc == 0 && o->names != NULL &&
        (c.direction == ACROSS || o->recursive)) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "--names: for one file to or from a store");
    }
    if (rc == 0 && ((c.direction != UP && source.bucket[0] == '\0') ||
                    (c.direction != DOWN && target.bucket[0] == '\0'))) {
        rc = err_set(err, ERR_BAD_INPUT, "s3:// names no bucket");
    }
    if (rc == 0) {
        c.from_bucket = source.bucket;
        c.to_bucket = target.bucket;
        pthread_mutex_init(&c.mutex, NULL);
        rc = o->recursive ? copy_recursive(&c, from, from_name, to_name, err)
                          : copy_single(&c, from_name, to_name, err);
        pthread_mutex_destroy(&c.mutex);
        progress_free(c.progress);
    }
    cli_target_free(&source);
    cli_target_free(&target);
    return rc;
}

/* With several sources the last name must be a place for many. */
static bool takes_many(const char *to)
{
    const char *key = cli_is_remote(to) ? strchr(to + 5, '/') : NULL;

    if (!cli_is_remote(to)) {
        return is_folder(to);
    }
    return key == NULL || key[1] == '\0' || to[strlen(to) - 1] == '/';
}

static int run(int argc, char **argv)
{
    struct options o;
    struct err err = {{0}};
    struct s3_client *c = NULL;
    int code = CLI_OK;
    int rest;
    int rc = 0;

    if (!cli_args(&cli_cp, &o, argc, argv, 2, 1000000, &rest, &code)) {
        return code;
    }
    if (rest > 2 && !takes_many(argv[rest])) {
        rc = err_set(&err, ERR_BAD_INPUT,
                     "%s: several sources need a folder, which ends in '/'",
                     argv[rest]);
    }
    o.identities = (struct unseal_identities){NULL, 0};
    if (rc == 0 && o.identity != NULL) {
        rc = unseal_read_identities(o.identity, &o.identities, &err);
    }
    if (rc == 0 && o.names != NULL) {
        rc = unseal_read_names(o.names, &o.names_key, &err);
    }
    rc = rc != 0 ? rc : cli_open(&o.common, &c, &err);
    if (rc != 0) {
        code = cli_fail(&cli_cp, rc, &err);
    }
    for (int i = 1; c != NULL && i < rest; i++) {
        rc = copy(&o, c, argv[i], argv[rest], &err);
        if (rc != 0) {
            code = cli_fail(&cli_cp, rc, &err);
        }
    }
    s3_client_free(c);
    unseal_identities_free(&o.identities);
    mem_wipe(&o.names_key, sizeof o.names_key);
    config_free(table, &o);
    return code;
}

const struct cli_command cli_cp = {
    "cp",
    "[options] SOURCE ... TARGET",
    "copy files to objects and back",
    "Copy files to objects, objects to files, or objects to objects. Objects "
    "are s3://BUCKET/KEY, '-' is standard input or output. A target that ends "
    "in '/', is a folder or only a bucket gets the source's name below it.\n\n"
    "Large files go in parts; when an upload or download was interrupted, the "
    "same command goes on where it stopped. With --recursive links to files "
    "are followed, links to folders are not, and keys that would leave the "
    "target folder are refused. With --identity each object must be sealed (an "
    "envelope or an age file) and is opened on the way; the file gets its name "
    "only when it is whole and genuine.",
    table,
    run,
};
