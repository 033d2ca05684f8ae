/* completion.h: completion of commands and options for bash.
 *
 * The script knows every command and its options from their tables; for what
 * begins with s3:// it asks the server that $GODWIT_ENDPOINT names for buckets.
 *
 * Threads: one.
 */
#ifndef GODWIT_CLI_COMPLETION_H
#define GODWIT_CLI_COMPLETION_H

#include <stddef.h>

struct buf;
struct cli_command;

void completion_bash(const struct cli_command *const *commands, size_t count,
                     struct buf *out);

#endif
