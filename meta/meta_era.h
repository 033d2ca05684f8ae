/* meta_era.h: which line of log a database is of.
 *
 * A restored or recovered catalogue goes on with indexes that other servers'
 * logs may have used for something else. It is of a new era: the time at which
 * it was made so, later than the era before; 0 is the first. Members of
 * different eras do not speak of the catalogue: the earlier one ends.
 *
 * It stands in the table "era" of the database, so a copy of the catalogue
 * brings it along; a database without that table is of era 0.
 *
 * Threads: as the connection's.
 */
#ifndef GODWIT_META_META_ERA_H
#define GODWIT_META_META_ERA_H

#include <stdint.h>

struct err;
struct sqlite3;

/* Of who has nothing yet and takes what it is given. */
#define META_ERA_NONE UINT64_MAX
#define META_ERA_MAX (1ull << 43) /* the year 2248 */

int meta_era_get(struct sqlite3 *db, uint64_t *out, struct err *err);
int meta_era_set(struct sqlite3 *db, uint64_t era, struct err *err);

#endif
