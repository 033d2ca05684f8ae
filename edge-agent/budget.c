#include "edge-agent/budget.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#define DAY_MS ((uint64_t)86400 * 1000)
#define FILE_MAX 1024

static void load(struct budget *b)
{
    struct buf json = {0};

    if (fs_read(b->path, FILE_MAX, &json, NULL) == 0) {
        buf_char(&json, '\0');
        b->day = json_u64((char *)json.data, "day");
        b->base = json_u64((char *)json.data, "flash_bytes");
    }
    buf_free(&json);
}

static void save(const struct budget *b)
{
    struct buf json = {0};
    struct err err;

    if (b->path == NULL) {
        return;
    }
    buf_char(&json, '{');
    put_json_u64(&json, "day", b->day, false);
    put_json_u64(&json, "flash_bytes", b->base, true);
    buf_str(&json, "}\n");
    if (fs_write(b->path, json.data, json.len, 0600, &err) != 0) {
        log_line(LOG_WARN, "the day's budget was not written", "err", err.text,
                 NULL);
    }
    buf_free(&json);
}

void budget_set(struct budget *b, const char *path, uint64_t per_day)
{
    if (b->path == NULL && path != NULL) {
        b->path = mem_strdup(path);
        load(b);
    }
    b->per_day = per_day;
}

void budget_free(struct budget *b)
{
    free(b->path);
    *b = (struct budget){0};
}

uint64_t budget_today(struct budget *b, uint64_t flash_bytes, uint64_t now_ms)
{
    uint64_t day = now_ms / DAY_MS + 1;

    /* A counter that went back is another spool's, or lost its last seconds. */
    if (day != b->day || flash_bytes < b->base) {
        b->day = day;
        b->base = flash_bytes;
        save(b);
    }
    return flash_bytes - b->base;
}

bool budget_left(struct budget *b, uint64_t flash_bytes, uint64_t now_ms)
{
    return b->per_day == 0 || budget_today(b, flash_bytes, now_ms) < b->per_day;
}
