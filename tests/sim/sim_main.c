/* sim [--seed N] [--count M] [--seconds S] [--jobs J] [--trace]
 *     [--no-guards] [--without B1,B2,...]
 * Run the histories of seeds N, N + 1, ...; the exit status is 1 when something
 * that must always hold did not. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "tests/sim/sim.h"

#define FAILURES_SHOWN 40

struct plan {
    struct sim_options options;
    const char *without; /* as given */
    uint64_t seed, count, seconds, jobs;
};

static void usage(void)
{
    fprintf(stderr,
            "usage: sim [--seed N] [--count M] [--seconds S] "
            "[--jobs J] [--trace]\n"
            "           [--no-guards] [--without B1,B2,...]\n");
    exit(2);
}

static bool number_option(const char *name, uint64_t *out, char ***argv)
{
    if (strcmp(**argv, name) != 0) {
        return false;
    }
    ++*argv;
    if (**argv == NULL || !text_u64(**argv, out)) {
        usage();
    }
    return true;
}

/* "B1,B12" */
static unsigned guards_named(const char *list)
{
    unsigned all = 0;

    for (const char *p = list; *p != 0;) {
        char *end;
        unsigned long n = strtoul(p + 1, &end, 10);
        if (*p != 'B' || n == 0 || n > SIM_GUARD_MAX ||
            (*end != ',' && *end != 0)) {
            usage();
        }
        all |= SIM_GUARD(n);
        p = *end == ',' ? end + 1 : end;
    }
    return all;
}

static void read_arguments(struct plan *p, char **argv)
{
    for (argv++; *argv != NULL; argv++) {
        if (strcmp(*argv, "--no-guards") == 0) {
            p->without = "B1,B2,B3,B5";
            p->options.without = guards_named(p->without);
        } else if (strcmp(*argv, "--without") == 0 && argv[1] != NULL) {
            p->without = *++argv;
            p->options.without = guards_named(p->without);
        } else if (strcmp(*argv, "--trace") == 0) {
            p->options.trace = true;
        } else if (!number_option("--seed", &p->seed, &argv) &&
                   !number_option("--count", &p->count, &argv) &&
                   !number_option("--seconds", &p->seconds, &argv) &&
                   !number_option("--jobs", &p->jobs, &argv)) {
            usage();
        }
    }
}

static volatile uint64_t seed_now;

/* A fault of memory is a fault of some seed. */
static void on_crash(int number)
{
    char text[80];
    int n = snprintf(text, sizeof text, "seed %llu: signal %d\n",
                     (unsigned long long)seed_now, number);

    if (write(STDOUT_FILENO, text, (size_t)n) < 0) {
        _exit(2);
    }
    signal(number, SIG_DFL);
    raise(number);
}

/* Every @jobs-th seed from the @first on; how many failed, at most 255. */
static int run_seeds(const struct plan *p, uint64_t first)
{
    struct sim *totals = calloc(1, sizeof *totals);
    uint64_t start = clock_mono_ms(), end = start + p->seconds * 1000;
    uint64_t done = 0, failed = 0;

    for (uint64_t i = first; p->seconds > 0 || i < p->count; i += p->jobs) {
        struct sim_options o = p->options;
        char failure[SIM_FAILURE_MAX];

        if (p->seconds > 0 && clock_mono_ms() >= end) {
            break;
        }
        o.seed = p->seed + i;
        seed_now = o.seed;
        done++;
        if (!sim_run(&o, failure, totals) && ++failed <= FAILURES_SHOWN) {
            printf("seed %llu: %s\n  again: sim --seed %llu%s%s --trace\n",
                   (unsigned long long)o.seed, failure,
                   (unsigned long long)o.seed,
                   p->without != NULL ? " --without " : "",
                   p->without != NULL ? p->without : "");
            fflush(stdout);
        }
    }
    printf(
        "sim: %llu seeds, %llu failed, %.1f s; %.0f virtual s, %llu "
        "messages, %llu acknowledged of %zu, %llu elections, %llu crashes, "
        "%llu snapshots, %llu installed, %llu changes of members, "
        "%llu handed over\n",
        (unsigned long long)done, (unsigned long long)failed,
        (double)(clock_mono_ms() - start) / 1000, (double)totals->now / 1e6,
        (unsigned long long)totals->messages, (unsigned long long)totals->acked,
        totals->proposal_count, (unsigned long long)totals->elections,
        (unsigned long long)totals->crashes,
        (unsigned long long)totals->snapshots,
        (unsigned long long)totals->installs,
        (unsigned long long)totals->changes,
        (unsigned long long)totals->handed_over);
    fflush(stdout);
    free(totals);
    return failed > 255 ? 255 : (int)failed;
}

static int run_jobs(const struct plan *p)
{
    int worst = 0, status;

    for (uint64_t j = 0; j < p->jobs; j++) {
        pid_t pid = fork();
        if (pid == 0) {
            exit(run_seeds(p, j) > 0);
        }
        if (pid < 0) {
            perror("sim: fork");
            return 1;
        }
    }
    while (wait(&status) > 0) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            worst = 1;
        }
    }
    return worst;
}

int main(int argc, char **argv)
{
    struct plan p = {.seed = 1, .count = 1, .jobs = 1};

    (void)argc;
    read_arguments(&p, argv);
    if (p.options.trace) {
        setvbuf(stdout, NULL, _IOLBF, 0);
    }
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    if (p.jobs == 0) {
        usage();
    }
    return p.jobs == 1 ? run_seeds(&p, 0) > 0 : run_jobs(&p);
}
