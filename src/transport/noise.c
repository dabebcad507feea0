/* Facts and actions of noise_dial and noise_listen: handshake messages in, their verdict as an event, ours out.
 * Called by conn.c. Source: libp2p/specs noise/README.md, "The Noise Handshake", "libp2p Data in Handshake Messages";
 * connections/inlined-muxer-negotiation.md, "Inlining in Noise". */
#include "transport/noise.h"

#include "noise_dial.gen.h"
#include "noise_listen.gen.h"
#include "noise.pb.gen.h"
#include "protocols.gen.h"

#include <assert.h>
#include <stddef.h>

struct pg_noise_dial {
    struct pg_conn conn;
};
struct pg_noise_listen {
    struct pg_conn conn;
};

bool pg_noise_payload_make(struct pg_transport *t)
{
    struct pg_pb_noise_handshake_payload payload;
    if (pg_pb_noise_handshake_payload_read(&payload, pg_bytes(t->noise.payload, t->noise.payload_len)) != PG_OK)
        return false;
    payload.has_extensions = true;
    payload.extensions = (struct pg_pb_noise_extensions){.n_stream_muxers = 1, .stream_muxers = {PG_LIT(PG_PROTOCOL_YAMUX)}};
    struct pg_writer w = pg_writer(t->noise_payload, sizeof t->noise_payload);
    pg_pb_noise_handshake_payload_write(&payload, &w);
    t->noise_payload_len = w.len;
    return !w.failed;
}

static void write_message(struct pg_conn *c)
{
    uint8_t message[512];
    /* The first message is not encrypted and carries nothing. */
    bool bare = c->client && c->handshake.message == 0;
    struct pg_transport *t = c->transport;
    size_t n = pg_noise_write(&c->handshake, bare ? PG_NONE : pg_bytes(t->noise_payload, t->noise_payload_len), message + 2,
                              sizeof message - 2);
    message[0] = (uint8_t)(n >> 8);
    message[1] = (uint8_t)n;
    /* Nothing to write: the remote's key was a point of low order. */
    if (n == 0 || !pg_conn_send_plain(c, pg_bytes(message, n + 2)))
        pg_conn_close(c, n == 0 ? PG_ERR_NOISE_BAD_MESSAGE : PG_ERR_NO_MEMORY);
}

static void split_keys(struct pg_conn *c)
{
    if (!pg_noise_split(&c->handshake, &c->send, &c->receive))
        pg_conn_close(c, PG_ERR_NO_MEMORY);
}

void pg_noise_dial_do_message_write(struct pg_noise_dial *self)
{
    write_message(&self->conn);
}

void pg_noise_dial_do_keys_split(struct pg_noise_dial *self)
{
    split_keys(&self->conn);
}

void pg_noise_listen_do_message_write(struct pg_noise_listen *self)
{
    write_message(&self->conn);
}

void pg_noise_listen_do_keys_split(struct pg_noise_listen *self)
{
    split_keys(&self->conn);
}

void pg_conn_noise_begin(struct pg_conn *c)
{
    if (!pg_noise_handshake_init(&c->handshake, c->client, &c->transport->noise)) {
        pg_conn_close(c, PG_ERR_NO_MEMORY);
        return;
    }
    c->has_handshake = true;
    pg_instance_init(&c->noise, c->client ? &pg_noise_dial_machine : &pg_noise_listen_machine,
                     c->client ? &pg_noise_dial_binding : &pg_noise_listen_binding, c, c->transport->scope, NULL, &c->upgrade.in,
                     c->number);
    if (c->client)
        pg_step(&c->noise, PG_NOISE_DIAL_ON_START);
}

void pg_conn_noise_end(struct pg_conn *c)
{
    if (!c->has_handshake)
        return;
    c->has_handshake = false;
    pg_noise_handshake_free(&c->handshake);
    pg_instance_end(&c->noise);
}

enum verdict { GOOD, BAD, IDENTITY_BAD, IDENTITY_OTHER };

/* Reads the payload that proves who the remote is; a wanted other peer, or ourselves, is refused. */
static enum verdict take_payload(struct pg_conn *c, struct pg_bytes text)
{
    struct pg_pb_noise_handshake_payload payload;
    struct pg_public_key key;
    if (pg_pb_noise_handshake_payload_read(&payload, text) != PG_OK) {
        c->why = PG_ERR_NOISE_BAD_MESSAGE;
        return BAD;
    }
    enum pg_err error = pg_noise_check_identity(&key, payload.identity_key, payload.identity_sig,
                                                pg_noise_remote_static(&c->handshake));
    if (error != PG_OK) {
        c->why = error;
        return IDENTITY_BAD;
    }
    pg_peer_id_from_key(&c->peer, &key);
    if (c->expected.len && !pg_peer_id_equal(&c->expected, &c->peer)) {
        c->why = PG_ERR_NOISE_WRONG_PEER;
        return IDENTITY_OTHER;
    }
    if (pg_peer_id_equal(&c->peer, pg_identity_peer_id(c->transport->identity))) {
        /* A process makes its static key at start: with ours it is ourselves, with another one somebody has our identity. */
        bool self = memcmp(pg_noise_remote_static(&c->handshake), c->transport->noise.public_key, PG_NOISE_KEY) == 0;
        c->why = self ? PG_ERR_SELF_DIAL : PG_ERR_IDENTITY_TWIN;
        return IDENTITY_OTHER;
    }
    for (uint32_t i = 0; i < payload.extensions.n_stream_muxers && payload.has_extensions; i++)
        if (pg_bytes_equal(payload.extensions.stream_muxers[i], PG_LIT(PG_PROTOCOL_YAMUX)))
            c->early_muxer = true;
    return GOOD;
}

void pg_conn_noise_message(struct pg_conn *c, struct pg_bytes message)
{
    static const uint8_t dial_event[] = {PG_NOISE_DIAL_ON_MESSAGE_GOOD, PG_NOISE_DIAL_ON_MESSAGE_BAD,
                                         PG_NOISE_DIAL_ON_IDENTITY_BAD, PG_NOISE_DIAL_ON_IDENTITY_OTHER};
    static const uint8_t listen_event[] = {PG_NOISE_LISTEN_ON_MESSAGE_GOOD, PG_NOISE_LISTEN_ON_MESSAGE_BAD,
                                           PG_NOISE_LISTEN_ON_IDENTITY_BAD, PG_NOISE_LISTEN_ON_IDENTITY_OTHER};
    uint8_t payload[4096]; /* an RSA key of 8192 bits with its signature fits */
    size_t n = 0;
    enum verdict v = GOOD;
    bool has_payload = c->client || c->handshake.message > 0;
    if (pg_noise_read(&c->handshake, message, payload, sizeof payload, &n) != PG_OK) {
        c->why = PG_ERR_NOISE_BAD_MESSAGE;
        v = BAD;
    } else if (has_payload) {
        v = take_payload(c, pg_bytes(payload, n));
    }
    pg_step(&c->noise, c->client ? dial_event[v] : listen_event[v]);
}
