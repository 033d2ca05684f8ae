#include "edge-agent/metered.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

#define WORD_MAX 32

void metered_set(struct metered *m, const char *path)
{
    metered_free(m);
    m->path = path != NULL ? mem_strdup(path) : NULL;
}

void metered_free(struct metered *m)
{
    free(m->path);
    *m = (struct metered){0};
}

bool metered_word(const void *text, size_t len)
{
    static const char *const words[] = {"yes", "guess-yes", "true",
                                        "on",  "1",         "metered"};
    char word[WORD_MAX + 1];
    size_t n = 0;

    while (n < len && n < WORD_MAX &&
           strchr(" \t\r\n", ((const char *)text)[n]) == NULL) {
        word[n] = ((const char *)text)[n];
        n++;
    }
    word[n] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text_ieq(word, words[i])) {
            return true;
        }
    }
    return false;
}

/* Not fs_read: a pipe or a device must not make the agent wait. */
static bool look(const char *path)
{
    char text[WORD_MAX];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n;

    if (fd < 0) {
        return false;
    }
    n = read(fd, text, sizeof text);
    close(fd);
    return n > 0 && metered_word(text, (size_t)n);
}

bool metered_now(struct metered *m, uint64_t now_ms)
{
    if (m->path == NULL) {
        return false;
    }
    if (!m->looked || now_ms - m->looked_ms >= METERED_MS) {
        m->looked = true;
        m->looked_ms = now_ms;
        m->yes = look(m->path);
    }
    return m->yes;
}
