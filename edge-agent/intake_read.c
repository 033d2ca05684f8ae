/* intake_read.c: what an intake holds, looked at. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "edge-agent/intake_internal.h"

int intake_meta_read(const struct spool_object *o, struct intake_meta *out,
                     struct err *err)
{
    struct wire_reader r;
    struct intake_meta m = {0};

    if (o->meta_len == 0) {
        *out = m;
        return 0;
    }
    wire_init(&r, o->meta, o->meta_len);
    m.content_type = get_text(&r, SPOOL_META_MAX);
    m.count = get_u16(&r);
    if (m.count > INTAKE_META_MAX) {
        wire_fail(&r);
        m.count = 0;
    }
    for (size_t i = 0; i < 2 * m.count; i++) {
        m.pairs[i] = get_text(&r, SPOOL_META_MAX);
    }
    if (!wire_done(&r)) {
        intake_meta_free(&m);
        return err_set(err, ERR_CORRUPT, "metadata cannot be read");
    }
    *out = m;
    return 0;
}

void intake_meta_free(struct intake_meta *m)
{
    free(m->content_type);
    for (size_t i = 0; i < 2 * m->count; i++) {
        free(m->pairs[i]);
    }
    *m = (struct intake_meta){0};
}

struct intake_envelope {
    struct spool_stream *stream;
    struct buf opening; /* head and header of a small one */
};

int intake_envelope_open(struct intake *in, uint64_t id,
                         struct intake_envelope **out, uint64_t *size,
                         struct err *err)
{
    struct intake_envelope *e = mem_alloc(sizeof *e);
    struct buf text = {0}, header = {0};
    struct spool_object o;
    uint64_t sequence;
    int code = spool_get(in->spool, id, &o, &text, err);

    if (code == 0 && o.kind != SPOOL_OBJECT) {
        code = err_set(err, ERR_NOT_FOUND, "a delete has no bytes");
    }
    if (code == 0 && (o.flags & SPOOL_FLAG_ENVELOPE) == 0) {
        code = spool_segment_of(in->spool, id, &sequence, &header, err);
        if (code == 0) {
            buf_reserve(&e->opening, SEAL_HEAD + header.len);
            e->opening.len = seal_head_write(o.seal_flags, o.link, header.data,
                                             header.len, e->opening.data);
        }
    }
    if (code == 0) {
        code = spool_stream_open(in->spool, id, &e->stream, err);
    }
    buf_free(&text);
    buf_free(&header);
    if (code != 0) {
        intake_envelope_close(e);
        return code;
    }
    *size = e->opening.len + o.stored_size;
    *out = e;
    return 0;
}

int intake_envelope_next(struct intake_envelope *e, struct buf *out, bool *more,
                         struct err *err)
{
    buf_append(out, e->opening.data, e->opening.len);
    buf_clear(&e->opening);
    return spool_stream_next(e->stream, out, more, err);
}

void intake_envelope_close(struct intake_envelope *e)
{
    if (e != NULL) {
        spool_stream_close(e->stream);
        buf_free(&e->opening);
        free(e);
    }
}

struct intake_read {
    struct intake_envelope *envelope;
    struct seal_opener *opener;
    struct unshrink *unshrink; /* when it was shrunk */
    struct buf sealed, text;
};

int intake_read_open(struct intake *in, uint64_t id, struct intake_read **out,
                     struct err *err)
{
    struct intake_read *r;
    uint64_t size;
    int code;

    if (!in->local_read) {
        return err_set(err, ERR_DENIED,
                       "what is buffered is sealed to the owner: this device "
                       "keeps no key (godwit-edge run --local-read keeps one "
                       "in memory)");
    }
    if (id < in->first_id) {
        return err_set(err, ERR_DENIED,
                       "it was sealed before the agent's last start, whose key "
                       "is gone");
    }
    r = mem_alloc(sizeof *r);
    code = intake_envelope_open(in, id, &r->envelope, &size, err);
    if (code != 0) {
        free(r);
        return code;
    }
    r->opener = seal_opener_new(&in->local, 1);
    *out = r;
    return 0;
}

/* What was opened, as it was before sealing. */
static int give_text(struct intake_read *r, bool last, struct buf *out,
                     struct err *err)
{
    bool shrunk = (r->text.len > 0 || last) &&
                  (seal_opener_flags(r->opener) & SEAL_FLAG_ZSTD) != 0;
    int code = 0;

    if (!shrunk) {
        buf_append(out, r->text.data, r->text.len);
        return 0;
    }
    if (r->unshrink == NULL) {
        r->unshrink = unshrink_new();
    }
    code = unshrink_update(r->unshrink, r->text.data, r->text.len, out, err);
    return code == 0 && last ? unshrink_final(r->unshrink, err) : code;
}

int intake_read_next(struct intake_read *r, struct buf *out, bool *more,
                     struct err *err)
{
    size_t opened = 0;
    int code;

    buf_clear(&r->sealed);
    buf_clear(&r->text);
    code = intake_envelope_next(r->envelope, &r->sealed, more, err);
    if (code != 0) {
        return code;
    }
    buf_reserve(&r->text, SEAL_OPEN_UPDATE_MAX(r->sealed.len) + SEAL_CHUNK);
    code = seal_opener_update(r->opener, r->sealed.data, r->sealed.len,
                              r->text.data, &opened, err);
    r->text.len = opened;
    if (code == 0 && !*more) {
        code = seal_opener_final(r->opener, r->text.data + r->text.len, &opened,
                                 err);
        r->text.len += code == 0 ? opened : 0;
    }
    return code == 0 ? give_text(r, !*more, out, err) : code;
}

void intake_read_close(struct intake_read *r)
{
    if (r != NULL) {
        intake_envelope_close(r->envelope);
        seal_opener_free(r->opener);
        unshrink_free(r->unshrink);
        buf_free(&r->sealed);
        buf_wipe(&r->text);
        free(r);
    }
}
