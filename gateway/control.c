/* DATA/control: how the command line on this machine asks this server, made at
 * each start and readable by the server's user only. Its keys sign requests
 * below /-/ and nothing else, so that `godwit token create --data DIR` works
 * without root credentials at hand.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "gateway/gateway_internal.h"

#define SECRET_BYTES 20

static char *control_path(const struct gateway *g)
{
    return mem_printf("%s/control", g->options->data);
}

int control_write(struct gateway *g, struct err *err)
{
    char *path = control_path(g);
    struct buf text = {0};
    uint8_t secret[SECRET_BYTES];
    int rc;

    rng_bytes(secret, sizeof secret);
    text_hex(secret, sizeof secret, g->control_secret);
    buf_printf(&text,
               "[default]\naws_access_key_id = " CONTROL_KEY
               "\n"
               "aws_secret_access_key = %s\n"
               "region = %s\n"
               "endpoint_url = %s\n",
               g->control_secret, g->region, g->endpoint);
    if (gateway_ca_file(g) != NULL) {
        buf_printf(&text, "ca_bundle = %s\n", gateway_ca_file(g));
    }
    rc = fs_write(path, text.data, text.len, 0600, err);
    buf_wipe(&text);
    mem_wipe(secret, sizeof secret);
    free(path);
    return rc;
}

void control_remove(struct gateway *g)
{
    char *path = control_path(g);

    unlink(path);
    free(path);
}
