#include "gateway/gateway_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"

#define FILE_MAX 65536
#define ACCESS_KEY_LEN 20
#define SECRET_KEY_LEN 40

/* The value of "name = value" in the [default] section of @text (cut up). */
static char *ini_value(const char *text, const char *name)
{
    char *copy = mem_strdup(text);
    char *save = NULL;
    char *found = NULL;
    bool in_default = false;

    for (char *line = strtok_r(copy, "\r\n", &save);
         line != NULL && found == NULL; line = strtok_r(NULL, "\r\n", &save)) {
        char key[64];
        char value[256];
        if (line[0] == '[') {
            in_default = strncmp(line, "[default]", 9) == 0;
        } else if (in_default &&
                   sscanf(line, " %63[^= ] = %255s", key, value) == 2 &&
                   strcmp(key, name) == 0) {
            found = mem_strdup(value);
        }
    }
    free(copy);
    return found;
}

static void random_text(char *out, size_t len, const char *alphabet)
{
    size_t n = strlen(alphabet);

    for (size_t i = 0; i < len; i++) {
        out[i] = alphabet[rng_u64() % n];
    }
    out[len] = '\0';
}

int credentials_save(const char *data, const char *access_key,
                     const char *secret_key, struct err *err)
{
    char *path = mem_printf("%s/credentials", data);
    struct buf text = {0};
    int rc;

    buf_printf(&text,
               "[default]\naws_access_key_id = %s\n"
               "aws_secret_access_key = %s\n",
               access_key, secret_key);
    rc = fs_write(path, text.data, text.len, 0600, err);
    buf_wipe(&text);
    free(path);
    return rc;
}

void credentials_draw(char access_key[21], char secret_key[41])
{
    _Static_assert(ACCESS_KEY_LEN == 20 && SECRET_KEY_LEN == 40, "as it says");
    access_key[0] = 'G';
    access_key[1] = 'W';
    random_text(access_key + 2, ACCESS_KEY_LEN - 2,
                "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567");
    random_text(secret_key, SECRET_KEY_LEN,
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                "0123456789");
}

static int make(const char *data, char **access_key, char **secret_key,
                struct err *err)
{
    char access[ACCESS_KEY_LEN + 1];
    char secret[SECRET_KEY_LEN + 1];
    int rc;

    credentials_draw(access, secret);
    rc = credentials_save(data, access, secret, err);
    if (rc == 0) {
        *access_key = mem_strdup(access);
        *secret_key = mem_strdup(secret);
    }
    mem_wipe(secret, sizeof secret);
    return rc;
}

int credentials_load(const char *data, char **access_key, char **secret_key,
                     bool *made, struct err *err)
{
    const char *env_access = getenv("GODWIT_ACCESS_KEY_ID");
    const char *env_secret = getenv("GODWIT_SECRET_ACCESS_KEY");
    struct buf text = {0};
    char *path;
    int rc;

    *made = false;
    if ((env_access != NULL) != (env_secret != NULL)) {
        return err_set(err, ERR_BAD_INPUT,
                       "GODWIT_ACCESS_KEY_ID and GODWIT_SECRET_ACCESS_KEY: "
                       "set both or none");
    }
    if (env_access != NULL) {
        if (strlen(env_access) < 3 || strlen(env_access) > 128 ||
            strlen(env_secret) < 8) {
            return err_set(err, ERR_BAD_INPUT,
                           "GODWIT_ACCESS_KEY_ID needs 3 to 128 characters, "
                           "GODWIT_SECRET_ACCESS_KEY at least 8");
        }
        *access_key = mem_strdup(env_access);
        *secret_key = mem_strdup(env_secret);
        return 0;
    }
    path = mem_printf("%s/credentials", data);
    rc = fs_read(path, FILE_MAX, &text, err);
    if (rc == ERR_NOT_FOUND) {
        *made = true;
        rc = make(data, access_key, secret_key, err);
    } else if (rc == 0) {
        *access_key = ini_value((char *)text.data, "aws_access_key_id");
        *secret_key = ini_value((char *)text.data, "aws_secret_access_key");
        if (*access_key == NULL || *secret_key == NULL) {
            free(*access_key);
            free(*secret_key);
            rc = err_set(err, ERR_BAD_INPUT,
                         "%s: [default] needs aws_access_key_id and "
                         "aws_secret_access_key",
                         path);
        }
    }
    buf_wipe(&text);
    free(path);
    return rc;
}
