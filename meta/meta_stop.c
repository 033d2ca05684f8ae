#include "meta/meta_stop.h"

#include <unistd.h>

#include "base/log.h"

void meta_stop(const char *what, const char *text)
{
    log_errf(LOG_ERROR, "the catalogue stops the process", "%s: %s", what,
             text);
    _exit(META_STOP_EXIT);
}
