#include "cli/completion.h"

#include "base/buf.h"
#include "cli/cli.h"

static const char head[] =
    "# Completion of godwit for bash; made by `godwit completion`.\n"
    "_godwit()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
    "    COMPREPLY=()\n";

/* ':' parts words for readline: what stands before the last one is given
 * already. */
static const char tail[] =
    "    esac\n"
    "    if [[ $COMP_CWORD -eq 1 || $cur == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
    "    elif [[ $COMP_LINE =~ (^|[[:space:]])s3://[^/[:space:]]*$ ]]; then\n"
    "        words=$(godwit ls 2>/dev/null | sed -n "
    "'s,.*\\(s3://.*\\),\\1,p')\n"
    "        [[ $cur == s3:* ]] || words=${words//s3:/}\n"
    "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
    "        compopt -o nospace\n"
    "    else\n"
    "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
    "        compopt -o filenames\n"
    "    fi\n"
    "}\n"
    "complete -F _godwit godwit\n";

static void put_options(const struct config_row *table, struct buf *out)
{
    for (; table != NULL && table->key != NULL; table++) {
        buf_printf(out, "--%s ", table->key);
    }
}

void completion_bash(const struct cli_command *const *commands, size_t count,
                     struct buf *out)
{
    buf_str(out, head);
    buf_str(out, "    [[ $COMP_CWORD -gt 1 ]] || words=\"help man completion");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, " %s", commands[i]->name);
    }
    buf_str(out,
            "\"\n    [[ $COMP_CWORD -eq 1 ]] || case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "    %s) words=\"", commands[i]->name);
        put_options(commands[i]->table, out);
        buf_str(out, "--help\" ;;\n");
    }
    buf_str(out, tail);
}
