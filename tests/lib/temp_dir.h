/* temp_dir.h: a folder of a test's own, removed with all that is in it.
 *
 * Threads: any.
 */
#ifndef GODWIT_TESTS_LIB_TEMP_DIR_H
#define GODWIT_TESTS_LIB_TEMP_DIR_H

/* Give the path of a new folder under /tmp; temp_dir_free removes it. */
char *temp_dir_new(void);
void temp_dir_free(char *path);

/* Remove @path and what is below it; missing is no error. */
void temp_dir_remove(const char *path);

#endif
