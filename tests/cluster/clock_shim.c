/* clock_shim.c: a wall clock that tests move, by LD_PRELOAD.
 *
 * GODWIT_TEST_CLOCK names a file of one int64: nanoseconds to add to the time
 * of day. It is mapped, so a write to it moves the clock of a running server
 * at once. The monotonic clock stays as it is, as it does on real machines
 * when somebody sets the time. (A time namespace moves only the other two
 * clocks, and only before the start.) */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const volatile int64_t *shift;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void clock_shim_open(void)
{
    const char *path = getenv("GODWIT_TEST_CLOCK");
    void *found = dlsym(RTLD_NEXT, "clock_gettime");
    real_gettime = (int (*)(clockid_t, struct timespec *))found;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        shift = map;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    if (!real_gettime) /* called by another library's start */
        clock_shim_open();
    int rc = real_gettime(id, out);
    if (rc == 0 && shift &&
        (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t now = out->tv_sec * SECOND + out->tv_nsec + *shift;
        out->tv_sec = now / SECOND;
        out->tv_nsec = now % SECOND;
    }
    return rc;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    int rc = clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
