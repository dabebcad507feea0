/* Fuzz target: what one end says of itself inside an otherwise true Noise handshake: it arrives as itself or not at all.
 * Run by libFuzzer or by standalone.c. The first byte says who speaks, and whether the input follows a true payload, or stands
 * alone, or only its extensions are the input's.
 * Serves libp2p/specs noise/README.md, "libp2p Data in Handshake Messages". */
#include "../unit/pair.h"
#include "noise.pb.gen.h"
#include "scene.h"

enum { ALONE, AFTER, EXTENSIONS };

static bool put_payload(struct pg_transport *t, unsigned how, struct pg_bytes in)
{
    struct pg_writer w = pg_writer(t->noise_payload, sizeof t->noise_payload);
    if (how != ALONE)
        pg_put_bytes(&w, pg_bytes(t->noise.payload, t->noise.payload_len));
    if (how == EXTENSIONS) {
        pg_put_uvarint(&w, 4 << 3 | 2);
        pg_put_uvarint(&w, in.len);
    }
    pg_put_bytes(&w, in);
    t->noise_payload_len = w.len;
    return !w.failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pair_options small = {.max_streams = 16, .memory = 4 << 20};
    if (size == 0)
        return 0;
    struct pair *p = pair_new(&small);
    struct pair_end *said = &p->ends[data[0] & 1], *heard = &p->ends[!(data[0] & 1)];
    unsigned how = (data[0] >> 1) % 3;
    if (put_payload(&said->transport, how, pg_bytes(data + 1, size - 1))) {
        pair_link(p);
        pair_pass(p, 60000);
        FUZZ_WANT(heard->n_arrived + heard->n_lost > 0 && heard->n_lost <= 1);
        if (heard->n_arrived && heard->conn)
            FUZZ_WANT(pg_peer_id_equal(&heard->conn->peer, pg_identity_peer_id(said->identity)));
        /* Whoever says less than it means is no worse: the two then disagree on how the muxer is agreed on. */
        static const enum pg_err reasons[] = {PG_ERR_NOISE_BAD_MESSAGE, PG_ERR_NOISE_BAD_IDENTITY, PG_ERR_KEY_UNSUPPORTED,
                                              PG_ERR_PUBLIC_KEY_BAD,    PG_ERR_NEGOTIATION_BAD,    PG_ERR_SELF_DIAL};
        bool named = heard->n_arrived > 0;
        for (unsigned i = 0; i < sizeof reasons / sizeof *reasons; i++)
            named |= heard->why == reasons[i];
        FUZZ_WANT(named);
    }
    pair_free(p);
    return 0;
}
