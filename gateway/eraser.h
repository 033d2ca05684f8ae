/* eraser.h: erasures that were asked for, at work.
 *
 * A thread that goes over what each open request is about, where the catalogue
 * is led, and proposes to erase it; a request that something blocks is gone
 * over again when its block may have ended. What may be erased is judged in
 * apply (meta/apply_erase.c).
 *
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_ERASER_H
#define GODWIT_GATEWAY_ERASER_H

struct eraser;
struct gateway;

/* When the catalogue answers. */
struct eraser *eraser_start(struct gateway *g);
void eraser_stop(struct eraser *e); /* NULL is nothing */
/* There is something new to do. NULL is nothing. */
void eraser_wake(struct eraser *e);

#endif
