/* meta_stop.h: the end of a process that can no longer keep its promises.
 *
 * A failed log write or a database that cannot apply leaves no way to answer
 * truthfully: the process says why and ends; the next start replays the log.
 *
 * Threads: any.
 */
#ifndef GODWIT_META_META_STOP_H
#define GODWIT_META_META_STOP_H

#define META_STOP_EXIT 70 /* EX_SOFTWARE of sysexits.h */

/* Log "<what>: <text>" as an error and end the process at once. */
_Noreturn void meta_stop(const char *what, const char *text);

#endif
